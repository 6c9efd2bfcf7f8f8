//! `forward --plan`: what it counts, what it leaves out, and that it changes nothing.

use std::path::Path;
use std::time::Duration;

use ctforward_core::ledger::{Claim, Finished, Ledger, SqliteLedger};
use ctforward_core::pipeline::FileBooks;
use ctforward_core::source::DirectorySource;
use ctforward_core::{Intake, Object, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::*;

/// Twelve files of one to twelve records; a digest, a folder of another service and
/// a text file besides.
fn bucket(root: &Path) {
    for n in 1..=12 {
        let records: Vec<String> = (0..n).map(|k| record(&format!("{n}-{k}"))).collect();
        let region = if n % 3 == 0 { "eu-west-1" } else { "us-east-1" };
        let file = gzip(log_file(&records).as_bytes());
        write(root, &key("111122223333", region, n), &file);
    }
    let digest = "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/03/01/111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260301T120000Z.json.gz";
    write(root, digest, b"digest");
    let config = "AWSLogs/111122223333/Config/us-east-1/2026/3/1/c.json.gz";
    write(root, config, b"config");
}

async fn plan(source: &str, more: &[&str]) -> Ran {
    let mut args = vec!["forward", source, "--plan"];
    args.extend_from_slice(more);
    let mut command = cli();
    command.env_remove("VISIONONE_INGEST_TOKEN");
    run_with(command, args).await
}

#[tokio::test]
async fn a_plan_that_reads_every_file_counts_what_a_forward_does() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("logs");
    bucket(&root);
    let source = root.to_str().unwrap();
    let out = folder.path().join("out.ndjson");
    let before = files(folder.path());
    let narrow = ["--region", "us-east-1", "--report", "json"];
    let ran = plan(source, &narrow).await;
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let planned = ran.json();
    assert_eq!(files(folder.path()), before, "a plan writes nothing");

    let mut args = vec!["forward", source, "--to", out.to_str().unwrap()];
    args.extend(narrow);
    let done = run(args).await.json();
    assert_eq!(planned["plan"]["skipped"], done["skipped_because"]);
    assert_eq!(planned["plan"]["seen"], done["files"]["seen"]);
    assert_eq!(
        planned["plan"]["to_read"]["files"],
        done["files"]["delivered"]
    );
    assert_eq!(
        planned["plan"]["to_read"]["bytes"],
        done["bytes"]["compressed"]
    );
    let estimate = &planned["estimate"];
    assert_eq!(estimate["complete"], true);
    assert_eq!(estimate["records"]["about"], done["records"]["accepted"]);
    assert_eq!(
        estimate["inflated_bytes"]["about"],
        done["bytes"]["inflated"]
    );
    let sent = std::fs::metadata(&out).unwrap().len();
    assert_eq!(estimate["sent_bytes"]["about"], sent);
    assert_eq!(estimate["sink_requests_at_least"], 1);
    assert_eq!(estimate["seconds"], serde_json::Value::Null);
    assert_eq!(planned["cost"]["money"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_sample_gives_estimates_and_none_gives_none() {
    let folder = tempfile::tempdir().unwrap();
    bucket(folder.path());
    let source = folder.path().to_str().unwrap();
    let ran = plan(source, &["--plan-sample", "5", "--plan-rate", "1000"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    for text in [
        "nothing was sent",
        "1 file: digest file",
        "5 of 12 files opened",
        "± is one standard error",
        "  records   about ",
        "at least 1, of 1.0 MB at most",
        "at 1.0 kB of records a second",
    ] {
        assert!(ran.stdout.contains(text), "{text}: {}", ran.stdout);
    }
    assert!(
        !ran.stdout.contains("cost"),
        "without prices: {}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("S3 requests"), "{}", ran.stdout);
    let again = plan(source, &["--plan-sample", "5", "--plan-rate", "1000"]).await;
    assert_eq!(ran.stdout, again.stdout, "the sample is the same");

    let ran = plan(source, &["--plan-sample", "0", "--price-credits-gb", "2"]).await;
    assert!(ran.stdout.contains("estimates   none"), "{}", ran.stdout);
    assert!(ran.stdout.contains("unknown without a sample"));
    assert!(ran.stdout.contains("12 files, "), "{}", ran.stdout);
}

/// Finishes the files in a ledger as a run would, but the last, which is only begun.
async fn deliver(ledger: &SqliteLedger, root: &Path, keys: &[&str]) {
    let mut source = DirectorySource::new(root).unwrap();
    while let Some(intake) = source.next().await.unwrap() {
        let Intake::File(file) = intake else { continue };
        let Some(at) = keys.iter().position(|key| *key == file.object.id.key) else {
            continue;
        };
        finish(ledger, &file.object, at + 1 < keys.len()).await;
    }
}

async fn finish(ledger: &SqliteLedger, object: &Object, to_the_end: bool) {
    let lease = Duration::from_secs(60);
    let claim = ledger.claim(object, "test", lease).await.unwrap();
    let Claim::Granted { ticket, .. } = claim else {
        panic!("{claim:?}");
    };
    if to_the_end {
        let mut books = FileBooks::default();
        (books.records.read, books.records.accepted) = (1, 1);
        let finished = Finished::delivered(books);
        ledger.finish(&ticket, object, &finished).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_ledger_calls_delivered_is_left_out_and_nothing_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("logs");
    bucket(&root);
    let path = folder.path().join("ledger.db");
    let keys: Vec<String> = [1, 2, 4, 5]
        .map(|n| key("111122223333", "us-east-1", n))
        .into();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let ledger = SqliteLedger::open(&path).unwrap();
    deliver(&ledger, &root, &keys).await;
    drop(ledger);
    // Written anew after it was delivered: it counts as new.
    write(&root, keys[1], &gzip(log_file(&[record("new")]).as_bytes()));
    let rows = || async {
        let at = path.to_str().unwrap();
        run(["ledger", "export", "--ledger", at]).await.stdout
    };
    let before = rows().await;
    let at = path.to_str().unwrap();
    let ran = plan(
        root.to_str().unwrap(),
        &["--ledger", at, "--report", "json"],
    )
    .await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["plan"]["delivered"]["files"], 2, "{json}");
    assert_eq!(json["plan"]["begun"], 1);
    assert_eq!(json["plan"]["to_read"]["files"], 10);
    assert_eq!(rows().await, before);

    let nowhere = folder.path().join("none.db");
    let at = nowhere.to_str().unwrap();
    let ran = plan(root.to_str().unwrap(), &["--ledger", at]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("there is no ledger"), "{ran:?}");
    assert!(!nowhere.exists(), "a plan makes none");
}

#[tokio::test]
async fn a_bucket_is_planned_with_its_requests_and_their_price() {
    let root = tempfile::tempdir().unwrap();
    bucket(&root.path().join("trail"));
    let url = crate::s3::serve(root.path()).await;
    let more = [
        "--s3-endpoint-url",
        &url,
        "--plan-sample",
        "3",
        "--price-get-1000",
        "0.5",
        "--price-list-1000",
        "1000",
        "--report",
        "json",
    ];
    let ran = plan("s3://trail", &more).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let json = ran.json();
    assert_eq!(json["sample"]["read"], 3);
    assert_eq!(json["s3_requests"]["get"], 12);
    assert_eq!(json["cost"]["get_requests"], 0.006);
    let lists = json["s3_requests"]["list"].as_f64().unwrap();
    assert!(lists >= 1.0);
    assert_eq!(json["cost"]["list_requests"], lists);

    let ran = plan("s3://nowhere", &["--s3-endpoint-url", &url]).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("nowhere"), "{}", ran.stderr);
}

/// A server whose only answer is this page of a listing; anything else is refused.
async fn page(xml: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                head.push(byte);
            }
            let listing = String::from_utf8_lossy(&head).contains("list-type=2");
            let status = if listing { "200 OK" } else { "403 Forbidden" };
            let length = xml.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n{xml}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn archived_objects_stand_apart_with_commands_that_no_key_can_change() {
    let hostile = "x/it's $(touch pwned);\u{202e}\u{1b}[2J.json";
    let mut contents = String::new();
    for (key, size, class) in [
        ("a.json", 7, "STANDARD"),
        ("b.json", 11, "GLACIER_IR"),
        ("file:///etc/passwd", 13, "GLACIER"),
        (hostile, 17, "DEEP_ARCHIVE"),
        ("-z.json", 19, "GLACIER"),
    ] {
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        contents.push_str(&format!(
            "<Contents><Key>{encoded}</Key><ETag>e</ETag><Size>{size}</Size>\
             <StorageClass>{class}</StorageClass></Contents>"
        ));
    }
    let url = page(format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
         {contents}</ListBucketResult>"
    ))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("restore.sh");
    let common = ["--s3-endpoint-url", &url, "--plan-sample", "0"];
    let mut more = common.to_vec();
    more.extend(["--plan-restore-file", script.to_str().unwrap()]);
    let ran = plan("s3://logs", &more).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("archived  3 files, 49 B"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("to read     2 files, 18 B"));
    assert!(ran.stdout.contains("none for 1 file: "), "{}", ran.stdout);
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!ran.stdout.contains(steers), "{}", ran.stdout);

    // A shell hands on the very keys, as one word each.
    let commands = std::fs::read_to_string(&script).unwrap();
    assert_eq!(commands.lines().count(), 2);
    let shell = format!("aws() {{ printf '<%s>\\n' \"$@\"; }}\n{commands}");
    let shown = std::process::Command::new("bash")
        .args(["-c", &shell])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains(&format!("<--key>\n<{hostile}>\n")),
        "{shown}"
    );
    assert!(shown.contains("<--key=-z.json>"), "{shown}");
    assert!(!folder.path().join("pwned").exists());

    // The file is there now, and is not written over.
    let ran = plan("s3://logs", &more).await;
    assert_eq!(ran.status, 2, "{ran:?}");
    let mut more = common.to_vec();
    more.extend(["--report", "json"]);
    let json = plan("s3://logs", &more).await.json();
    assert_eq!(json["plan"]["archived"]["bytes"], 49);
    assert_eq!(json["plan"]["without_command"], 1);
    assert_eq!(json["plan"]["storage_classes"]["GLACIER_IR"]["files"], 1);
    assert_eq!(json["estimate"], serde_json::Value::Null);
}

#[tokio::test]
async fn options_of_a_plan_need_the_plan() {
    for args in [
        &["--plan-rate", "5"][..],
        &["--price-get-1000", "1"],
        &["--plan", "--dry-run"],
        &["--plan", "--plan-rate", "0"],
        &["--plan", "--price-get-1000", "-1"],
    ] {
        let mut all = vec!["forward", ".", "--to", "/dev/null"];
        all.extend_from_slice(args);
        let ran = run(all).await;
        assert_eq!(ran.status, 2, "{args:?} {ran:?}");
    }
}

#[tokio::test]
async fn what_of_the_sample_cannot_be_read_is_named_and_no_basis_of_an_estimate() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(log_file(&[record("one"), record("two")]).as_bytes());
    let cut = &whole[..whole.len() - 20];
    write(folder.path(), &key("111122223333", "us-east-1", 1), cut);
    let source = folder.path().to_str().unwrap();
    let ran = plan(source, &[]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("estimates   none"), "{}", ran.stdout);
    assert!(ran.stderr.contains("not read for the sample: "), "{ran:?}");

    write(folder.path(), &key("111122223333", "us-east-1", 2), &whole);
    write(folder.path(), "notes\u{1b}[2J.txt", b"no log");
    let json = plan(source, &["--report", "json"]).await.json();
    assert_eq!(json["sample"]["failed"], 1);
    assert_eq!(
        (&json["sample"]["read"], &json["sample"]["no_log"]),
        (&1.into(), &1.into())
    );
    assert_eq!(json["estimate"]["complete"], false);
    assert!(json["estimate"]["based_on"].is_string());
}
