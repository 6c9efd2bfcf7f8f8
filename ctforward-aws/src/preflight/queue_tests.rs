use serde_json::json;

use super::super::place::tests::fault;
use super::*;

const ARN: &str = "arn:aws:sqs:eu-west-1:111122223333:logs";
const LETTERS: &str = "arn:aws:sqs:eu-west-1:111122223333:letters";
const TIMES: Times = Times {
    expected: Duration::from_secs(60),
    outage: Duration::from_secs(4 * 3600),
};

fn queue(attributes: &[(&str, &str)]) -> Queue {
    let mut queue = Queue {
        url: "https://sqs.eu-west-1.amazonaws.com/111122223333/logs".to_owned(),
        ..Queue::default()
    };
    let arn = ("QueueArn", ARN);
    for (name, value) in std::iter::once(&arn).chain(attributes) {
        queue
            .attributes
            .insert((*name).to_owned(), (*value).to_owned());
    }
    queue
}

#[test]
fn a_queue_is_there_or_not_and_not_fifo() {
    for (queue, outcome) in [
        (Ok(queue(&[])), Outcome::Pass),
        (Ok(queue(&[("FifoQueue", "true")])), Outcome::Fail),
        (Err(fault(FaultKind::Missing)), Outcome::Fail),
        (Err(fault(FaultKind::Denied)), Outcome::Unknown),
        (Err(fault(FaultKind::Unreachable)), Outcome::Fail),
        (Err(fault(FaultKind::Credentials)), Outcome::Fail),
        (Err(fault(FaultKind::Slow)), Outcome::Unknown),
    ] {
        assert_eq!(exists("https://q", &queue).outcome, outcome, "{queue:?}");
    }
    let check = exists("https://q", &Err(fault(FaultKind::Denied)));
    assert!(check.seen.contains("sqs:GetQueueAttributes"));
}

#[test]
fn times_and_keys() {
    let seconds = |name, value| queue(&[(name, value)]);
    for (value, outcome) in [
        ("0", Outcome::Fail),
        ("20", Outcome::Warn),
        ("59", Outcome::Warn),
        ("60", Outcome::Pass),
        ("300", Outcome::Pass),
        ("43200", Outcome::Warn),
        ("x", Outcome::Unknown),
    ] {
        assert_eq!(
            visibility(&seconds("VisibilityTimeout", value), &TIMES).outcome,
            outcome,
            "{value}"
        );
    }
    for (value, outcome) in [
        ("3600", Outcome::Fail),
        ("86400", Outcome::Warn),
        ("345600", Outcome::Pass),
        ("", Outcome::Unknown),
    ] {
        let check = retention(&seconds("MessageRetentionPeriod", value), &TIMES);
        assert_eq!(check.outcome, outcome, "{value}");
    }
    for (value, outcome) in [
        ("", Outcome::Pass),
        ("alias/aws/sqs", Outcome::Fail),
        ("arn:aws:kms:eu-west-1:111122223333:key/k", Outcome::Unknown),
    ] {
        assert_eq!(
            encryption(&seconds("KmsMasterKeyId", value)).outcome,
            outcome,
            "{value}"
        );
    }
}

