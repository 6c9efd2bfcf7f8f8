//! `doctor`: the built program against servers that are sound, and broken in one place.

mod fake;

use fake::{QUEUE, World, entry};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::*;

fn sound() -> World {
    let now = jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now());
    World::sound(&now.date().to_string())
}

/// Looks at the world's bucket and queue, as seen from its region.
async fn doctor(world: World, more: &[&str]) -> Ran {
    let url = world.serve().await;
    let queue = format!("{url}/111122223333/logs");
    let mut command = cli();
    command
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_MAX_ATTEMPTS", "1");
    let mut args = vec![
        "doctor",
        "s3://trail/AWSLogs/",
        "--queue-url",
        &queue,
        "--endpoint-url",
        &url,
    ];
    args.extend_from_slice(more);
    let ran = run_with(command, args).await;
    ran.assert_no_secret();
    for text in [&ran.stdout, &ran.stderr] {
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\n'),
            "{text:?}"
        );
    }
    ran
}

fn check<'j>(json: &'j Value, id: &str) -> &'j Value {
    let checks = json["checks"].as_array().unwrap();
    let mut found = checks.iter().filter(|check| check["id"] == id);
    let check = found.next().unwrap_or_else(|| panic!("no {id}: {json}"));
    assert!(found.next().is_none(), "{id} comes twice");
    check
}

#[tokio::test]
async fn a_sound_source_passes() {
    let ran = doctor(sound(), &["--json"]).await;
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let json = ran.json();
    for id in [
        "credentials",
        "clock",
        "bucket-region",
        "list",
        "layout",
        "recent",
        "get",
        "request-payer",
        "digest",
        "queue",
        "notification",
        "queue-policy",
        "queue-encryption",
        "queue-visibility",
        "queue-retention",
        "dead-letters",
        "trail",
        "own-reads",
    ] {
        assert_eq!(check(&json, id)["outcome"], "pass", "{id}: {json}");
    }
    assert_eq!(check(&json, "decrypt")["outcome"], "skipped");
    assert_eq!(check(&json, "queue-receive")["outcome"], "unknown");
    assert_eq!(check(&json, "endpoint")["outcome"], "skipped");
    assert_eq!(json["counts"]["fail"], 0);

    let table = doctor(sound(), &[]).await;
    assert_eq!(table.status, 0, "{table:?}");
    assert!(
        table.stdout.contains("pass     notification"),
        "{}",
        table.stdout
    );
    assert!(
        table
            .stdout
            .ends_with("0 fail, 0 warn, 1 unknown, 18 pass, 2 skipped\n"),
        "{}",
        table.stdout
    );
}

type Change = fn(&mut World);

