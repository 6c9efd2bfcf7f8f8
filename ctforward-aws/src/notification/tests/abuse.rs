//! Whoever can write to a queue or topic writes what he likes.

use ctforward_core::ErrorKind;
use ctforward_core::key::Kind;
use serde_json::{Value, json};

use super::*;
use crate::notification::{Allow, Form, Limits, decode_with};

fn trail() -> Allow {
    Allow::builder().buckets([BUCKET]).build().unwrap()
}

fn why(allow: &Allow, object: &NamedObject) -> String {
    let error = allow.check(object).unwrap_err();
    assert!(!error.is_retryable());
    error.to_string()
}

#[test]
fn another_bucket_is_refused_by_name() {
    for body in [
        s3_event(KEY).replace("\"name\":\"trail\"", "\"name\":\"others\""),
        event_bridge("Object Created", KEY).replace("\"name\":\"trail\"", "\"name\":\"others\""),
        cloudtrail(&[KEY]).replace(BUCKET, "others"),
    ] {
        let said = said(&body);
        let object = said.created().next().unwrap();
        assert_eq!(object.bucket, "others");
        let why = why(&trail(), object);
        assert!(why.contains("s3://others/AWSLogs/"), "{why}");
        assert!(why.contains("bucket is not among"), "{why}");
        let any = Allow::builder().any_bucket().build().unwrap();
        assert!(any.check(object).is_ok());
    }
    // Exactly that name.
    for bucket in ["Trail", "trail2", "trai", "trail.x", ""] {
        assert!(trail().check(&NamedObject::new(bucket, KEY)).is_err());
    }
}

#[test]
fn no_bucket_named_is_a_mistake_and_never_means_all() {
    for builder in [
        Allow::builder(),
        Allow::builder().buckets(Vec::<String>::new()),
        Allow::builder().accounts(["111122223333"]),
    ] {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn neither_region_nor_arn_nor_account_is_read() {
    let hostile = |body: String| {
        body.replace("us-east-1\",\"e", "x.example/\\u001b#\",\"e")
            .replace("\"region\":\"us-east-1\"", "\"region\":\"x.example/#\"")
            .replace("arn:aws:s3:::trail", "arn:aws:s3:x.example:1:accesspoint/x")
            .replace("\"account\":\"111122223333\"", "\"account\":{\"x\":[]}")
    };
    for body in [s3_event("k"), event_bridge("Object Created", "k")] {
        let changed = hostile(body.clone());
        assert_ne!(body, changed);
        assert_eq!(said(&changed), said(&body));
        assert!(!format!("{:?}", said(&changed)).contains("example"));
    }
    // Nor may a bucket's name be what the SDK makes a host name of.
    for bucket in [
        "arn:aws:s3:eu-west-1:111122223333:accesspoint/x",
        "x.example/",
        "x@y.example",
        "trail/../others",
        "trail?x=",
        "..",
    ] {
        for body in [
            s3_event(KEY),
            event_bridge("Object Created", KEY),
            cloudtrail(&[KEY]),
        ] {
            let body = body.replace("\"trail\"", &json!(bucket).to_string());
            assert!(refused(&body).contains("is no bucket's name"), "{body}");
        }
    }
}

#[test]
fn addresses_in_a_message_are_not_even_read() {
    for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        let mut body = sns(
            kind,
            "You have chosen to subscribe. To confirm, visit the address.",
        );
        body["Token"] = json!("2336412f37fb687f5d51e6e2425e");
        body["SubscribeURL"] = json!("https://x.example/?Action=ConfirmSubscription&Token=2336");
        let body = body.to_string();
        for body in [body.clone(), in_sns(&body), sqs_to_lambda(&[&body])] {
            let said = said(&body);
            assert_eq!(said.shape.form, Form::SnsConfirmation);
            assert!(skipped(&body).ends_with("confirmation, not followed"));
            let shown = format!("{said:?} {}", said.shape);
            assert!(
                !shown.contains("example") && !shown.contains("2336"),
                "{shown}"
            );
        }
        // Even one whose message is a notification names nothing.
        let body = sns(kind, &s3_event(KEY)).to_string();
        assert_eq!(said(&body).created().count(), 0);
    }
    let body: Value = serde_json::from_str(&in_sns(&s3_event(KEY))).unwrap();
    for member in ["SigningCertURL", "UnsubscribeURL", "SubscribeURL"] {
        let mut body = body.clone();
        body[member] = json!({"x": ["https://x.example/"]});
        assert_eq!(keys(&body.to_string()), [KEY]);
    }
}

#[test]
fn a_thousand_keys_are_read_and_too_many_are_an_error() {
    let key = |n: usize| format!("AWSLogs/{n}");
    let many: Vec<String> = (0..1024).map(key).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let records: Vec<Value> = names
        .iter()
        .map(|k| record("ObjectCreated:Put", k))
        .collect();
    let removed = |n: usize| vec![record("ObjectRemoved:Delete", "k"); n];
    assert_eq!(keys(&cloudtrail(&names)), many);
    assert_eq!(keys(&super::records(&records)), many);
    assert_eq!(said(&super::records(&removed(1024))).items.len(), 1024);

    let too_many = [
        cloudtrail(&[&names[..], &["one more"]].concat()),
        super::records(&[&records[..], &records[..1]].concat()),
        super::records(&removed(1025)),
        sqs_to_lambda(&[&cloudtrail(&names), &cloudtrail(&["one more"])]),
        sqs_to_lambda(&vec!["CloudTrail validation message."; 1025]),
        format!("{{\"Records\":[{}1]}}", "1,".repeat(100_000)),
    ];
    for body in too_many {
        let error = decode(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.message().contains("more than 1024"), "{error}");
    }
    let limits = Limits::default().with_keys(2);
    assert!(decode_with(cloudtrail(&["1", "2"]).as_bytes(), &limits).is_ok());
    assert!(decode_with(cloudtrail(&["1", "2", "3"]).as_bytes(), &limits).is_err());
}

#[test]
fn size_and_nesting_are_bounded() {
    let limits = Limits::default().with_bytes(100);
    let error = decode_with(s3_event(KEY).as_bytes(), &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);

    let wrap = |wrap: fn(&str) -> String, times: usize| {
        (0..times).fold(s3_event(KEY), |body, _| wrap(&body))
    };
    for envelope in [in_sns, lambda_destination, |b: &str| sqs_to_lambda(&[b])] {
        assert_eq!(keys(&wrap(envelope, 4)), [KEY]);
        let error = decode(wrap(envelope, 5).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(error.message().contains("more than 4 envelopes"), "{error}");
    }
    // Whatever the limit says, the stack is safe.
    let deep = "{\"requestPayload\":".repeat(100_000) + "{}" + &"}".repeat(100_000);
    let limits = Limits::default().with_envelopes(usize::MAX);
    assert!(decode_with(deep.as_bytes(), &limits).is_err());
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(500_000), close.repeat(500_000));
        assert!(decode(deep.as_bytes()).is_err());
        assert!(decode(format!("{{\"x\":{deep}}}").as_bytes()).is_err());
        assert!(decode(format!("{{\"Records\":{deep}}}").as_bytes()).is_err());
        assert!(decode(format!("{{\"Records\":[{deep}]}}").as_bytes()).is_err());
        assert!(decode(deep.trim_end_matches(close).as_bytes()).is_err());
    }
}

