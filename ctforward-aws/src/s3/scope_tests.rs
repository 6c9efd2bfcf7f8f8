use super::*;

fn between(since: &str, until: &str) -> Scope {
    Scope {
        since: (!since.is_empty()).then(|| since.parse().unwrap()),
        until: (!until.is_empty()).then(|| until.parse().unwrap()),
        ..Scope::default()
    }
}

fn flat(scope: &Scope, folder: &str) -> (Option<String>, Option<String>) {
    match scope.step(folder) {
        Step::Flat {
            start_after,
            stop_at,
        } => (start_after, stop_at),
        other => panic!("{folder}: {other:?}"),
    }
}

#[test]
fn a_region_is_listed_from_a_day_before_to_a_day_behind() {
    let region = "p/AWSLogs/111111111111/CloudTrail/us-west-2-lax-1a/";
    let at = |day: &str| Some(format!("{region}{day}"));
    let scope = between("2024-03-01T00:00Z", "2024-12-31T00:00Z");
    assert_eq!(flat(&scope, region), (at("2024/02/29"), at("2025/01/02")));
    // The same from any folder within.
    let month = format!("{region}2024/03/");
    assert_eq!(flat(&scope, &month), (at("2024/02/29"), at("2025/01/02")));
    let odd = format!("{region}odd/");
    assert_eq!(flat(&scope, &odd), (at("2024/02/29"), at("2025/01/02")));
    assert_eq!(
        flat(&between("", "2024-01-01T00:00Z"), region),
        (None, at("2024/01/03"))
    );
    assert_eq!(
        flat(&between("2024-01-01T00:00Z", ""), region),
        (at("2023/12/31"), None)
    );
    // Times no folder can be named by bound nothing.
    let scope = Scope {
        since: Some(Timestamp::MIN),
        until: Some(Timestamp::MAX),
        ..Scope::default()
    };
    assert_eq!(flat(&scope, region), (None, None));
}

#[test]
fn without_narrowing_everything_is_one_listing() {
    for folder in ["", "AWSLogs/", "AWSLogs/111111111111/Config/"] {
        assert_eq!(flat(&Scope::default(), folder), (None, None));
    }
}

#[test]
fn folders_are_entered_only_where_something_wanted_may_lie() {
    let scope = Scope {
        accounts: ["111111111111".to_owned()].into(),
        regions: ["eu-west-1".to_owned()].into(),
        ..Scope::default()
    };
    for folder in [
        "",
        "a/",
        "a/b/",
        "AWSLogs/",
        "AWSLogs/o-a1b2c3d4e5/",
        "AWSLogs/111111111111/",
        "AWSLogs/111111111111/CloudTrail/",
        "AWSLogs/111111111111/CloudTrail-New/",
        "AWSLogs/111111111111/CloudTrail/Notes/",
        "AWSLogs/strange/",
    ] {
        assert_eq!(scope.step(folder), Step::Folders, "{folder}");
    }
    for folder in [
        "AWSLogs/222222222222/",
        "AWSLogs/o-a1b2c3d4e5/222222222222/",
        "AWSLogs/111111111111/Config/",
        "AWSLogs/111111111111/CloudTrail/us-east-1/",
        "AWSLogs/111111111111/CloudTrail-Lake/",
    ] {
        assert_eq!(scope.step(folder), Step::Prune, "{folder}");
    }
}

#[test]
fn since_is_within_and_until_is_not() {
    let scope = between("2024-02-29T23:59Z", "2024-03-01T00:00Z");
    let key =
        |stamp: &str| format!("111111111111_CloudTrail_us-east-1_{stamp}_AAAAAAAAAAAAAAAA.json.gz");
    assert_eq!(scope.want(&key("20240229T2359Z")), Want::Yes);
    assert_eq!(scope.want(&key("20240229T2358Z")), Want::OutOfTime);
    assert_eq!(scope.want(&key("20240301T0000Z")), Want::OutOfTime);
    assert_eq!(scope.want("AWSLogs/readme"), Want::WithoutTime);
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    assert!(
        between("2024-03-01T00:00Z", "2024-03-01T00:00Z")
            .check("")
            .is_err()
    );
    let scope = between("2024-03-01T00:00Z", "");
    assert!(scope.check("AWSLogs/111111111111/CloudTr").is_ok());
    assert!(scope.check("AWSLogs/111111111111/Config/x").is_err());
}
