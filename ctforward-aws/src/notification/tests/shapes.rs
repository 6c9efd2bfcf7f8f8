//! Every form as it should be read.

use serde_json::{Value, json};

use super::*;
use crate::notification::{Envelope, Form};

const REMOVED: &str = "object removed";

#[test]
fn every_way_that_a_message_comes_names_the_object() {
    let s3 = s3_event(KEY);
    let bridge = event_bridge("Object Created", KEY);
    let own = cloudtrail(&[KEY]);
    for (body, shape) in [
        (s3.clone(), "S3 event"),
        (in_sns(&s3), "S3 event in SNS"),
        (sns_to_lambda(&s3), "S3 event in SNS"),
        (sqs_to_lambda(&[&s3]), "S3 event in SQS"),
        (sqs_to_lambda(&[&in_sns(&s3)]), "S3 event in SNS in SQS"),
        (bridge.clone(), "EventBridge event"),
        (in_sns(&bridge), "EventBridge event in SNS"),
        (sqs_to_lambda(&[&bridge]), "EventBridge event in SQS"),
        (own.clone(), "CloudTrail message"),
        (in_sns(&own), "CloudTrail message in SNS"),
        (sns_to_lambda(&own), "CloudTrail message in SNS"),
        (sqs_to_lambda(&[&own]), "CloudTrail message in SQS"),
        (lambda_destination(&s3), "S3 event in a Lambda destination"),
        (
            in_sns(&lambda_destination(&sns_to_lambda(&own))),
            "CloudTrail message in SNS in a Lambda destination in SNS",
        ),
    ] {
        let said = said(&body);
        assert_eq!(said.shape.to_string(), shape);
        let [Item::Created(object)] = &said.items[..] else {
            panic!("{said:?}")
        };
        assert_eq!((object.bucket.as_str(), object.key.as_str()), (BUCKET, KEY));
        if said.shape.form == Form::CloudTrail {
            assert_eq!((object.size, &object.etag), (None, &None));
        } else {
            assert_eq!(object.size, Some(1234));
            let etag = object.etag.as_deref();
            assert_eq!(etag, Some("d41d8cd98f00b204e9800998ecf8427e"));
        }
    }
}

#[test]
fn white_space_around_a_message_is_nothing() {
    let body = format!("\r\n {}\n", s3_event(KEY));
    assert_eq!(keys(&body), [KEY]);
}

#[test]
fn keys_are_decoded_where_their_form_encodes_them_and_nowhere_else() {
    let key = "a+b%20c%2Fd%252B";
    assert_eq!(keys(&s3_event(key)), ["a b c/d%2B"]);
    assert_eq!(keys(&in_sns(&s3_event(key))), ["a b c/d%2B"]);
    assert_eq!(keys(&event_bridge("Object Created", key)), [key]);
    assert_eq!(
        keys(&cloudtrail(&[key, "%zz", "100%"])),
        [key, "%zz", "100%"]
    );
    // JSON's own escapes are another matter.
    let body = r#"{"s3Bucket":"trail","s3ObjectKey":["\u0041\/\ud83d\ude00"]}"#;
    assert_eq!(keys(body), ["A/😀"]);
}

#[test]
fn all_records_count_not_only_the_first() {
    let many = [
        record("ObjectCreated:Put", "1"),
        record("s3:ObjectCreated:Copy", "2"),
        record("ObjectRemoved:Delete", "3"),
        record("ObjectCreated:CompleteMultipartUpload", "4"),
        record("ObjectTagging:Put", "5"),
    ];
    let said = said(&records(&many));
    let created: Vec<_> = said.created().map(|o| o.key.as_str()).collect();
    assert_eq!(created, ["1", "2", "4"]);
    let skipped: Vec<_> = said
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Skip { why, object } => Some((*why, object.as_ref()?.key.as_str())),
            Item::Created(_) => None,
        })
        .collect();
    assert_eq!(skipped, [(REMOVED, "3"), ("no object created", "5")]);
    assert_eq!(said.shape.form, Form::S3Event);
    assert_eq!(keys(&cloudtrail(&["a", "b", "c"])), ["a", "b", "c"]);
}