#[test]
fn an_escape_leads_into_no_other_folder() {
    let allow = Allow::builder()
        .buckets([BUCKET])
        .prefixes(["AWSLogs/o-a1/", "other/"])
        .build()
        .unwrap();
    let check = |body: &str| {
        let said = said(body);
        allow.check(said.created().next().unwrap()).is_ok()
    };
    assert!(check(&s3_event("AWSLogs%2Fo-a1%2Fk")));
    assert!(check(&s3_event("other/k")));
    assert!(check(&s3_event("other/a..b/...")));
    for key in [
        "AWSLogs/o-a1/../../private/k",
        "AWSLogs%2Fo-a1%2F..%2F..%2Fprivate",
        "AWSLogs/o-a1/%2e%2E/k",
        "other/./k",
        "other/..",
        "..",
        "private/k",
        "AWSLogs/o-a1",
        "AWSLogs/o-a12/k",
        "/other/k",
        "Other/k",
        "+other/k",
    ] {
        assert!(!check(&s3_event(key)), "{key}");
    }
    // Where keys are not encoded an escape is no slash and no point.
    assert!(!check(&cloudtrail(&["other%2Fk"])));
    assert!(!check(&event_bridge(
        "Object Created",
        "AWSLogs%2Fo-a1%2Fk"
    )));
    assert!(!check(&cloudtrail(&["other/../k"])));
    assert!(check(&cloudtrail(&["other/%2e%2e/k"])));
    // Decoded once, not twice.
    assert!(check(&s3_event("other/%252e%252e/k")));
    assert_eq!(keys(&s3_event("other/%252e%252e/k")), ["other/%2e%2e/k"]);
}

