//! The pipeline: what is acknowledged when, and that the books balance.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ctforward_core::deliver::RetryPolicy;
use ctforward_core::ledger::{Claim, MemoryLedger};
use ctforward_core::pipeline::{End, FileCounts, PipelineBuilder, PipelineLimits};
use ctforward_core::quarantine::{Kept, Reason};
use ctforward_core::stage::{Stage, Verdict};
use ctforward_core::{
    BatchLimits, ErrorKind, Ledger, Object, ObjectId, Pipeline, Record, Rejection, Report, Retry,
};
use tokio_util::sync::CancellationToken;

use crate::parts::{Cell, Item, Log, Script, answering, item};
use crate::reader::gzip;

pub(crate) fn records(prefix: &str, n: usize) -> Vec<String> {
    (0..n)
        .map(|i| format!(r#"{{"eventName":"{prefix}{i}"}}"#))
        .collect()
}

pub(crate) fn document(records: &[String]) -> Vec<u8> {
    format!(r#"{{"Records":[{}]}}"#, records.join(",")).into_bytes()
}

pub(crate) fn log_file(key: &str, n: usize) -> Item {
    item(key, gzip(&document(&records(key, n))))
}

/// A key of the layout, so that nothing is passed over for its name.
pub(crate) fn key(n: usize) -> String {
    format!(
        "AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/01/111122223333_CloudTrail_us-east-1_20260301T{:02}{:02}Z_abcdefghijklmnop.json.gz",
        n / 60,
        n % 60
    )
}

pub(crate) fn quick(builder: PipelineBuilder) -> PipelineBuilder {
    builder.retry(RetryPolicy::default().with_seed(7))
}

pub(crate) async fn run(builder: PipelineBuilder) -> Report {
    let report = quick(builder)
        .build()
        .unwrap()
        .run(CancellationToken::new())
        .await;
    assert!(report.balanced(), "{report:?}");
    report
}

pub(crate) fn files(delivered: u64, skipped: u64, quarantined: u64, failed: u64) -> FileCounts {
    let mut counts = FileCounts::default();
    counts.delivered = delivered;
    counts.skipped = skipped;
    counts.quarantined = quarantined;
    counts.failed = failed;
    counts.seen = delivered + skipped + quarantined + failed;
    counts
}

#[tokio::test(start_paused = true)]
async fn records_of_many_small_files_share_batches_and_each_receipt_follows_its_last_record() {
    let log = Log::default();
    let items: Vec<Item> = (0..50).map(|n| log_file(&key(n), 3)).collect();
    let sink = answering(&log, |_, _| None);
    let taken = Arc::clone(&sink.taken);
    let report = run(Pipeline::builder(Script::new(items, &log), sink)).await;
    assert_eq!(report.files, files(50, 0, 0, 0));
    assert_eq!(report.records.accepted, 150);
    assert_eq!(taken.lock().unwrap().len(), 150);
    assert_eq!(log.count("sink"), 1, "{:?}", log.lines());
    assert_eq!(log.count("accept"), 50);
    assert!(log.first("sink") < log.first("accept"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn a_small_file_that_is_cut_reaches_the_sink_not_at_all_and_goes_to_quarantine_by_reference()
{
    let log = Log::default();
    let mut whole = gzip(&document(&records("r", 20)));
    whole.truncate(whole.len() - 3);
    let sink = answering(&log, |_, _| None);
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let source = Script::new([item(&key(1), whole), log_file(&key(2), 2)], &log);
    let report = run(Pipeline::builder(source, sink).quarantine(cell)).await;
    assert_eq!(report.files, files(1, 0, 1, 0));
    assert_eq!(taken.lock().unwrap().len(), 2);
    assert_eq!(report.records.accepted, 2);
    let entries = entries.lock().unwrap();
    assert_eq!(entries[0].reason, Reason::Unreadable);
    assert_eq!(entries[0].object.id.key, key(1));
    assert_eq!(entries[0].object.etag.as_deref(), Some("e1"));
    assert!(matches!(entries[0].kept, Kept::Reference { length: 0, .. }));
    let (put, accept) = (
        log.first("quarantine"),
        log.first(&format!("accept {}", key(1))),
    );
    assert!(put < accept, "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn of_a_large_file_that_is_cut_the_accepted_prefix_stays_and_the_file_is_quarantined() {
    let log = Log::default();
    let all = records(&"x".repeat(1000), 1000);
    let document = document(&all);
    let cut = document[..document.len() - 500].to_vec();
    let sink = answering(&log, |_, _| None);
    let taken = Arc::clone(&sink.taken);
    let source = Script::new([item(&key(1), cut)], &log);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let report = run(Pipeline::builder(source, sink).quarantine(cell)).await;
    assert_eq!(report.files, files(0, 0, 1, 0));
    assert_eq!(report.records.accepted, 999);
    let mut taken = taken.lock().unwrap().clone();
    taken.sort();
    let mut expected = all[..999].to_vec();
    expected.sort();
    assert!(taken == expected);
    let entry = entries.lock().unwrap()[0].clone();
    let from = entry.offset.unwrap();
    assert!(
        from > 900_000,
        "what was sent already is not meant: {entry:?}"
    );
    let lines = log.lines();
    assert!(
        lines[lines.len() - 2].starts_with("quarantine"),
        "{lines:?}"
    );
    assert!(lines[lines.len() - 1].starts_with("accept"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_quarantine_what_cannot_be_delivered_keeps_its_file_open() {
    for fails in [false, true] {
        let log = Log::default();
        let source = Script::new(
            [
                item(&key(1), *b"{\"Records\":[{},7]}"),
                log_file(&key(2), 1),
            ],
            &log,
        );
        let mut builder = Pipeline::builder(source, answering(&log, |_, _| None));
        if fails {
            let mut cell = Cell::new(&log);
            cell.fails = true;
            builder = builder.quarantine(cell);
        }
        let report = run(builder).await;
        assert_eq!(report.files, files(1, 0, 0, 1));
        assert_eq!(log.count(&format!("accept {}", key(1))), 0);
        assert_eq!(log.count(&format!("release {}", key(1))), 1);
        assert_eq!(report.failures.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn bad_oversized_and_long_records_are_kept_byte_exact_or_by_reference_and_the_rest_goes_on() {
    let log = Log::default();
    let long = format!(r#"{{"long":"{}"}}"#, "y".repeat(3000));
    let huge = format!(r#"{{"huge":"{}"}}"#, "z".repeat(60_000));
    let document = format!(r#"{{"Records":[{{"a":1}}, "no object",{long},{huge},{{"b":2}}]}}"#);
    let mut sink = answering(&log, |_, _| None);
    sink.limits = BatchLimits::new(100_000).with_record_bytes(2000);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let read_limits = ctforward_core::read::ReadLimits::default().with_record_bytes(50_000);
    let source = Script::new([item(&key(1), document.clone())], &log);
    let report = run(Pipeline::builder(source, sink)
        .quarantine(cell)
        .read_limits(read_limits))
    .await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    assert_eq!(
        (report.records.accepted, report.records.quarantined),
        (2, 3)
    );
    for entry in entries.lock().unwrap().iter() {
        let at = usize::try_from(entry.offset.unwrap()).unwrap();
        match (&entry.kept, entry.reason) {
            (Kept::Bytes(bytes), Reason::NotAnObject) => assert_eq!(*bytes, "\"no object\""),
            (Kept::Bytes(bytes), Reason::OverSinkLimit) => assert_eq!(*bytes, long),
            (Kept::Reference { length, sha256 }, Reason::OverReaderCap) => {
                use sha2::{Digest, Sha256};
                assert_eq!(*length, huge.len() as u64);
                assert_eq!(*sha256, Some(Sha256::digest(&huge).into()));
                assert_eq!(&document[at..at + huge.len()], huge);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_rewritten_while_it_was_read_is_given_back_though_it_looked_broken() {
    let log = Log::default();
    let mut file = item(&key(1), *b"{\"Records\":[{}");
    file.etags = vec!["e1", "e2"];
    let source = Script::new([file], &log);
    let pipeline =
        Pipeline::builder(source, answering(&log, |_, _| None)).quarantine(Cell::new(&log));
    let report = run(pipeline).await;
    assert_eq!(report.files, files(0, 0, 0, 1));
    assert_eq!(log.lines(), [format!("release {} changed", key(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_source_or_a_file_that_fails_in_passing_is_asked_again() {
    let log = Log::default();
    let mut broken = log_file(&key(1), 2000);
    broken.open_errors = vec![
        (ErrorKind::Unavailable, Retry::Backoff),
        (ErrorKind::NotFound, Retry::Never),
    ];
    broken.breaks = (1000, 2);
    let mut source = Script::new([broken], &log);
    source.errors = vec![(ErrorKind::Throttled, Retry::After(Duration::from_secs(5)))];
    let sink = answering(&log, |_, _| None);
    let taken = Arc::clone(&sink.taken);
    let report = run(Pipeline::builder(source, sink)).await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    assert_eq!(taken.lock().unwrap().len(), 2000);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_with_an_error_is_said_so_and_what_it_gave_is_finished() {
    use ctforward_core::source::{Chain, MemorySource};
    let log = Log::default();
    let files = (0..3).map(|n| {
        (
            ObjectId::new("b", key(n)),
            Bytes::from(document(&records("r", 2))),
        )
    });
    let mut failing = Script::new([], &log);
    failing.errors = vec![(ErrorKind::Unauthorized, Retry::Never)];
    let never = Script::new([log_file(&key(9), 1)], &log);
    let chain = Chain::new([
        Box::new(MemorySource::new(files)) as Box<dyn ctforward_core::Source>,
        Box::new(failing),
        Box::new(never),
    ]);
    let report = run(Pipeline::builder(chain, answering(&log, |_, _| None))).await;
    assert!(matches!(&report.end, End::Failed(e) if e.kind() == ErrorKind::Unauthorized));
    assert_eq!(report.files, files_delivered(3));
}

fn files_delivered(n: u64) -> FileCounts {
    files(n, 0, 0, 0)
}

#[tokio::test(start_paused = true)]
async fn a_large_file_that_breaks_off_goes_on_without_doubling_and_a_replaced_one_is_released() {
    for (etags, delivered) in [(vec!["e1"], true), (vec!["e1", "e2"], false)] {
        let log = Log::default();
        let all = records(&"x".repeat(1000), 1000);
        let mut large = item(&key(1), document(&all));
        large.breaks = (700_000, 1);
        large.etags = etags;
        let sink = answering(&log, |_, _| None);
        let taken = Arc::clone(&sink.taken);
        let report = run(Pipeline::builder(Script::new([large], &log), sink)).await;
        if delivered {
            assert_eq!(report.files, files(1, 0, 0, 0));
            let mut taken = taken.lock().unwrap().clone();
            taken.sort();
            let mut expected = all;
            expected.sort();
            assert!(taken == expected);
        } else {
            assert_eq!(report.files, files(0, 0, 0, 1));
            assert_eq!(
                log.lines().last().unwrap(),
                &format!("release {} changed", key(1))
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_and_archived_objects_are_quarantined_and_denied_ones_released() {
    let cases = [
        (ErrorKind::NotFound, Some("quarantine")),
        (ErrorKind::Archived, Some("quarantine")),
        (ErrorKind::Unauthorized, None),
        (ErrorKind::Changed, None),
    ];
    for (kind, put) in cases {
        let log = Log::default();
        let mut file = log_file(&key(1), 1);
        file.open_errors = vec![(kind, Retry::Never); 20];
        let source = Script::new([file], &log);
        let report = run(
            Pipeline::builder(source, answering(&log, |_, _| None)).quarantine(Cell::new(&log))
        )
        .await;
        let expected = if put.is_some() {
            files(0, 0, 1, 0)
        } else {
            files(0, 0, 0, 1)
        };
        assert_eq!(report.files, expected, "{kind:?}");
        assert_eq!(
            log.count("quarantine"),
            usize::from(put.is_some()),
            "{kind:?}"
        );
        assert_eq!(log.count("accept"), usize::from(put.is_some()), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_log_file_is_skipped_by_listing_and_quarantined_when_named_or_misplaced() {
    let digest = "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2026/03/01/111122223333_CloudTrail-Digest_us-east-1_trail_us-east-1_20260301T030405Z.json.gz";
    let config = "AWSLogs/111122223333/Config/us-east-1/2026/3/1/ConfigHistory/x.json.gz";
    let good = document(&records("r", 1));
    let csv = b"version,account\n2,1\n".to_vec();
    let foreign = br#"{"configurationItems":[]}"#.to_vec();
    let named = |mut item: Item| {
        item.named = true;
        item
    };
    let cases = [
        (item(digest, foreign.clone()), files(0, 1, 0, 0)),
        (item(config, good.clone()), files(0, 1, 0, 0)),
        (item("notes.csv", csv.clone()), files(0, 1, 0, 0)),
        (item("snapshot.json", foreign.clone()), files(0, 1, 0, 0)),
        (item("empty.txt", *b""), files(0, 1, 0, 0)),
        (item("empty.json.gz", *b""), files(0, 0, 1, 0)),
        (item("damaged.json.gz", *b"\x1e\x8b\x08"), files(0, 0, 1, 0)),
        (item("any-name.json", good.clone()), files(1, 0, 0, 0)),
        (
            item("any-name.json", *b"{\"Records\":[{}"),
            files(0, 0, 1, 0),
        ),
        (named(item("notes.csv", csv.clone())), files(0, 0, 1, 0)),
        (named(item(config, foreign.clone())), files(0, 0, 1, 0)),
        (item(&key(1), csv), files(0, 0, 1, 0)),
        (item(&key(1), *b""), files(0, 0, 1, 0)),
        (item(&key(1), *b"{\"Records\":[]}"), files(1, 0, 0, 0)),
    ];
    for (file, expected) in cases {
        let log = Log::default();
        let name = format!("{} named {}", file.key, file.named);
        let source = Script::new([file], &log);
        let report = run(
            Pipeline::builder(source, answering(&log, |_, _| None)).quarantine(Cell::new(&log))
        )
        .await;
        assert_eq!(report.files, expected, "{name}");
        assert_eq!(log.count("accept"), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn insight_network_activity_and_aggregated_files_are_forwarded_unless_configured_out() {
    use ctforward_core::key::{KeyFilter, Kind};
    let of_kind = |kind: &str| {
        let key = key(1).replace("CloudTrail", kind);
        item(&key, *br#"{"Records":[{"eventCategory":"x"}]}"#)
    };
    for (filter, delivered) in [
        (None, 4),
        (Some(KeyFilter::new().kinds([Kind::CloudTrail])), 1),
    ] {
        let log = Log::default();
        let kinds = [
            "CloudTrail",
            "CloudTrail-Insight",
            "CloudTrail-NetworkActivity",
            "CloudTrail-Aggregated",
        ];
        let source = Script::new(kinds.map(of_kind), &log);
        let mut builder = Pipeline::builder(source, answering(&log, |_, _| None));
        if let Some(filter) = filter {
            builder = builder.keys(filter);
        }
        assert_eq!(
            run(builder).await.files,
            files(delivered, 4 - delivered, 0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn corrupt_files_and_files_over_a_cap_are_quarantined_by_reference() {
    let mut corrupt = gzip(&document(&records("r", 50)));
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    let mut trailing = gzip(&document(&records("r", 5)));
    trailing.extend_from_slice(b"more");
    let large = gzip(&document(&records(&"x".repeat(1000), 400)));
    let cases = [
        (corrupt, Reason::Unreadable),
        (trailing, Reason::Unreadable),
        (large, Reason::OverFileCap),
    ];
    for (stored, reason) in cases {
        let log = Log::default();
        let cell = Cell::new(&log);
        let entries = Arc::clone(&cell.entries);
        let sink = answering(&log, |_, _| None);
        let read_limits = ctforward_core::read::ReadLimits::default().with_inflated_bytes(300_000);
        let pipeline = Pipeline::builder(Script::new([item(&key(1), stored)], &log), sink);
        let report = run(pipeline.quarantine(cell).read_limits(read_limits)).await;
        assert_eq!(report.files, files(0, 0, 1, 0));
        let entries = entries.lock().unwrap();
        assert_eq!((entries.len(), entries[0].reason), (1, reason));
        // The large one was handed on in part before it was over the cap.
        assert_eq!(entries[0].offset.is_none(), reason == Reason::Unreadable);
    }
}

struct Odd;

impl Stage for Odd {
    fn apply(&self, record: &Record<'_>) -> Verdict {
        let odd = record
            .bytes()
            .iter()
            .rev()
            .nth(2)
            .is_some_and(|digit| digit % 2 == 1);
        if odd {
            Verdict::Drop("odd".into())
        } else {
            Verdict::Keep
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_a_stage_drops_are_counted_by_its_rule_in_small_and_large_files() {
    for n in [10, 9000] {
        let log = Log::default();
        let sink = answering(&log, |_, _| None);
        let source = Script::new([log_file(&key(1), n)], &log);
        let report = run(Pipeline::builder(source, sink).stage(Odd)).await;
        let half = n as u64 / 2;
        assert_eq!(
            (report.records.accepted, report.records.filtered),
            (half, half)
        );
        assert_eq!(report.filtered_by.get("odd"), Some(&half));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_lets_no_file_through_twice_and_a_held_one_is_released() {
    let log = Log::default();
    let ledger = Arc::new(MemoryLedger::new());
    for delivered in [3, 0] {
        let source = Script::new((0..3).map(|n| log_file(&key(n), 2)), &log);
        let pipeline = Pipeline::builder(source, answering(&log, |_, _| None));
        let report = run(pipeline.ledger(Arc::clone(&ledger))).await;
        assert_eq!(report.files, files(delivered, 3 - delivered, 0, 0));
        assert_eq!(report.records.accepted, delivered * 2);
    }
    assert!(
        ledger
            .finished("bucket", &key(0))
            .unwrap()
            .books
            .records
            .accepted
            == 2
    );
    let held = Object::new(ObjectId::new("bucket", key(9)));
    let lease = Duration::from_secs(100);
    let claim = ledger.claim(&held, "another", lease).await.unwrap();
    assert!(matches!(claim, Claim::Granted { .. }));
    let source = Script::new([log_file(&key(9), 2)], &log);
    let pipeline = Pipeline::builder(source, answering(&log, |_, _| None));
    let report = run(pipeline.ledger(ledger)).await;
    assert_eq!(report.files, files(0, 0, 0, 1));
    assert!(
        log.lines().last().unwrap().contains("after 100s"),
        "{:?}",
        log.lines()
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_reads_all_and_sends_keeps_and_acknowledges_nothing() {
    let log = Log::default();
    let told = Log::default();
    let ledger = Arc::new(MemoryLedger::new());
    let items = || {
        [
            log_file(&key(1), 5),
            item(&key(2), *b"{\"Records\":[{}"),
            item(&key(3), *b"{\"Records\":[{},7]}"),
            item("notes.txt", *b"no log"),
        ]
    };
    let pipeline = Pipeline::builder(Script::new(items(), &log), answering(&log, |_, _| None))
        .quarantine(Cell::new(&log))
        .ledger(Arc::clone(&ledger))
        .dry_run(Cell::new(&told));
    let report = run(pipeline).await;
    assert_eq!((report.records.read, report.records.undecided), (8, 8));
    assert_eq!(report.files, files(0, 4, 0, 0));
    assert_eq!(told.count("quarantine"), 2);
    for forbidden in ["sink", "quarantine", "accept"] {
        assert_eq!(log.count(forbidden), 0, "{:?}", log.lines());
    }
    // The real run then finds everything as it was.
    let pipeline = Pipeline::builder(Script::new(items(), &log), answering(&log, |_, _| None));
    let report = run(pipeline.quarantine(Cell::new(&log)).ledger(ledger)).await;
    assert_eq!(report.files, files(2, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pretty_printed_record_becomes_one_line_and_keeps_everything_but_white_space() {
    let log = Log::default();
    let pretty = "{\"Records\": [\r\n  {\r\n    \"a\" : \"x  y\",\r\n    \"n\": 1624.0\r\n  },\r\n {\"one\": \"line\"}\r\n]}";
    let sink = answering(&log, |_, _| None);
    let taken = Arc::clone(&sink.taken);
    let report = run(Pipeline::builder(
        Script::new([item(&key(1), pretty)], &log),
        sink,
    ))
    .await;
    assert_eq!(report.records.accepted, 2);
    assert_eq!(
        *taken.lock().unwrap(),
        [r#"{"a":"x  y","n":1624.0}"#, r#"{"one": "line"}"#]
    );
}

#[test]
fn limits_that_do_not_go_together_are_refused() {
    let log = Log::default();
    let mut limits = PipelineLimits::default();
    limits.bytes_held = 100_000;
    let builder = Pipeline::builder(Script::new([], &log), answering(&log, |_, _| None));
    let error = builder.limits(limits).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let _ = Rejection::new(0, "");
}
