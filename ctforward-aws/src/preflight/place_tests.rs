use super::*;

pub(crate) fn fault(kind: FaultKind) -> Fault {
    Fault {
        kind,
        said: "said".to_owned(),
        region: None,
    }
}

fn head(answer: Result<(), FaultKind>, region: Option<&str>) -> Head {
    Head {
        answer: answer.map_err(fault),
        region: region.map(str::to_owned),
        date: None,
    }
}

#[test]
fn a_caller_is_named_and_an_unknown_one_fails() {
    let caller = Caller {
        account: "111122223333".to_owned(),
        arn: "arn:aws:iam::111122223333:role/\u{1b}x".to_owned(),
    };
    let check = credentials(&Ok(caller));
    assert_eq!(check.outcome, Outcome::Pass);
    assert!(!check.seen.contains('\u{1b}'));
    for (kind, outcome) in [
        (FaultKind::Credentials, Outcome::Fail),
        (FaultKind::Closed, Outcome::Fail),
        (FaultKind::Denied, Outcome::Unknown),
        (FaultKind::Unreachable, Outcome::Unknown),
        (FaultKind::Slow, Outcome::Unknown),
    ] {
        assert_eq!(credentials(&Err(fault(kind))).outcome, outcome, "{kind:?}");
    }
}

#[test]
fn the_buckets_region_is_told_apart_from_the_clients() {
    use FaultKind as K;
    for (answer, lies, set, outcome, text) in [
        (
            Ok(()),
            Some("eu-west-1"),
            Some("eu-west-1"),
            Outcome::Pass,
            "in eu-west-1",
        ),
        (
            Ok(()),
            Some("eu-west-1"),
            Some("us-east-1"),
            Outcome::Fail,
            "lies in eu-west-1",
        ),
        (
            Err(K::Elsewhere),
            Some("eu-west-1"),
            Some("us-east-1"),
            Outcome::Fail,
            "lies in",
        ),
        (
            Err(K::Denied),
            Some("eu-west-1"),
            None,
            Outcome::Fail,
            "no region",
        ),
        (
            Err(K::Denied),
            Some("eu-west-1"),
            Some("eu-west-1"),
            Outcome::Pass,
            "in eu-west-1",
        ),
        (
            Err(K::Denied),
            None,
            Some("eu-west-1"),
            Outcome::Unknown,
            "s3:ListBucket",
        ),
        (
            Err(K::Missing),
            None,
            Some("eu-west-1"),
            Outcome::Fail,
            "no bucket",
        ),
        (
            Err(K::Unreachable),
            None,
            None,
            Outcome::Fail,
            "no connection",
        ),
        (
            Err(K::Credentials),
            None,
            Some("eu-west-1"),
            Outcome::Fail,
            "credentials do not work",
        ),
        (Err(K::Slow), None, None, Outcome::Unknown, "in time"),
        (
            Ok(()),
            None,
            Some("eu-west-1"),
            Outcome::Pass,
            "does not say",
        ),
        (
            Ok(()),
            Some("Evil.example"),
            Some("eu-west-1"),
            Outcome::Pass,
            "does not say",
        ),
    ] {
        let check = bucket_region("trail", set, &head(answer, lies));
        assert_eq!(check.outcome, outcome, "{lies:?} {set:?} {check:?}");
        assert!(check.seen.contains(text), "{check:?}");
    }
    let check = bucket_region("trail", Some("us-east-1"), &head(Ok(()), Some("eu-west-1")));
    assert!(check.fix.unwrap().contains("--s3-region eu-west-1"));
}

#[test]
fn a_clock_minutes_off_fails() {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    for (date, outcome) in [
        ("Sun, 01 Mar 2026 12:00:10 GMT", Outcome::Pass),
        ("Sun, 01 Mar 2026 11:58:00 GMT", Outcome::Warn),
        ("Sun, 01 Mar 2026 12:20:00 GMT", Outcome::Fail),
        ("Sun, 01 Mar 2026 11:00:00 GMT", Outcome::Fail),
        ("yesterday", Outcome::Unknown),
    ] {
        let mut head = head(Ok(()), None);
        head.date = Some((date.to_owned(), now));
        assert_eq!(clock(&head).outcome, outcome, "{date}");
    }
    assert_eq!(clock(&head(Ok(()), None)).outcome, Outcome::Unknown);
    assert_eq!(
        clock(&head(Err(FaultKind::Clock), None)).outcome,
        Outcome::Fail
    );
}

#[test]
fn a_queue_needs_no_listing_and_the_statement_names_the_bucket() {
    let denied = fault(FaultKind::Denied);
    let check = listing("trail", Some("cn-north-1"), None, false, Err(&denied));
    assert_eq!(check.outcome, Outcome::Fail);
    assert!(check.fix.unwrap().contains("arn:aws-cn:s3:::trail"));
    let queue = listing("trail", None, Some("1"), true, Err(&denied));
    assert_eq!(queue.outcome, Outcome::Warn);
    assert!(queue.fix.unwrap().contains("is account 1's"));
    let slow = fault(FaultKind::Slow);
    assert_eq!(
        listing("trail", None, None, false, Err(&slow)).outcome,
        Outcome::Unknown
    );
    assert_eq!(payer(&Ok(true)).outcome, Outcome::Warn);
    assert_eq!(payer(&Ok(false)).outcome, Outcome::Pass);
    let check = payer(&Err(denied));
    assert!(
        check.seen.contains("s3:GetBucketRequestPayment"),
        "{check:?}"
    );
}