#[test]
fn organisation_account_and_kind_are_those_of_folders_and_name() {
    let org = KEY.replace("AWSLogs/", "AWSLogs/o-a1b2/");
    let check = |builder: fn(AllowBuilder) -> AllowBuilder, key: &str| {
        let allow = builder(Allow::builder().buckets([BUCKET])).build().unwrap();
        allow
            .check(&NamedObject::new(BUCKET, key))
            .map_err(|e| e.to_string())
    };
    use crate::notification::AllowBuilder;
    let account: fn(AllowBuilder) -> AllowBuilder = |b| b.accounts(["111122223333"]);
    let organisation: fn(AllowBuilder) -> AllowBuilder = |b| b.organisations(["o-a1b2"]);
    let kind: fn(AllowBuilder) -> AllowBuilder = |b| b.kinds([Kind::CloudTrail]);
    let all: fn(AllowBuilder) -> AllowBuilder = |b| {
        let b = b.accounts(["111122223333"]).organisations(["o-a1b2"]);
        b.kinds([Kind::CloudTrail]).prefixes(["AWSLogs/"])
    };
    for allow in [account, organisation, kind, all] {
        assert_eq!(check(allow, &org), Ok(()));
    }
    for (allow, key, words) in [
        (organisation, KEY.to_owned(), "of no organisation"),
        (
            organisation,
            org.replace("o-a1b2", "o-a1b3"),
            "organisation o-a1b3",
        ),
        (
            account,
            KEY.replace("111122223333", "444455556666"),
            "account 444455556666",
        ),
        // Either of the two places alone is not enough.
        (
            account,
            KEY.replacen("111122223333", "444455556666", 1),
            "account 444455556666",
        ),
        (
            account,
            KEY.replace("/111122223333_", "/444455556666_"),
            "account 444455556666",
        ),
        (
            kind,
            KEY.replace("CloudTrail", "CloudTrail-Insight"),
            "kind CloudTrail-Insight",
        ),
        (
            kind,
            KEY.replace("_CloudTrail_", "_CloudTrail-Insight_"),
            "kind CloudTrail-Insight",
        ),
        (all, "AWSLogs/x.json.gz".to_owned(), "the layout"),
        (account, "copies/x.json.gz".to_owned(), "the layout"),
        (
            account,
            "AWSLogs/111122223333/Config/x.json.gz".to_owned(),
            "the layout",
        ),
        (
            account,
            KEY[KEY.rfind('/').unwrap() + 1..].to_owned(),
            "the layout",
        ),
        (account, KEY.replace("AWSLogs", "awslogs"), "the layout"),
    ] {
        let why = check(allow, &key).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    // A name that AWS may write tomorrow, in the folder of an account that is allowed.
    let renamed = KEY.replace("_CloudTrail_", "_New_");
    assert_eq!(check(account, &renamed), Ok(()));
    let renamed = renamed.replacen("111122223333", "444455556666", 1);
    assert!(check(account, &renamed).is_err());
}

#[test]
fn what_an_error_shows_cannot_steer_a_terminal_and_is_short() {
    let evil = "\u{1b}[2J\u{202e}\r\nINFO all is well \u{9b}";
    let long = evil.repeat(10_000);
    let check = |error: &str| {
        let steers = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!error.contains(steers) && error.len() < 1500, "{error}");
    };
    for evil in [evil, &long] {
        let json = json!(evil).to_string();
        let mut record = record("ObjectCreated:Put", KEY);
        record["s3"]["object"]["key"] = json!(format!("{evil}%"));
        let mut bodies = vec![
            evil.to_owned(),
            json.clone(),
            format!("{{{json}:1}}"),
            in_sns(evil),
            records(&[record]),
            event_bridge(evil, KEY),
            event_bridge("Object Created", KEY).replace("\"trail\"", &json),
            event_bridge("Object Created", KEY).replace("\"aws.s3\"", &json),
            cloudtrail(&[KEY]).replace("\"trail\"", &json),
            sns(evil, "").to_string(),
            test_event().replace("\"s3:TestEvent\"", &json),
            s3_event(KEY).replace("1234", &json),
        ];
        for old in ["\"2.6\"", "\"aws:s3\"", "\"ObjectCreated:Put\""] {
            bodies.push(s3_event(KEY).replace(old, &json));
        }
        for body in bodies {
            check(&refused(&body));
        }
        check(&why(&trail(), &NamedObject::new(evil, evil)));
        check(&why(
            &trail(),
            &NamedObject::new(BUCKET, format!("{evil}/..")),
        ));
        let accounts = Allow::builder()
            .any_bucket()
            .accounts(["1"])
            .build()
            .unwrap();
        check(&why(&accounts, &NamedObject::new(evil, evil)));
    }
}