#[test]
fn a_batch_of_messages_is_taken_whole() {
    let (one, two) = (s3_event("1"), in_sns(&cloudtrail(&["2", "3"])));
    let said = said(&sqs_to_lambda(&[&one, &two, &test_event()]));
    assert_eq!(said.created().count(), 3);
    assert_eq!(said.items.len(), 4);
    assert_eq!(said.shape.form, Form::Mixed);
    assert_eq!(said.shape.via, [Envelope::Sqs]);
}

#[test]
fn records_of_several_sources_in_one_list() {
    let first = |body: String| {
        let body: Value = serde_json::from_str(&body).unwrap();
        body["Records"][0].clone()
    };
    let body = records(&[
        record("ObjectCreated:Put", "1"),
        first(sns_to_lambda(&s3_event("2"))),
        first(sqs_to_lambda(&[&cloudtrail(&["3"])])),
    ]);
    assert_eq!(keys(&body), ["1", "2", "3"]);
    let said = said(&body);
    assert_eq!(
        (said.shape.form, &said.shape.via[..]),
        (Form::Mixed, &[][..])
    );
    // One of a service that names no log files: all or nothing.
    let body = records(&[
        record("ObjectCreated:Put", "1"),
        json!({"eventSource": "aws:ses", "ses": {}}),
    ]);
    let why = refused(&body);
    assert!(
        why.contains("\"aws:ses\"") && why.contains("\"ses\""),
        "{why}"
    );
}

#[test]
fn the_version_is_used_when_given() {
    let mut record = record("ObjectCreated:Put", KEY);
    record["s3"]["object"]["versionId"] = json!("096fKKXTRTtl3on89fVO.nfljtsv6qko");
    let said = said(&records(&[record.clone()]));
    let object = said.created().next().unwrap();
    assert_eq!(
        object.id().version.as_deref(),
        Some("096fKKXTRTtl3on89fVO.nfljtsv6qko")
    );
    assert_eq!(object.object().size, Some(1234));
    for none in [json!(null), json!("")] {
        record["s3"]["object"]["versionId"] = none;
        let said = self::said(&records(&[record.clone()]));
        assert_eq!(said.created().next(), Some(&created(KEY)));
    }
    let said = self::said(&event_bridge("Object Created", KEY));
    let version = said.created().next().unwrap().version.as_deref();
    assert_eq!(version, Some("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e"));
}

#[test]
fn versions_of_events_are_compared_by_their_major_number() {
    for (version, known) in [
        (json!("2.0"), true),
        (json!("2.1"), true),
        (json!("2.99"), true),
        (json!("3.0"), false),
        (json!("1.0"), false),
        (json!("2"), false),
        (json!(2.1), false),
        (json!(null), false),
    ] {
        for event in ["ObjectCreated:Put", "ObjectRemoved:Delete"] {
            let mut record = record(event, KEY);
            record["eventVersion"] = version.clone();
            let body = records(&[record]);
            assert_eq!(decode(body.as_bytes()).is_ok(), known, "{version}");
        }
    }
    let mut event: Value = serde_json::from_str(&event_bridge("Object Created", KEY)).unwrap();
    for (version, known) in [
        (json!("1.7"), true),
        (json!(null), true),
        (json!("2.0"), false),
    ] {
        event["detail"]["event-version"] = version.clone();
        let body = event.to_string();
        assert_eq!(decode(body.as_bytes()).is_ok(), known, "{version}");
    }
    event["detail"]
        .as_object_mut()
        .unwrap()
        .remove("event-version");
    assert_eq!(keys(&event.to_string()), [KEY]);
}

#[test]
fn what_is_no_creation_is_skipped_with_its_reason() {
    for (body, why) in [
        (test_event(), "S3 test event"),
        (in_sns(&test_event()), "S3 test event"),
        (
            "CloudTrail validation message.".to_owned(),
            "CloudTrail validation message",
        ),
        (
            in_sns("CloudTrail validation message."),
            "CloudTrail validation message",
        ),
        (
            sns_to_lambda("CloudTrail validation message."),
            "CloudTrail validation message",
        ),
        (
            sqs_to_lambda(&[&in_sns("CloudTrail validation message.\n")]),
            "CloudTrail validation message",
        ),
        (records(&[]), "no records"),
        (cloudtrail(&[]), "no records"),
        (
            records(&[record("ObjectRemoved:DeleteMarkerCreated", KEY)]),
            REMOVED,
        ),
        (event_bridge("Object Deleted", KEY), REMOVED),
        (event_bridge("Object Tags Added", KEY), "no object created"),
        (
            records(&[record("s3:ObjectRestore:Completed", KEY)]),
            "no object created",
        ),
    ] {
        assert_eq!(skipped(&body), why, "{body}");
    }
}

