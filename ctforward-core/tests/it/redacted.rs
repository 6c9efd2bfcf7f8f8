//! What is sent of a redacted record, and what is kept of it.

use std::sync::Arc;

use ctforward_core::duplicates::Duplicates;
use ctforward_core::pipeline::PipelineBuilder;
use ctforward_core::quarantine::{Kept, QuarantineEntry, Reason};
use ctforward_core::stage::{Redacted, Redaction, Redactor};
use ctforward_core::{Batch, BatchLimits, Delivery, Error, ErrorKind, Pipeline, Report, Result};

use crate::feed::{Feed, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, run};

struct Ran {
    report: Report,
    taken: Vec<String>,
    kept: Vec<QuarantineEntry>,
}

async fn with<F>(
    document: Vec<u8>,
    answer: F,
    settings: impl FnOnce(PipelineBuilder) -> PipelineBuilder,
) -> Ran
where
    F: Fn(usize, &Batch) -> Option<Result<Delivery>> + Send + Sync + 'static,
{
    let log = Log::default();
    let mut sink = answering(&log, answer);
    sink.limits = BatchLimits::new(100_000).with_record_bytes(120);
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let feed = Feed::of([file(&key(1), document)], &log);
    let report = run(settings(Pipeline::builder(feed, sink).quarantine(cell))).await;
    let taken = std::mem::take(&mut *taken.lock().unwrap());
    let kept = std::mem::take(&mut *entries.lock().unwrap());
    Ran {
        report,
        taken,
        kept,
    }
}

fn redaction(paths: &[&str]) -> Redaction {
    Redaction::new(paths.iter().copied()).unwrap()
}

