//! `forward`: what arrives, what is said of it, and the exit status.

use std::time::{Duration, Instant};

use ctforward_visionone::standin::StandIn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

/// Two accounts and two regions, four files, eight records.
fn bucket(root: &std::path::Path) -> Vec<Vec<u8>> {
    let mut expected = Vec::new();
    let places = [
        ("111122223333", "us-east-1", 5),
        ("111122223333", "ap-northeast-1", 10),
        ("444455556666", "us-east-1", 15),
        ("444455556666", "us-west-2-lax-1a", 20),
    ];
    for (index, (account, region, minute)) in places.into_iter().enumerate() {
        let records = [record(&format!("A{index}")), record(&format!("B{index}"))];
        expected.extend(records.iter().map(|r| r.clone().into_bytes()));
        write(
            root,
            &key(account, region, minute),
            &gzip(log_file(&records).as_bytes()),
        );
    }
    sorted(expected)
}

#[tokio::test]
async fn every_record_of_a_folder_arrives_byte_for_byte_and_the_books_balance() {
    let folder = tempfile::tempdir().unwrap();
    let expected = bucket(folder.path());
    let standin = standin().await;
    let root = folder.path().to_str().unwrap();
    let ran = run([
        "forward",
        root,
        "--endpoint",
        &standin.endpoint(),
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(received(&standin), expected);
    let json = ran.json();
    assert_eq!(
        json["files"],
        serde_json::json!({"seen":4,"delivered":4,"skipped":0,"quarantined":0,"failed":0})
    );
    assert_eq!(
        json["records"],
        serde_json::json!({"in":8,"accepted":8,"filtered":0,"duplicate":0,"quarantined":0,"undecided":0,"resumed":0})
    );
    let sent: usize = expected.iter().map(Vec::len).sum::<usize>() + expected.len();
    assert_eq!(json["bytes"]["sent"], sent);
    assert!(json["bytes"]["compressed"].as_u64().unwrap() > 0);
    assert!(json["seconds"].as_f64().unwrap() > 0.0);
    // Records of small files travel together.
    assert_eq!(standin.counts().posts, 1);
    ran.assert_no_secret();
}

#[tokio::test]
async fn the_text_report_says_the_same_and_a_pipe_sees_no_progress_bar() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let standin = standin().await;
    let ran = run([
        "forward",
        folder.path().to_str().unwrap(),
        "--endpoint",
        &standin.endpoint(),
    ])
    .await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("4 seen = 4 delivered + 0 skipped"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("8 in = 8 accepted"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
}

#[tokio::test]
async fn keys_and_times_narrow_what_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let root = folder.path().to_str().unwrap();
    let cases: [(&[&str], u64); 7] = [
        (&["--account", "111122223333"], 4),
        (&["--region", "us-east-1,us-west-2-lax-1a"], 6),
        (&["--since", "2026-03-01T12:10:00Z"], 6),
        (
            &[
                "--since",
                "2026-03-01T21:10:00+09:00",
                "--until",
                "2026-03-01T12:15:00Z",
            ],
            2,
        ),
        (&["--until", "2026-03-01"], 0),
        (&["--since", "2026-03-01", "--until", "2026-03-02"], 8),
        (&["--kind", "insight"], 0),
    ];
    for (narrow, expected) in cases {
        let mut args = vec!["forward", root, "--to", "/dev/null", "--report", "json"];
        args.extend_from_slice(narrow);
        let ran = run(args).await;
        assert_eq!(ran.status, 0, "{narrow:?} {ran:?}");
        let json = ran.json();
        assert_eq!(json["records"]["accepted"], expected, "{narrow:?}");
        assert_eq!(json["files"]["seen"], 4, "{narrow:?}");
        assert_eq!(json["files"]["skipped"], 4 - expected / 2, "{narrow:?}");
        if narrow.contains(&"2026-03-01") {
            assert!(
                ran.stderr
                    .contains("2026-03-01T00:00:00Z (a date alone is UTC)"),
                "{}",
                ran.stderr
            );
        }
    }
}

#[tokio::test]
async fn records_out_of_the_event_window_are_filtered_by_a_named_rule() {
    let folder = tempfile::tempdir().unwrap();
    let early = record("early").replace("2026-03-01T12", "2026-02-01T12");
    let timeless = record("timeless").replace("2026-03-01T12:00:00Z", "no time");
    let records = [early, record("in"), timeless];
    write(
        folder.path(),
        &key("111122223333", "us-east-1", 1),
        &gzip(log_file(&records).as_bytes()),
    );
    let root = folder.path().to_str().unwrap();
    let ran = run([
        "forward",
        root,
        "--to",
        "/dev/null",
        "--report",
        "json",
        "--event-since",
        "2026-03-01",
        "--event-until",
        "2026-03-02",
    ])
    .await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["records"]["accepted"], 2);
    assert_eq!(json["records"]["filtered"], 1);
    assert_eq!(json["filtered_by"]["event-since"], 1);
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_leaves_all_records_undecided() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let standin = standin().await;
    let root = folder.path().to_str().unwrap();
    let ran = run([
        "forward",
        root,
        "--endpoint",
        &standin.endpoint(),
        "--dry-run",
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.json()["records"]["undecided"], 8);
    assert_eq!(ran.json()["records"]["in"], 8);
    assert_eq!(standin.counts().requests, 0);
    let ran = run(["forward", root, "--dry-run", "--region", "us-east1"]).await;
    assert!(ran.stderr.contains("left out every file"), "{}", ran.stderr);
    // It needs neither endpoint nor token.
    let mut bare = cli();
    bare.env_remove("VISIONONE_INGEST_TOKEN");
    assert_eq!(
        run_with(bare, ["forward", root, "--dry-run"]).await.status,
        0
    );
}

#[tokio::test]
async fn records_go_to_a_file_or_standard_output_one_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let expected = bucket(folder.path());
    let root = folder.path().to_str().unwrap();
    let lines = |text: &str| sorted(text.lines().map(|l| l.as_bytes().to_vec()).collect());

    let ran = run(["forward", root, "--to", "-"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(lines(&ran.stdout), expected);
    assert!(ran.stderr.contains("8 in = 8 accepted"), "{}", ran.stderr);

    let out = folder
        .path()
        .parent()
        .unwrap()
        .join(format!("{}.ndjson", std::process::id()));
    let to = out.to_str().unwrap();
    let ran = run(["forward", root, "--to", to]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(lines(&std::fs::read_to_string(&out).unwrap()), expected);
    let again = run(["forward", root, "--to", to]).await;
    assert_eq!(
        again.status, 2,
        "an existing file is not overwritten: {again:?}"
    );
    std::fs::remove_file(out).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_reader_that_goes_away_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<String> = (0..5000).map(|i| record(&format!("r{i}"))).collect();
    write(
        folder.path(),
        &key("111122223333", "us-east-1", 1),
        &gzip(log_file(&records).as_bytes()),
    );
    for (to, status) in [("-", 1), ("/dev/null", 0)] {
        let mut command = cli();
        command
            .args(["forward", folder.path().to_str().unwrap(), "--to", to])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let ran = Ran::from(output.await.unwrap());
        assert_eq!(ran.status, status, "{ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_named_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let place = |minute| key("111122223333", "us-east-1", minute);
    let good = gzip(log_file(&[record("good")]).as_bytes());
    write(folder.path(), &place(1), &good);
    write(folder.path(), &place(2), &good[..good.len() - 9]);
    write(
        folder.path(),
        &place(3),
        &gzip(br#"{"Records":[{"ok":1},"no object",{"t":"a"#.as_slice()),
    );
    let mixed = format!(
        r#"{{"Records":[{},7,{{"bell":"{}"}},{}]}}"#,
        record("one"),
        '\u{7}',
        record("two")
    );
    write(folder.path(), &place(4), &gzip(mixed.as_bytes()));
    write(
        folder.path(),
        "AWSLogs/111122223333/Config/us-east-1/2026/3/1/x.json.gz",
        &good,
    );
    write(folder.path(), "notes.txt", b"not a log");
    write(folder.path(), "other.json", br#"{"configurationItems":[]}"#);
    let standin = standin().await;
    let root = folder.path().to_str().unwrap();
    let ran = run([
        "forward",
        root,
        "--endpoint",
        &standin.endpoint(),
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 3, "{ran:?}");
    let json = ran.json();
    assert_eq!(
        json["files"],
        serde_json::json!({"seen":7,"delivered":2,"skipped":3,"quarantined":2,"failed":0})
    );
    assert_eq!(json["records"]["accepted"], 3);
    assert_eq!(received(&standin).len(), 3);
    let offset = mixed.find(",7,").unwrap() + 1;
    assert!(
        ran.stderr
            .contains(&format!("record at byte {offset}, 1 bytes: not_an_object")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("bad_text"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("cut: the file ends in a gzip member"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("cut: the file ends in the JSON document"),
        "{}",
        ran.stderr
    );
    assert_eq!(json["skipped_because"]["not a CloudTrail log file"], 2);
}

#[tokio::test]
async fn a_named_file_that_is_no_log_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "export.csv", b"version,account\n2,1\n");
    let ran = run([
        "forward",
        path.to_str().unwrap(),
        "--to",
        "/dev/null",
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 3, "{ran:?}");
    assert_eq!(ran.json()["files"]["quarantined"], 1);
    assert!(ran.stderr.contains("not JSON"), "{}", ran.stderr);
}

#[tokio::test]
async fn hostile_text_from_logs_and_names_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let name = "evil\u{1b}[2J\u{202e}.json";
    let path = write(folder.path(), name, b"{\"Records\":[");
    let ran = run(["forward", path.to_str().unwrap(), "--to", "/dev/null"]).await;
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stderr.contains("\\u{1b}[2J\\u{202e}"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
}

#[tokio::test]
async fn a_refused_record_is_found_and_named_and_the_others_are_accepted() {
    // A record over the stand-in's body limit gets a 413 however often it is halved.
    let folder = tempfile::tempdir().unwrap();
    let big = record(&"x".repeat(60_000));
    let records: Vec<String> = (0..20)
        .map(|i| record(&format!("r{i}")))
        .chain([big])
        .collect();
    write(
        folder.path(),
        &key("111122223333", "us-east-1", 1),
        &gzip(log_file(&records).as_bytes()),
    );
    let standin = start(StandIn::builder().max_body_bytes(50_000)).await;
    let root = folder.path().to_str().unwrap();
    let ran = run([
        "forward",
        root,
        "--endpoint",
        &standin.endpoint(),
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 3, "{ran:?}");
    assert_eq!(ran.json()["records"]["accepted"], 20);
    assert_eq!(ran.json()["records"]["quarantined"], 1);
    assert_eq!(standin.records().len(), 20);
    assert!(ran.stderr.contains(": refused:"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_wrong_token_or_endpoint_ends_with_1_and_nothing_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let root = folder.path().to_str().unwrap();
    let standin = standin().await;
    let mut wrong = cli();
    wrong.env("VISIONONE_INGEST_TOKEN", "eyJ-another-token-s3cr3t");
    let endpoint = standin.endpoint();
    let ran = run_with(
        wrong,
        ["forward", root, "--endpoint", &endpoint, "--report", "json"],
    )
    .await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.json()["files"]["delivered"], 0);
    assert_eq!(ran.json()["records"]["undecided"], 8);
    ran.assert_no_secret();

    let elsewhere = format!("{}/elsewhere?sig=s3cr3t", standin.base_url());
    let ran = run([
        "forward",
        root,
        "--endpoint",
        &elsewhere,
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert_eq!(ran.json()["records"]["accepted"], 0);
    ran.assert_no_secret();
    assert_eq!(standin.records().len(), 0);
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_given_up_in_time_with_status_1() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let root = folder.path().to_str().unwrap();
    let began = Instant::now();
    // Nothing listens on the discard port of this machine.
    let ran = run([
        "forward",
        root,
        "--endpoint",
        "http://127.0.0.1:9/ingest?sig=s3cr3t",
        "--give-up-after",
        "2s",
        "--report",
        "json",
    ])
    .await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(120));
    assert!(
        ran.stderr.contains("nothing was accepted for 2 s"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.json()["records"]["undecided"], 8);
    assert_eq!(ran.json()["files"]["failed"], 4);
    ran.assert_no_secret();
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_with_1_and_says_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    // A server that takes the request and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, asked) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await;
        let _ = seen.send(());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let _ = stream
            .write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
            .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    });
    let mut command = cli();
    command
        .args(["forward", folder.path().to_str().unwrap(), "--endpoint"])
        .arg(format!("http://{address}/ingest"))
        .args(["--report", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id().to_string();
    asked.await.unwrap();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap();
    assert!(kill.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(120), output)
        .await
        .unwrap()
        .unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("interrupted"), "{}", ran.stderr);
    assert_eq!(ran.json()["records"]["undecided"], 8);
    assert_eq!(ran.json()["files"]["failed"], 4);
}
