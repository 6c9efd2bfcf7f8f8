//! `catch-up`: what an outage left behind is found by the ledger, named, and forwarded.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::s3::serve;
use crate::support::*;

const A: &str = "111122223333";
const B: &str = "444455556666";

/// A bucket of which the ledger knows the half: what was queued for the rest was deleted.
struct Outage {
    folder: tempfile::TempDir,
    url: String,
    ledger: PathBuf,
}

impl Outage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("buckets")).unwrap();
        let bucket = folder.path().join("buckets/trail");
        for minute in 0..6 {
            for account in [A, B] {
                put(&bucket, account, "us-east-1", minute, "one");
            }
        }
        let url = serve(&folder.path().join("buckets")).await;
        let ledger = folder.path().join("ledger.sqlite");
        let outage = Self {
            folder,
            url,
            ledger,
        };
        // The half that was notified, read and delivered before the queue was lost.
        let first = outage
            .run("forward", &["--until", "2026-03-01T12:03:00Z"])
            .await;
        assert_eq!(first.0.status, 0, "{:?}", first.0);
        assert_eq!(first.1.len(), 6);
        outage
    }

    fn bucket(&self) -> PathBuf {
        self.folder.path().join("buckets/trail")
    }

    /// Runs a command against an endpoint of its own; answers what that received.
    async fn run(&self, command: &str, more: &[&str]) -> (Ran, Vec<Vec<u8>>) {
        let standin = standin().await;
        let endpoint = standin.endpoint();
        let mut args = vec![
            command,
            "s3://trail",
            "--s3-endpoint-url",
            &self.url,
            "--endpoint",
            &endpoint,
            "--ledger",
            self.ledger.to_str().unwrap(),
        ];
        args.extend_from_slice(more);
        let ran = run(args).await;
        ran.assert_no_secret();
        (ran, received(&standin))
    }
}

fn name(account: &str, minute: u32, what: &str) -> String {
    format!("{account}-{minute}-{what}")
}

fn put(bucket: &Path, account: &str, region: &str, minute: u32, what: &str) {
    let record = record(&name(account, minute, what));
    let file = gzip(log_file(&[record]).as_bytes());
    write(bucket, &key(account, region, minute), &file);
}

fn expected(minutes: std::ops::Range<u32>, accounts: &[&str]) -> Vec<Vec<u8>> {
    let records = minutes.flat_map(|minute| {
        let of = move |account: &&str| record(&name(account, minute, "one")).into_bytes();
        accounts.iter().map(of).collect::<Vec<_>>()
    });
    sorted(records.collect())
}

#[tokio::test]
async fn what_a_lost_queue_left_behind_is_named_forwarded_and_then_nothing_is_missing() {
    let outage = Outage::start().await;
    let before = std::fs::read(&outage.ledger).unwrap();
    let (ran, sent) = outage.run("catch-up", &["--dry-run"]).await;
    assert_eq!((ran.status, sent.len()), (1, 0), "{ran:?}");
    for line in [
        "listed      12 files",
        "delivered   6 files",
        "missing     6 files",
        "  2026-03-01  111122223333  us-east-1         3 files",
        "  2026-03-01  444455556666  us-east-1         3 files",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    assert_eq!(std::fs::read(&outage.ledger).unwrap(), before);

    let (ran, sent) = outage.run("catch-up", &[]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(sent, expected(3..6, &[A, B]));
    let at = |text: &str| {
        ran.stdout
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {ran:?}"))
    };
    assert!(at("missing     6 files") < at("12 seen = 6 delivered + 6 skipped"));

    for more in [&[][..], &["--dry-run"]] {
        let (ran, sent) = outage.run("catch-up", more).await;
        assert_eq!((ran.status, sent.len()), (0, 0), "{ran:?}");
        assert!(ran.stdout.contains("missing     0 files"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_time_an_account_and_a_rewritten_file_narrow_and_widen_what_is_missing() {
    let outage = Outage::start().await;
    let json = [
        "--account",
        A,
        "--since",
        "2026-03-01T12:05:00Z",
        "--report",
        "json",
    ];
    let (ran, sent) = outage.run("catch-up", &json).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(sent, expected(5..6, &[A]));
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "what is missing, and the report");
    assert_eq!(lines[0]["missing"]["files"], 1);
    assert_eq!(lines[0]["missing_by_place"][0]["account"], A);
    assert_eq!(lines[0]["missing_by_place"][0]["day"], "2026-03-01");
    assert_eq!(lines[1]["files"]["delivered"], 1);

    // By exact key, and not by a last one: an early file that is longer than before.
    put(&outage.bucket(), B, "us-east-1", 0, "rewritten-and-longer");
    put(&outage.bucket(), B, "eu-west-1", 1, "one");
    let (ran, sent) = outage
        .run("catch-up", &["--until", "2026-03-01T12:03:00Z"])
        .await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let rewritten = record(&name(B, 0, "rewritten-and-longer")).into_bytes();
    let late = record(&name(B, 1, "one")).into_bytes();
    assert_eq!(sent, sorted(vec![rewritten, late]));
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_still_missing_and_the_status_says_so() {
    let outage = Outage::start().await;
    let mut args = vec!["catch-up", "s3://trail", "--s3-endpoint-url", &outage.url];
    args.extend(["--endpoint", "http://127.0.0.1:9", "--give-up-after", "1s"]);
    let ledger = outage.ledger.to_str().unwrap();
    args.extend(["--ledger", ledger]);
    let ran = run(args).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    let (ran, sent) = outage.run("catch-up", &[]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(sent, expected(3..6, &[A, B]));
}

#[tokio::test]
async fn a_ledger_is_needed_and_a_listing_that_fails_sends_nothing() {
    let outage = Outage::start().await;
    let usage: [&[&str]; 4] = [
        &["--to", "x.ndjson"],
        &["--to", "-", "--ledger", "x.sqlite"],
        &["--plan", "--ledger", "x.sqlite"],
        &["--dry-run", "--plan", "--ledger", "x.sqlite"],
    ];
    for more in usage {
        let mut args = vec!["catch-up", "s3://trail"];
        args.extend_from_slice(more);
        let ran = run(args).await;
        assert_eq!(ran.status, 2, "{more:?} {ran:?}");
    }
    let standin = standin().await;
    let endpoint = standin.endpoint();
    let mut args = vec!["catch-up", "s3://nowhere", "--s3-endpoint-url", &outage.url];
    let ledger = outage.ledger.to_str().unwrap();
    args.extend(["--ledger", ledger, "--endpoint", &endpoint]);
    let ran = run(args).await;
    assert_ne!(ran.status, 0, "{ran:?}");
    assert!(ran.stderr.contains("nothing was sent"), "{ran:?}");
    assert!(standin.records().is_empty());
}