#[tokio::test]
async fn each_thing_that_is_broken_is_found_and_nothing_else_fails() {
    let changes: [(Change, &str, &str, &str); 16] = [
        (
            |w| w.region = "us-east-1",
            "bucket-region",
            "fail",
            "--s3-region us-east-1",
        ),
        (
            |w| w.date = Some("Tue, 01 Jan 2019 00:00:00 GMT"),
            "clock",
            "fail",
            "clock",
        ),
        (
            |w| w.notification = "<NotificationConfiguration/>".to_owned(),
            "notification",
            "fail",
            "put-bucket-notification-configuration",
        ),
        (
            |w| w.notification = entry(QUEUE, "images/"),
            "notification",
            "fail",
            QUEUE,
        ),
        (
            |w| w.notification = entry("arn:aws:sqs:eu-west-1:1:other", "x/"),
            "notification",
            "fail",
            ":other",
        ),
        (
            |w| {
                w.get_error = Some((
                    403,
                    "AccessDenied",
                    "not authorized to perform: kms:Decrypt",
                ));
            },
            "decrypt",
            "fail",
            "kms:Decrypt",
        ),
        (
            |w| w.get_error = Some((403, "InvalidObjectState", "archived")),
            "get",
            "fail",
            "restore-object",
        ),
        (
            |w| {
                w.denied.insert("s3:GetObject");
            },
            "get",
            "fail",
            "s3:GetObject",
        ),
        (
            |w| {
                let policy = w.queue.get_mut("Policy").unwrap();
                *policy = policy.replace("\"111122223333\"", "\"999999999999\"");
            },
            "queue-policy",
            "fail",
            "111122223333",
        ),
        (
            |w| {
                w.queue.remove("Policy");
            },
            "queue-policy",
            "fail",
            "aws:SourceArn",
        ),
        (
            |w| {
                w.queue.insert(
                    "RedrivePolicy",
                    json!({"deadLetterTargetArn": fake::LETTERS, "maxReceiveCount": 3}).to_string(),
                );
            },
            "dead-letters",
            "fail",
            "maxReceiveCount",
        ),
        (
            |w| {
                w.queue.insert("VisibilityTimeout", "0".to_owned());
            },
            "queue-visibility",
            "fail",
            "VisibilityTimeout",
        ),
        (
            |w| {
                w.queue.insert("KmsMasterKeyId", "alias/aws/sqs".to_owned());
            },
            "queue-encryption",
            "fail",
            "SqsManagedSseEnabled",
        ),
        (
            |w| {
                w.denied.insert("sqs:ChangeMessageVisibility");
            },
            "queue-receive",
            "fail",
            "sqs:ReceiveMessage",
        ),
        (
            |w| {
                w.denied.insert("sts:GetCallerIdentity");
            },
            "credentials",
            "fail",
            "get-caller-identity",
        ),
        (
            |w| w.selectors = json!([{"ReadWriteType": "All", "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}]),
            "own-reads",
            "warn",
            "--own-calls arn:aws:iam::111122223333:role/reader",
        ),
    ];
    for (change, id, outcome, fix) in changes {
        let mut world = sound();
        change(&mut world);
        let ran = doctor(world, &["--json"]).await;
        let json = ran.json();
        let found = check(&json, id);
        assert_eq!(found["outcome"], outcome, "{id}: {json}");
        assert!(
            found["fix"].as_str().unwrap().contains(fix),
            "{fix}: {found}"
        );
        let fails = usize::from(outcome == "fail");
        assert_eq!(ran.status, i32::from(fails == 1), "{id}: {ran:?}");
        assert_eq!(json["counts"]["fail"], fails, "{id}: {json}");
    }
}

#[tokio::test]
async fn what_may_not_be_looked_at_is_unknown_and_names_the_permission() {
    for (action, id) in [
        ("s3:GetBucketNotification", "notification"),
        ("s3:GetBucketRequestPayment", "request-payer"),
        ("sqs:GetQueueAttributes", "queue"),
        ("sqs:GetQueueUrl", "dead-letters"),
        ("cloudtrail:DescribeTrails", "own-reads"),
        ("cloudtrail:GetEventSelectors", "own-reads"),
    ] {
        let mut world = sound();
        world.denied.insert(action);
        let ran = doctor(world, &["--json"]).await;
        let json = ran.json();
        let found = check(&json, id);
        assert_eq!(found["outcome"], "unknown", "{action}: {found}");
        assert!(found["seen"].as_str().unwrap().contains(action), "{found}");
        assert_eq!(ran.status, 0, "{ran:?}");
    }
    // A run from a queue lists nothing: without it, a sample cannot be looked for.
    let mut world = sound();
    world.denied.insert("s3:ListBucket");
    let json = doctor(world, &["--json"]).await.json();
    assert_eq!(check(&json, "list")["outcome"], "warn");
    assert_eq!(check(&json, "get")["outcome"], "unknown");
}

#[tokio::test]
async fn a_server_of_s3_alone_and_the_stand_in_are_looked_at_over_real_connections() {
    let root = tempfile::tempdir().unwrap();
    let file = gzip(log_file(&[record("one")]).as_bytes());
    write(
        &root.path().join("trail"),
        &key("111122223333", "us-east-1", 5),
        &file,
    );
    let url = crate::s3::serve(root.path()).await;
    let standin = standin().await;
    let endpoint = standin.endpoint();
    let common = [
        "doctor",
        "s3://trail",
        "--s3-endpoint-url",
        &url,
        "--json",
        "--endpoint",
        &endpoint,
    ];
    let ran = run(common).await;
    let json = ran.json();
    assert_eq!(ran.status, 0, "{json}");
    for id in ["list", "layout", "get", "endpoint-connect"] {
        assert_eq!(check(&json, id)["outcome"], "pass", "{json}");
    }
    assert_eq!(
        check(&json, "recent")["outcome"],
        "warn",
        "the file is of March"
    );
    assert_eq!(check(&json, "digest")["outcome"], "warn");
    assert_eq!(check(&json, "token")["outcome"], "unknown");
    assert!(standin.records().is_empty(), "nothing was sent");

    let mut args = common.to_vec();
    args.push("--send-test-record");
    let ran = run(&args).await;
    let json = ran.json();
    assert_eq!(check(&json, "endpoint")["outcome"], "pass", "{json}");
    assert_eq!(check(&json, "token")["outcome"], "pass");
    let records = standin.records();
    assert_eq!(records.len(), 1);
    assert!(String::from_utf8_lossy(&records[0]).contains("CtforwardTestRecord"));

    let mut command = cli();
    command.env("VISIONONE_INGEST_TOKEN", "eyJ-another-token");
    let ran = run_with(command, &args).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(check(&ran.json(), "token")["outcome"], "fail");
    assert!(!ran.stdout.contains("eyJ-another-token"));
    ran.assert_no_secret();

    let ran = run([
        "doctor",
        "s3://trail/nowhere/",
        "--s3-endpoint-url",
        &url,
        "--json",
    ])
    .await;
    assert_eq!(ran.status, 1, "{ran:?}");
    let json = ran.json();
    assert_eq!(check(&json, "layout")["outcome"], "fail");
    assert!(
        check(&json, "layout")["fix"]
            .as_str()
            .unwrap()
            .contains("s3://trail/AWSLogs/"),
        "{json}"
    );
}

#[tokio::test]
async fn a_command_that_makes_no_sense_ends_with_2() {
    for args in [
        &["./logs"][..],
        &["s3://"],
        &["https://example.com"],
        &["sqs:not-an-address"],
        &[
            "sqs:https://sqs.eu-west-1.amazonaws.com/1/q",
            "--queue-url",
            "https://sqs.eu-west-1.amazonaws.com/1/q",
        ],
        &["s3://trail", "--endpoint", "http://example.com/in"],
        &["s3://trail", "--s3-endpoint-url", "http://10.0.0.1:9"],
        &["s3://trail", "--send-test-record"],
        &["s3://trail", "--outage", "soon"],
    ] {
        let mut all = vec!["doctor"];
        all.extend_from_slice(args);
        let ran = run(all).await;
        assert_eq!(ran.status, 2, "{args:?} {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn servers_that_never_answer_end_in_unknown_after_the_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Connections are taken and nothing is said.
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let queue = format!("{url}/111122223333/logs");
    let args = [
        "doctor",
        "s3://trail",
        "--queue-url",
        &queue,
        "--endpoint-url",
        &url,
        "--limit",
        "100ms",
        "--json",
    ];
    let ran = run(args).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let json = ran.json();
    for id in [
        "credentials",
        "bucket-region",
        "list",
        "queue",
        "notification",
        "own-reads",
    ] {
        let found = check(&json, id);
        assert_eq!(found["outcome"], "unknown", "{found}");
        assert!(
            found["seen"].as_str().unwrap().contains("in time"),
            "{found}"
        );
    }
    silent.abort();
}

#[tokio::test]
async fn servers_that_nobody_reaches_are_a_fail() {
    // An address that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let queue = format!("{url}/111122223333/logs");
    for (source, more, id) in [
        ("s3://trail", ["--s3-endpoint-url", &url], "bucket-region"),
        (&format!("sqs:{queue}"), ["--endpoint-url", &url], "queue"),
    ] {
        let mut args = vec!["doctor", source, "--json"];
        args.extend(more);
        let mut command = cli();
        command.env("AWS_MAX_ATTEMPTS", "1");
        let ran = run_with(command, args).await;
        assert_eq!(ran.status, 1, "{ran:?}");
        let json = ran.json();
        let found = check(&json, id);
        assert_eq!(found["outcome"], "fail", "{found}");
        assert!(
            found["fix"].as_str().unwrap().contains("address"),
            "{found}"
        );
        // What a run can do without is unknown all the same.
        let fails = &json["counts"]["fail"];
        assert_eq!(fails, 1, "{json}");
    }
}
