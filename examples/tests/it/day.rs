//! `forward --max-bytes-per-day`: a limit that holds, over processes too.

use std::path::Path;

use ctforward_visionone::standin::{Faults, StandIn};

use crate::support::*;

/// Longer than any machine takes for a request. It bounds a request too.
const LONG: &str = "60s";

/// Forty files of 30 records, about 250 kB inflated.
fn bucket(root: &Path) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for n in 0..40 {
        let records: Vec<String> = (0..30).map(|i| record(&format!("f{n}r{i}"))).collect();
        write(
            root,
            &key("111122223333", "us-east-1", n),
            &gzip(log_file(&records).as_bytes()),
        );
        all.extend(records.into_iter().map(String::into_bytes));
    }
    sorted(all)
}

async fn day(source: &Path, ledger: &Path, endpoint: &str, limit: &str, patience: &str) -> Ran {
    run([
        "forward",
        source.to_str().unwrap(),
        "--endpoint",
        endpoint,
        "--ledger",
        ledger.to_str().unwrap(),
        "--batch-bytes",
        "20000",
        "--max-bytes-per-day",
        limit,
        "--exit-at-daily-limit",
        "--give-up-after",
        patience,
    ])
    .await
}

fn bytes(standin: &StandIn) -> usize {
    standin.records().iter().map(|line| line.len() + 1).sum()
}

#[tokio::test]
async fn a_day_takes_no_more_than_its_limit_however_often_the_program_is_started() {
    let place = tempfile::tempdir().unwrap();
    let (source, ledger) = (place.path().join("b"), place.path().join("ledger"));
    let expected = bucket(&source);
    let standin = standin().await;
    for _ in 0..3 {
        let ran = day(&source, &ledger, &standin.endpoint(), "100000", LONG).await;
        assert_eq!(ran.status, 1, "{ran:?}");
        assert!(ran.stderr.contains("the day's limit"), "{ran:?}");
        let sent = bytes(&standin);
        assert!((60_000..=100_000).contains(&sent), "{sent}");
    }
    // A larger limit takes the rest, and nothing twice.
    let ran = day(&source, &ledger, &standin.endpoint(), "100000000", LONG).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(received(&standin), expected);
}

#[tokio::test]
async fn a_limit_that_is_not_reached_hides_no_failure() {
    let place = tempfile::tempdir().unwrap();
    let (source, ledger) = (place.path().join("b"), place.path().join("ledger"));
    bucket(&source);
    let faults = Faults::of(["503:1"]).unwrap();
    let standin = start(StandIn::builder().faults(faults)).await;
    let ran = day(&source, &ledger, &standin.endpoint(), "50000", "1s").await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("given up"), "{ran:?}");
    assert!(!ran.stderr.contains("the day's limit"), "{ran:?}");
    assert!(standin.counts().posts < 60, "{:?}", standin.counts());
    assert!(standin.records().is_empty());
}

#[tokio::test]
async fn what_cannot_work_is_said_before_anything_is_made() {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("lines");
    let (source, to_text) = (place.path().to_str().unwrap(), to.to_str().unwrap());
    let ran = run([
        "forward",
        source,
        "--to",
        to_text,
        "--max-bytes-per-day",
        "9",
    ])
    .await;
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(!to.exists());
}
