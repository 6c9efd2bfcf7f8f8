//! What an answer of the endpoint comes to, over real HTTP and the whole way
//! through a pipeline: from the files to their receipts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ctforward_core::deliver::{PacePolicy, RetryPolicy};
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::quarantine::{Kept, MemoryQuarantine, QuarantineEntry, Reason};
use ctforward_core::source::MemorySource;
use ctforward_core::{ErrorKind, ObjectId, Pipeline, Report};
use ctforward_visionone::standin::{Faults, StandIn};
use tokio_util::sync::CancellationToken;

use crate::raw::{Raw, Step, answer};
use crate::{TOKEN, builder, secret};

const FILES: usize = 6;

/// What came of a run.
struct Outcome {
    report: Report,
    accepted: usize,
    released: Vec<ErrorKind>,
    quarantined: Vec<QuarantineEntry>,
}

fn record(file: usize, n: usize) -> String {
    format!(r#"{{"eventID":"{file}-{n}","n":1624.0}}"#)
}

fn documents(record: impl Fn(usize, usize) -> String) -> Vec<(ObjectId, Bytes)> {
    let document = |file: usize| {
        let records: Vec<String> = (0..10).map(|n| record(file, n)).collect();
        let key = format!("AWSLogs/1/CloudTrail/eu-west-1/2026/01/01/{file}.json");
        let document = format!("{{\"Records\":[{}]}}", records.join(","));
        (ObjectId::new("b", key), Bytes::from(document))
    };
    (0..FILES).map(document).collect()
}

/// Six files of ten records, in batches of ten.
async fn run(endpoint: &str, timeout: Duration, files: Vec<(ObjectId, Bytes)>) -> Outcome {
    let mut limits = PipelineLimits::default();
    limits.linger = Duration::from_millis(5);
    let pause = Duration::from_millis(1);
    let source = MemorySource::new(files);
    let receipts = source.receipts();
    let quarantine = Arc::new(MemoryQuarantine::new());
    let sink = builder(endpoint).records(10).request_timeout(timeout);
    let report = Pipeline::builder(source, sink.build().unwrap())
        .limits(limits)
        .retry(RetryPolicy::default().with_pauses(pause, pause * 5))
        .pace(PacePolicy::default().with_breaker(5, pause, pause * 5))
        .quarantine(Arc::clone(&quarantine))
        .build()
        .unwrap()
        .run(CancellationToken::new())
        .await;
    assert!(report.balanced(), "{report:?}");
    let released = receipts.released().into_iter().map(|(_, kind)| kind);
    Outcome {
        report,
        accepted: receipts.accepted().len(),
        released: released.collect(),
        quarantined: quarantine.entries(),
    }
}

const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(20);

async fn standin(faults: &[&str]) -> StandIn {
    let faults = Faults::of(faults.iter().copied()).unwrap();
    let builder = StandIn::builder().token(secret(TOKEN)).faults(faults);
    builder.start().await.unwrap()
}

fn taken(outcome: &Outcome, status: &str) {
    let files = outcome.report.files;
    assert_eq!(
        (files.delivered, outcome.accepted),
        (FILES as u64, FILES),
        "{status}"
    );
    assert_eq!(outcome.report.records.accepted, 60, "{status}");
    assert!(
        outcome.quarantined.is_empty() && outcome.released.is_empty(),
        "{status}"
    );
    assert!(matches!(outcome.report.end, End::Exhausted), "{status}");
}

/// Nothing was accepted, acknowledged or put aside, and the run says why.
fn stopped(outcome: &Outcome, kind: ErrorKind, status: &str) {
    let end = &outcome.report.end;
    let says_why = matches!(end, End::Failed(error) if error.kind() == kind);
    assert!(says_why, "{status}: {end:?}");
    assert_eq!(outcome.report.records.accepted, 0, "{status}");
    assert_eq!(outcome.accepted + outcome.quarantined.len(), 0, "{status}");
    assert_eq!(
        outcome.released.len() as u64,
        outcome.report.files.seen,
        "{status}"
    );
    assert!(outcome.report.files.seen > 0, "{status}");
}

#[tokio::test]
async fn each_status_ends_as_the_table_says() {
    for status in [200, 201, 202, 204] {
        let server = StandIn::builder()
            .token(secret(TOKEN))
            .accept_status(status);
        let server = server.start().await.unwrap();
        let outcome = run(&server.endpoint(), LATE, documents(record)).await;
        taken(&outcome, &status.to_string());
        assert_eq!(server.lines().len(), 60);
    }
    for (fault, kind) in [
        ("401:after=0", ErrorKind::Unauthorized),
        ("403:after=0", ErrorKind::Unauthorized),
        ("404:after=0", ErrorKind::Config),
        ("405:after=0", ErrorKind::Config),
        ("410:after=0", ErrorKind::Config),
        ("415:after=0", ErrorKind::Config),
        ("redirect:1", ErrorKind::Config),
        ("html:1", ErrorKind::Config),
        // For everything: not the records' fault.
        ("400:match=eventID", ErrorKind::Rejected),
        ("422:match=eventID", ErrorKind::Rejected),
    ] {
        let server = standin(&[fault]).await;
        let outcome = run(&server.endpoint(), LATE, documents(record)).await;
        stopped(&outcome, kind, fault);
        assert!(server.lines().is_empty(), "{fault}");
    }
    // Another success, or one that is none by its body.
    for (status, body) in [
        ("203 Other", ""),
        ("205 Reset", ""),
        ("206 Part", ""),
        ("207 Many", r#"[{"status":200}]"#),
        ("301 Moved", ""),
        ("304 Same", ""),
        ("200 OK", "<!DOCTYPE html><html></html>"),
    ] {
        let steps = std::iter::repeat_with(|| Step::Answer(answer(status, "", body)));
        let server = Raw::start(steps.take(100)).await;
        let outcome = run(&server.endpoint(), LATE, documents(record)).await;
        stopped(&outcome, ErrorKind::Config, status);
    }
}

#[tokio::test]
async fn too_large_and_refused_records_are_put_aside_alone() {
    let odd = |file, n| match (file, n) {
        (1, 3) => r#"{"eventID":"POISON"}"#.to_owned(),
        (3, 0) => r#"{"eventID":"TOXIC"}"#.to_owned(),
        (4, 9) => format!(r#"{{"eventID":"{}"}}"#, "x".repeat(300)),
        _ => record(file, n),
    };
    let server = standin(&["400:match=POISON", "422:match=TOXIC", "413:bytes=250"]).await;
    let outcome = run(&server.endpoint(), LATE, documents(odd)).await;
    assert_eq!((outcome.report.files.delivered, outcome.accepted), (6, 6));
    assert_eq!(outcome.report.records.accepted, 57);
    let mut kept = outcome.quarantined;
    kept.sort_by(|a, b| a.object.id.cmp(&b.object.id));
    for (entry, (file, n)) in kept.iter().zip([(1, 3), (3, 0), (4, 9)]) {
        assert_eq!(entry.reason, Reason::Refused);
        assert_eq!(entry.kept, Kept::Bytes(odd(file, n).into()));
        assert!(entry.object.id.key.ends_with(&format!("/{file}.json")));
    }
    assert_eq!(kept.len(), 3);
    assert_eq!(server.lines().len(), 57);
}

#[tokio::test]
async fn what_passes_later_is_sent_again_until_it_passes() {
    for fault in [
        "408:after=0,for=4",
        "429:after=0,for=7",
        "429:after=1,for=2,retry-after=0",
        "500:after=0,for=4",
        "502:after=2,for=4",
        "503:after=0,for=9",
        "504:after=1,for=4",
        "reset-before:0.5",
        "stuck:0.3",
        "truncated:0.5",
    ] {
        let server = standin(&[fault]).await;
        let outcome = run(&server.endpoint(), SOON, documents(record)).await;
        taken(&outcome, fault);
        assert!(server.fault_counts()[0].1 > 0, "{fault}");
        let mut arrived = server.lines();
        arrived.sort();
        arrived.dedup();
        assert_eq!(arrived.len(), 60, "{fault}");
    }
}