#[test]
fn an_outage_of_hours_must_not_empty_the_queue_into_the_dead_letters() {
    let with = |most: &str, visibility: &str| {
        let policy = format!(r#"{{"deadLetterTargetArn":"{LETTERS}","maxReceiveCount":{most}}}"#);
        queue(&[
            ("RedrivePolicy", &policy),
            ("VisibilityTimeout", visibility),
            ("MessageRetentionPeriod", "345600"),
        ])
    };
    let letters = |days: u64, held: &str| {
        let seconds = (days * DAY).to_string();
        Ok(queue(&[
            ("MessageRetentionPeriod", &seconds),
            ("ApproximateNumberOfMessages", held),
        ]))
    };
    let good = letters(14, "0");
    for (queue, letters, outcome, text) in [
        (queue(&[]), None, Outcome::Warn, "there is none"),
        (
            queue(&[("RedrivePolicy", "nonsense")]),
            None,
            Outcome::Unknown,
            "cannot be read",
        ),
        (with("3", "300"), Some(&good), Outcome::Fail, "after 3"),
        (
            with("\"10\"", "300"),
            Some(&good),
            Outcome::Warn,
            "takes 48",
        ),
        (with("48", "300"), Some(&good), Outcome::Pass, "empty"),
        (with("5", "3600"), Some(&good), Outcome::Pass, "empty"),
        (
            with("48", "300"),
            Some(&letters(4, "0")),
            Outcome::Warn,
            "first time stamp",
        ),
        (
            with("48", "300"),
            Some(&letters(14, "7")),
            Outcome::Warn,
            "about 7",
        ),
        (
            with("48", "300"),
            Some(&Err(fault(FaultKind::Missing))),
            Outcome::Fail,
            "does not exist",
        ),
        (
            with("48", "300"),
            Some(&Err(fault(FaultKind::Denied))),
            Outcome::Unknown,
            "GetQueueUrl",
        ),
    ] {
        let check = dead_letters(&queue, letters, &TIMES);
        assert_eq!(check.outcome, outcome, "{check:?}");
        assert!(check.seen.contains(text), "{check:?}");
    }
    let fix = dead_letters(&with("10", "300"), Some(&good), &TIMES)
        .fix
        .unwrap();
    assert!(
        fix.contains("maxReceiveCount") && fix.contains("48"),
        "{fix}"
    );
}

#[test]
fn those_that_are_to_send_may_and_nobody_else() {
    let bucket = "arn:aws:s3:::trail";
    let statement = |service: &str, condition: Value| {
        json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": service},
            "Action": "sqs:SendMessage", "Resource": ARN, "Condition": condition}]})
        .to_string()
    };
    let arn = |arn: &str| json!({"ArnLike": {"aws:SourceArn": arn}});
    let topic = Way::Topic("arn:aws:sns:eu-west-1:1:t".to_owned());
    let s3 = "s3.amazonaws.com";
    let deny =
        json!({"Statement": [{"Sid": "x", "Effect": "Deny", "Principal": "*", "Action": "sqs:*"}]})
            .to_string();
    for (text_of, ways, outcome, text) in [
        (String::new(), vec![Way::Bucket], Outcome::Fail, "none"),
        (
            "[]".to_owned(),
            vec![Way::Bucket],
            Outcome::Unknown,
            "cannot be read",
        ),
        (deny, vec![Way::Bucket], Outcome::Unknown, "Deny"),
        (
            statement(s3, arn(bucket)),
            vec![Way::Bucket],
            Outcome::Pass,
            "lets",
        ),
        (
            statement(s3, json!({})),
            vec![Way::Bucket],
            Outcome::Warn,
            "anyone",
        ),
        (
            statement(s3, arn("arn:aws:s3:::other")),
            vec![Way::Bucket],
            Outcome::Fail,
            "only",
        ),
        (
            statement("sns.amazonaws.com", arn("arn:aws:sns:eu-west-1:1:t")),
            vec![topic.clone()],
            Outcome::Pass,
            "sns",
        ),
        (
            statement(s3, arn(bucket)),
            vec![topic],
            Outcome::Fail,
            "sns.amazonaws.com may not",
        ),
        (
            statement(
                "events.amazonaws.com",
                arn("arn:aws:events:eu-west-1:1:rule/r"),
            ),
            vec![Way::Bridge],
            Outcome::Pass,
            "events",
        ),
        (statement(s3, arn(bucket)), vec![], Outcome::Pass, "s3"),
        (
            statement(s3, json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
            vec![Way::Bucket],
            Outcome::Unknown,
            "hangs on",
        ),
    ] {
        let queue = queue(&[("Policy", &text_of)]);
        let check = policy(&queue, Some(bucket), Some("111122223333"), &ways);
        assert_eq!(check.outcome, outcome, "{text_of} {check:?}");
        assert!(check.seen.contains(text), "{check:?}");
    }
    // As AWS's guide writes it. Without the bucket's account it is not decided.
    let both = statement(
        s3,
        json!({"ArnLike": {"aws:SourceArn": bucket}, "StringEquals": {"aws:SourceAccount": "111122223333"}}),
    );
    let both = queue(&[("Policy", &both)]);
    for (account, outcome) in [
        (Some("111122223333"), Outcome::Pass),
        (Some("999999999999"), Outcome::Fail),
        (None, Outcome::Unknown),
    ] {
        let check = policy(&both, Some(bucket), account, &[Way::Bucket]);
        assert_eq!(check.outcome, outcome, "{account:?} {check:?}");
        assert_eq!(check.fix.is_some(), outcome != Outcome::Pass);
    }
    let check = policy(&both, None, None, &[]);
    assert_eq!(check.outcome, Outcome::Unknown);
    assert!(check.fix.unwrap().contains("s3://BUCKET"));
    let fix = policy(
        &queue(&[]),
        Some(bucket),
        Some("111122223333"),
        &[Way::Bucket],
    )
    .fix
    .unwrap();
    for part in [bucket, ARN, "aws:SourceAccount", "sqs:SendMessage"] {
        assert!(fix.contains(part), "{part} {fix}");
    }
}