#[test]
fn a_folder_object_is_one_that_is_empty() {
    let mut record = record("ObjectCreated:Put", "AWSLogs/");
    assert_eq!(keys(&records(&[record.clone()])), ["AWSLogs/"]);
    record["s3"]["object"]["size"] = json!(0);
    assert_eq!(skipped(&records(&[record.clone()])), "folder object");
    record["s3"]["object"]["key"] = json!("AWSLogs%2F");
    assert_eq!(skipped(&records(&[record.clone()])), "folder object");
    record["s3"]["object"]["key"] = json!("empty.json.gz");
    assert_eq!(keys(&records(&[record])), ["empty.json.gz"]);
}

#[test]
fn emulators_leave_things_out_and_encode_slashes() {
    let record = json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2024-01-02T03:05:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": {"name": BUCKET},
            "object": {"key": KEY.replace('/', "%2F"), "size": 1234,
                "eTag": "\"d41d8cd98f00b204e9800998ecf8427e\""}
        }
    });
    let said = said(&records(&[record]));
    assert_eq!(said.items, [Item::Created(created(KEY))]);
}

#[test]
fn members_that_are_not_known_may_hold_anything() {
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    for value in [
        "null",
        "-1.5e999",
        "18446744073709551616",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
        &deep,
    ] {
        let body = s3_event(KEY);
        let body = format!(r#"{{"New":{value},"New":{value},{}"#, &body[1..]);
        let body = body.replace("\"object\":{", &format!("\"object\":{{\"new\":{value},"));
        let body = body.replace("\"awsRegion\":", &format!("\"new\":{value},\"awsRegion\":"));
        assert_eq!(body.matches(value).count(), 4, "{body}");
        assert_eq!(said(&body).items, [Item::Created(created(KEY))]);
    }
}

#[test]
fn what_is_no_notification_is_named() {
    for (body, words) in [
        ("", "not a JSON object but \"\""),
        ("hello", "not a JSON object but \"hello\""),
        ("cloudtrail validation message.", "not a JSON object"),
        ("[]", "not a JSON object but \"[]\""),
        ("null", "not a JSON object"),
        ("\u{feff}{}", "not a JSON object but \"\\u{feff}{}\""),
        (
            "{}",
            "not a notification that is known: an object with no members",
        ),
        (
            r#"{"a":1,"b":2}"#,
            "an object with the members \"a\", \"b\"",
        ),
        (r#"{"a":1,}"#, "cannot be read"),
        (r#"{"a":1} x"#, "cannot be read"),
        (r#"{"Records":null}"#, "the members \"Records\""),
        (r#"{"Records":{}}"#, "Records cannot be read"),
        (r#"{"Records":[null]}"#, "a record cannot be read"),
        (r#"{"Records":[{}]}"#, "a record without an event source"),
        (
            r#"{"Records":[{"eventSource":"s3.amazonaws.com","eventName":"PutObject"}]}"#,
            "a record of the event source \"s3.amazonaws.com\"",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
            "no eventVersion",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:s3","eventVersion":"2.1"}]}"#,
            "no eventName",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:s3","eventVersion":"2.1","eventName":"x"}]}"#,
            "the unknown eventName \"x\"",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:s3","eventVersion":"2.1","eventName":"ObjectCreated:Put"}]}"#,
            "no member s3",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:sns","Sns":{}}]}"#,
            "without Type and Message",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:sqs"}]}"#,
            "the event source \"aws:sqs\"",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:sqs","body":7}]}"#,
            "the body of a record",
        ),
        (
            r#"{"Type":"Notification","Message":"hello"}"#,
            "in SNS: not a JSON object but \"hello\"",
        ),
        (
            r#"{"Type":"Notification","Message":"{}"}"#,
            "in SNS: not a notification",
        ),
        (
            r#"{"Type":"Notification","Message":{}}"#,
            "Message cannot be read",
        ),
        (r#"{"Type":"Notification"}"#, "the members \"Type\""),
        (r#"{"Type":"New","Message":""}"#, "the unknown Type \"New\""),
        (r#"{"s3Bucket":"trail"}"#, "the members \"s3Bucket\""),
        (
            r#"{"s3Bucket":"trail","s3ObjectKey":"k"}"#,
            "s3ObjectKey cannot be read",
        ),
        (
            r#"{"s3Bucket":"trail","s3ObjectKey":["k",null]}"#,
            "a key of s3ObjectKey",
        ),
        (
            r#"{"s3Bucket":"trail","s3ObjectKey":[""]}"#,
            "a key is empty",
        ),
        (
            r#"{"s3Bucket":1,"s3ObjectKey":["k"]}"#,
            "s3Bucket cannot be read",
        ),
        (
            r#"{"source":"aws.ec2","detail-type":"Object Created"}"#,
            "the source \"aws.ec2\"",
        ),
        (r#"{"detail-type":"Object Created"}"#, "the source \"\""),
        (
            r#"{"source":"aws.s3","detail-type":"AWS API Call via CloudTrail","detail":{}}"#,
            "the unknown detail-type \"AWS API Call via CloudTrail\"",
        ),
        (
            r#"{"source":"aws.s3","detail-type":"Object Created"}"#,
            "no detail",
        ),
        (
            r#"{"source":"aws.s3","detail-type":"Object Created","detail":{}}"#,
            "names no bucket",
        ),
        (r#"{"Event":"s3:Other"}"#, "the unknown Event \"s3:Other\""),
        (
            r#"{"requestPayload":7}"#,
            "in a Lambda destination: not a JSON object but \"7\"",
        ),
        (
            r#"{"Records":[],"s3Bucket":"trail","s3ObjectKey":[]}"#,
            "several forms",
        ),
    ] {
        let why = refused(body);
        assert!(
            why.starts_with("notification: ") && why.contains(words),
            "{why}"
        );
    }
    assert!(decode(b"{\"s3Bucket\":\"\xff\"}").is_err());
}

#[test]
fn one_bad_record_makes_the_whole_message_an_error() {
    let bad: [fn(&mut Value); 10] = [
        |r| r["s3"]["object"]["key"] = json!("100%"),
        |r| r["s3"]["object"]["key"] = json!("%FF"),
        |r| r["s3"]["object"]["key"] = json!(null),
        |r| r["s3"]["object"]["key"] = json!("k".repeat(1025)),
        |r| r["s3"]["object"]["size"] = json!(-1),
        |r| r["s3"]["object"]["size"] = json!(1e300),
        |r| r["s3"]["object"]["size"] = json!("1"),
        |r| r["s3"]["bucket"]["name"] = json!(null),
        |r| r["s3"]["bucket"] = json!("trail"),
        |r| r["s3"]["object"] = json!(null),
    ];
    for make in bad {
        for event in ["ObjectCreated:Put", "ObjectRemoved:Delete"] {
            let mut bad = record(event, KEY);
            make(&mut bad);
            let good = record("ObjectCreated:Put", KEY);
            refused(&records(&[good.clone(), bad.clone()]));
            refused(&sqs_to_lambda(&[&records(&[good]), &records(&[bad])]));
        }
    }
}

#[test]
fn what_is_read_comes_once() {
    for (body, again) in [
        (s3_event(KEY), r#""Records":[],"#),
        (
            in_sns(&s3_event(KEY)),
            r#""Message":"CloudTrail validation message.","#,
        ),
        (cloudtrail(&[KEY]), r#""s3ObjectKey":[],"#),
        (event_bridge("Object Created", KEY), r#""detail":null,"#),
        (
            lambda_destination(&s3_event(KEY)),
            r#""requestPayload":null,"#,
        ),
    ] {
        assert_eq!(keys(&body), [KEY]);
        let twice = format!("{{{again}{}", &body[1..]);
        assert!(refused(&twice).contains("duplicate field"), "{twice}");
    }
    for (once, twice) in [
        ("\"key\":", r#""key":"other","key":"#),
        ("\"name\":", r#""name":"other","name":"#),
        ("\"eTag\":", r#""etag":"other","eTag":"#),
        (
            "\"eventSource\":",
            r#""EventSource":"aws:s3","eventSource":"#,
        ),
        (
            "\"eventName\":",
            r#""eventName":"ObjectRemoved:Delete","eventName":"#,
        ),
    ] {
        let body = s3_event(KEY).replacen(once, twice, 1);
        assert!(refused(&body).contains("duplicate field"), "{body}");
    }
}