fn nothing(_: usize, _: &Batch) -> Option<Result<Delivery>> {
    None
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_redacted_and_all_other_bytes_are_kept() {
    let records = [
        r#"{"n":1624.0,"secret":"s3cr3t-1","u":"\u00fc","secret":"s3cr3t-2"}"#.to_owned(),
        r#"{"n": 1,"secr\u0065t":"s3cr3t-3"}"#.to_owned(),
        r#"{"plain": true}"#.to_owned(),
    ];
    let ran = with(document(&records), nothing, |p| {
        p.redactor(redaction(&["secret"]))
    })
    .await;
    assert_eq!(ran.report.files, files(1, 0, 0, 0));
    assert_eq!(
        ran.taken,
        [
            r#"{"n":1624.0,"secret":"[redacted]","u":"\u00fc","secret":"[redacted]"}"#,
            r#"{"n": 1,"secr\u0065t":"[redacted]"}"#,
            r#"{"plain": true}"#,
        ]
    );
    let sent: usize = ran.taken.iter().map(|line| line.len() + 1).sum();
    assert_eq!(ran.report.bytes.sent, sent as u64);
}

#[tokio::test(start_paused = true)]
async fn redactors_follow_each_other() {
    let record = r#"{"a":"1","b":{"c":"2"}}"#.to_owned();
    let first = redaction(&["b"]).with_mark("first");
    let second = redaction(&["b", "a"]).with_mark("second");
    let ran = with(document(&[record]), nothing, |p| {
        p.redactor(first).redactor(second)
    })
    .await;
    assert_eq!(ran.taken, [r#"{"a":"second","b":"second"}"#]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_kept_as_it_lies_in_the_file() {
    let pretty = "{\r\n  \"n\" : 1624.0,\n\t\"secret\": \"s3cr3t\"\n}";
    let plain = r#"{"secret":"s3cr3t"}"#;
    let good = r#"{"x":"taken"}"#;
    let refuse = |_: usize, batch: &Batch| {
        let refused = batch.records().any(|r| !r.starts_with(b"{\"x\""));
        let error = Error::new(ErrorKind::Rejected, "sink", "400");
        refused.then_some(Err(error))
    };
    for redacts in [true, false] {
        let records = [good, pretty, good, plain, good].map(str::to_owned);
        let settings = |p: PipelineBuilder| match redacts {
            true => p.redactor(redaction(&["secret"])),
            false => p,
        };
        let ran = with(document(&records), refuse, settings).await;
        assert_eq!(ran.report.files, files(1, 0, 0, 0));
        assert_eq!(ran.taken, [good; 3]);
        let mut kept = ran.kept;
        kept.sort_by_key(|entry| entry.offset);
        let bytes: Vec<_> = kept.iter().map(|entry| entry.kept.clone()).collect();
        assert_eq!(
            bytes,
            [Kept::Bytes(pretty.into()), Kept::Bytes(plain.into())]
        );
        let first = 12 + good.len() as u64 + 1;
        assert_eq!(kept[0].offset, Some(first));
        assert_eq!(
            kept[1].offset,
            Some(first + (pretty.len() + good.len()) as u64 + 2)
        );
        assert!(kept.iter().all(|entry| entry.reason == Reason::Refused));
        assert!(kept.iter().all(|entry| !entry.detail.contains("s3cr3t")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pretty_record_is_redacted_and_sent_as_one_line() {
    let pretty = "{\n  \"n\" : 1624.0,\n  \"secret\": {\"a\":\n 1}\n}".to_owned();
    let ran = with(document(&[pretty]), nothing, |p| {
        p.redactor(redaction(&["secret"]))
    })
    .await;
    assert_eq!(ran.taken, [r#"{"n":1624.0,"secret":"[redacted]"}"#]);
}

/// Is sure of nothing that says so; may have written something by then.
struct Unsure;

impl Redactor for Unsure {
    fn redact(&self, record: &[u8], out: &mut Vec<u8>) -> Redacted {
        if record.starts_with(b"{\"odd\"") {
            out.extend_from_slice(b"{\"half");
            Redacted::Unsure
        } else {
            Redacted::Unchanged
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_redacted_for_certain_is_kept_and_not_sent() {
    let odd = r#"{"odd": "s3cr3t"}"#.to_owned();
    let records = [
        r#"{"a":1}"#.to_owned(),
        odd.clone(),
        r#"{"b":1}"#.to_owned(),
    ];
    let ran = with(document(&records), nothing, |p| p.redactor(Unsure)).await;
    assert_eq!(ran.report.files, files(1, 0, 0, 0));
    assert_eq!(ran.taken, [records[0].clone(), records[2].clone()]);
    assert_eq!(ran.kept.len(), 1);
    assert_eq!(
        (ran.kept[0].reason, ran.kept[0].offset),
        (Reason::Unredactable, Some(20))
    );
    assert_eq!(ran.kept[0].kept, Kept::Bytes(odd.into()));
    // What the real redactor is not sure of: a key on its way that is no text.
    let odd = r#"{"a":1,"\ud800":{"secret":1}}"#.to_owned();
    let ran = with(document(std::slice::from_ref(&odd)), nothing, |p| {
        p.redactor(redaction(&["*.secret"]))
    });
    let ran = ran.await;
    assert!(ran.taken.is_empty(), "{:?}", ran.taken);
    assert_eq!(ran.kept[0].kept, Kept::Bytes(odd.into()));
}

#[tokio::test(start_paused = true)]
async fn the_sinks_limit_is_for_what_is_sent() {
    let long = format!(r#"{{"secret":"{}"}}"#, "x".repeat(200));
    let grows = format!(r#"{{"secret":1,"x":"{}"}}"#, "y".repeat(120 - 19));
    assert_eq!(grows.len(), 120);
    let records = [long.clone(), grows.clone()];
    let ran = with(document(&records), nothing, |p| {
        p.redactor(redaction(&["secret"]))
    })
    .await;
    assert_eq!(ran.taken, [r#"{"secret":"[redacted]"}"#]);
    assert_eq!(
        (ran.kept.len(), ran.kept[0].reason),
        (1, Reason::OverSinkLimit)
    );
    assert_eq!(ran.kept[0].kept, Kept::Bytes(grows.clone().into()));
    let ran = with(document(&records), nothing, |p| p).await;
    assert_eq!(ran.taken, [grows]);
    assert_eq!(ran.kept[0].kept, Kept::Bytes(long.into()));
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_told_by_what_lies_in_the_file() {
    let one = r#"{"eventID":"a","secret":"1"}"#.to_owned();
    let two = r#"{"eventID":"a","secret":"2"}"#.to_owned();
    let ran = with(document(&[one.clone(), two, one]), nothing, |p| {
        p.redactor(redaction(&["secret"]))
            .duplicates(Duplicates::new())
    });
    let ran = ran.await;
    let sent = r#"{"eventID":"a","secret":"[redacted]"}"#;
    assert_eq!(
        ran.taken,
        [sent, sent],
        "the two differ, though not in what is sent"
    );
    assert_eq!(ran.report.records.duplicate, 1);
    assert_eq!(ran.report.conflicting, 1);
}
