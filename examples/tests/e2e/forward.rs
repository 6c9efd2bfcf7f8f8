//! `forward` from a queue that hears of a bucket's new objects.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ctforward_visionone::standin::StandIn;

use crate::emulator::Emulator;
use crate::setup::{Counts, Feed, Via};
use crate::support::*;

pub const VISIBILITY: Duration = Duration::from_secs(30);

/// `forward` of what a feed's queue names to this endpoint, with a ledger in `folder`.
pub fn forward(feed: &Feed, s3: &str, endpoint: &str, folder: &Path) -> Command {
    let mut command = cli();
    command
        .args(["forward", "--queue-url", &feed.queue_url])
        .args(["--allow-bucket", &feed.bucket])
        .args(["--s3-endpoint-url", s3, "--endpoint", endpoint])
        .args([
            "--queue-wait",
            "1s",
            "--linger",
            "100ms",
            "--report",
            "json",
        ])
        .arg("--ledger")
        .arg(folder.join("ledger"));
    command
}

/// Until the queue is empty.
pub async fn drain(emulator: &Emulator, feed: &Feed, standin: &StandIn, folder: &Path) -> Ran {
    let command = forward(feed, &emulator.url, &standin.endpoint(), folder);
    let ran = run_with(command, ["--drain"]).await;
    ran.assert_no_secret();
    ran
}

/// The records with these names, as the stand-in got them.
pub fn lines(names: &[String]) -> Vec<Vec<u8>> {
    sorted(names.iter().map(|name| record(name).into_bytes()).collect())
}

pub fn names(file: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{file}-{n}")).collect()
}

async fn a_put_object_is_forwarded(emulator: &Emulator, via: Via) {
    let feed = emulator.bucket_with_queue(via, VISIBILITY).await;
    let mut all = Vec::new();
    for minute in 0..3 {
        let names = names(&format!("{via:?}-{minute}"), 5);
        emulator.put_log_file(&feed.bucket, minute, &names).await;
        all.extend(names);
    }
    emulator.until_queued(&feed.queue_url, 3).await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let ran = drain(emulator, &feed, &standin, folder.path()).await;
    assert_eq!(ran.status, 0, "{via:?} {ran:?}");
    assert_eq!(received(&standin), lines(&all), "{via:?}");
    assert_eq!(
        emulator.queue_counts(&feed.queue_url).await,
        Counts::EMPTY,
        "{via:?}"
    );
    assert_eq!(ran.json()["files"]["delivered"], 3, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_forwarded_whichever_way_its_notification_took() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    for via in [Via::Direct, Via::Sns, Via::SnsRaw, Via::EventBridge] {
        a_put_object_is_forwarded(&emulator, via).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_emulators_notifications_are_understood_too() {
    let Some(emulator) = Emulator::moto().await else {
        return;
    };
    a_put_object_is_forwarded(&emulator, Via::Direct).await;
}

/// A multipart upload, of which moto tells twice.
const UPLOAD: &str = r#"
bucket, key, body = args
s3 = client('s3')
upload = s3.create_multipart_upload(Bucket=bucket, Key=key)['UploadId']
part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=bytes.fromhex(body))
s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
    MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_told_of_twice_is_forwarded_once() {
    let Some(emulator) = Emulator::moto().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    let (key, names) = (key("111122223333", "us-east-1", 1), names("multipart", 5));
    let records: Vec<String> = names.iter().map(|name| record(name)).collect();
    let body: String = gzip(log_file(&records).as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    emulator.python(UPLOAD, &[&feed.bucket, &key, &body]).await;
    emulator.until_queued(&feed.queue_url, 2).await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let ran = drain(&emulator, &feed, &standin, folder.path()).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(received(&standin), lines(&names));
    assert_eq!(emulator.queue_counts(&feed.queue_url).await, Counts::EMPTY);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_among_good_messages_is_kept_with_its_body_and_stops_nothing() {
    let Some(emulator) = Emulator::ministack().await else {
        return;
    };
    let feed = emulator.bucket_with_queue(Via::Direct, VISIBILITY).await;
    emulator
        .send(&feed.queue_url, "this is no notification \u{202e}")
        .await;
    let good = names("good", 5);
    emulator.put_log_file(&feed.bucket, 1, &good).await;
    let elsewhere = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"elsewhere"},"object":{"key":"private.json.gz","size":1}}}]}"#;
    emulator.send(&feed.queue_url, elsewhere).await;
    emulator.until_queued(&feed.queue_url, 3).await;
    let (standin, folder) = (standin().await, tempfile::tempdir().unwrap());
    let ran = drain(&emulator, &feed, &standin, folder.path()).await;
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(!ran.stderr.contains('\u{202e}'), "{ran:?}");
    assert_eq!(received(&standin), lines(&good));
    assert_eq!(emulator.queue_counts(&feed.queue_url).await, Counts::EMPTY);
    assert_eq!(ran.json()["files"]["quarantined"], 2, "{ran:?}");
    let kept: Vec<u8> = files(&folder.path().join("ledger.quarantine"))
        .into_iter()
        .flat_map(|file| std::fs::read(file).unwrap())
        .collect();
    let kept = String::from_utf8_lossy(&kept).into_owned();
    assert!(kept.contains("this is no notification"), "{kept}");
    assert!(kept.contains("private.json.gz"), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_not_begun_without_saying_what_may_be_read_and_where_to_keep() {
    let url = "http://127.0.0.1:9/000000000000/q";
    let base = ["forward", "--queue-url", url, "--to", "/nonexistent/x"];
    for (more, words) in [
        (&["--ledger", "/nonexistent/l"][..], "--allow-bucket"),
        (&["--allow-bucket", "b"], "--quarantine"),
        (
            &[
                "--allow-bucket",
                "b",
                "--ledger",
                "/nonexistent/l",
                "--dry-run",
            ],
            "--dry-run",
        ),
        (
            &["--allow-bucket", "b", "--ledger", "/nonexistent/l", "."],
            "--drain",
        ),
    ] {
        let args = base.iter().chain(more).filter(|arg| {
            !(more.contains(&"--dry-run") && (**arg == "--to" || **arg == "/nonexistent/x"))
        });
        let ran = run(args).await;
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
}