#[test]
fn a_topic_is_let_in_for_its_own_account_and_for_no_other() {
    let topic = Way::Topic("arn:aws:sns:eu-west-1:111122223333:t".to_owned());
    for (account, outcome) in [
        ("111122223333", Outcome::Pass),
        ("999999999999", Outcome::Fail),
    ] {
        let text = json!({"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage",
            "Principal": {"Service": "sns.amazonaws.com"}, "Resource": ARN,
            "Condition": {"StringEquals": {"aws:SourceAccount": account}}}]});
        let queue = queue(&[("Policy", &text.to_string())]);
        let ways = [topic.clone()];
        let check = policy(&queue, Some("arn:aws:s3:::trail"), None, &ways);
        assert_eq!(check.outcome, outcome, "{account} {check:?}");
    }
    assert_eq!(owner("arn:aws:s3:::trail"), None);
    assert_eq!(owner("no ARN"), None);
}

#[test]
fn of_several_ways_one_that_is_refused_is_a_warning() {
    let (bucket, topic) = ("arn:aws:s3:::trail", "arn:aws:sns:eu-west-1:111122223333:t");
    let statement = |service: &str, condition: Value| {
        json!({"Effect": "Allow", "Principal": {"Service": service},
            "Action": "sqs:SendMessage", "Resource": ARN, "Condition": condition})
    };
    let arn = |arn: &str| json!({"ArnLike": {"aws:SourceArn": arn}});
    let sns = statement("sns.amazonaws.com", arn(topic));
    let s3 = |condition| statement("s3.amazonaws.com", condition);
    let both = [Way::Bucket, Way::Topic(topic.to_owned())];
    let none: &[Way] = &[];
    let ip = json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}});
    for (statements, ways, outcome, text) in [
        (
            vec![sns.clone()],
            &both[..],
            Outcome::Warn,
            "lets sns.amazonaws.com in; s3.amazonaws.com may not send",
        ),
        (
            vec![sns.clone(), s3(arn("arn:aws:s3:::other"))],
            &both,
            Outcome::Warn,
            "s3.amazonaws.com may send for arn:aws:s3:::other only",
        ),
        (
            vec![sns.clone(), s3(arn(bucket))],
            &both,
            Outcome::Pass,
            "lets s3.amazonaws.com and sns.amazonaws.com in",
        ),
        (
            vec![sns.clone(), s3(ip)],
            &both,
            Outcome::Unknown,
            "lets sns.amazonaws.com in; whether s3.amazonaws.com may send hangs on",
        ),
        (vec![], &both, Outcome::Fail, "may not send"),
        // Who is to send is not known: one that may is enough.
        (vec![sns], none, Outcome::Pass, "lets sns.amazonaws.com in"),
    ] {
        let text_of = json!({ "Statement": statements }).to_string();
        let queue = queue(&[("Policy", &text_of)]);
        let check = policy(&queue, Some(bucket), Some("111122223333"), ways);
        assert_eq!(check.outcome, outcome, "{text_of} {check:?}");
        assert!(check.seen.contains(text), "{check:?}");
        if outcome == Outcome::Warn {
            // What is to be added lets in the one that is refused.
            let fix = check.fix.unwrap();
            assert!(
                fix.contains("s3.amazonaws.com") && !fix.contains("sns"),
                "{fix}"
            );
        }
    }
}

#[test]
fn a_made_up_receipt_tells_whether_it_may_be_used() {
    for (answer, outcome) in [
        (Err(fault(FaultKind::Denied)), Outcome::Fail),
        (Err(fault(FaultKind::Refused)), Outcome::Unknown),
        (Err(fault(FaultKind::Slow)), Outcome::Unknown),
        (Ok(()), Outcome::Unknown),
    ] {
        assert_eq!(receive(&queue(&[]), &answer).outcome, outcome, "{answer:?}");
    }
}
