//! Sending again what lies in quarantine.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::ledger::{Claim, Finished, MemoryLedger};
use ctforward_core::pipeline::FileBooks;
use ctforward_core::quarantine::{
    DirectoryQuarantine, Filter, Kept, MemoryQuarantine, Reason, Redrive, RedriveCounts,
    reopen_folder,
};
use ctforward_core::read::ReadLimits;
use ctforward_core::sink::MemorySink;
use ctforward_core::source::{DirectorySource, Intake, LogFile, MemorySource, Opened};
use ctforward_core::{
    Batch, BatchLimits, Delivery, ErrorKind, Ledger, Object, ObjectId, Open, Pipeline, Quarantine,
    QuarantineEntry, Rejection, Report, Sink, Source,
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::parts::{Log, answering};
use crate::pipeline::{document, files, key, quick, records, run};
use crate::quarantine::{entry, live};
use crate::reader::gzip;

struct Held {
    _folder: tempfile::TempDir,
    quarantine: DirectoryQuarantine,
}

async fn held(entries: impl IntoIterator<Item = QuarantineEntry>) -> Held {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = DirectoryQuarantine::open(folder.path().join("q"))
        .await
        .unwrap();
    for entry in entries {
        quarantine.put(&entry).await.unwrap();
    }
    Held {
        _folder: folder,
        quarantine,
    }
}

fn nowhere(_: &Object) -> Option<Arc<dyn Open>> {
    None
}

fn redrive(held: &Held) -> Redrive {
    Redrive::new(&held.quarantine, Filter::new(), nowhere)
}

async fn through(redrive: Redrive, sink: impl Sink + 'static) -> (Report, RedriveCounts) {
    let counts = redrive.counts();
    let quarantine = redrive.quarantine();
    let report = run(Pipeline::builder(redrive, sink).quarantine(quarantine)).await;
    (report, counts)
}

/// Refuses records that hold `what`, for as long as others are accepted.
struct Refusing(&'static str);

#[async_trait]
impl Sink for Refusing {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(100_000)
    }

    async fn deliver(&self, batch: &Batch) -> ctforward_core::Result<Delivery> {
        let mut delivery = Delivery::accepted();
        for (index, record) in batch.records().enumerate() {
            if String::from_utf8_lossy(record).contains(self.0) {
                delivery.rejected.push(Rejection::new(index, "still no"));
            }
        }
        Ok(delivery)
    }
}

#[tokio::test]
async fn records_are_sent_byte_for_byte_and_leave_the_quarantine() {
    let texts = [
        r#"{"eventName":"A","n":12345678901234567890123,"f":1624.0,"u":"\u00fc"}"#,
        r#"{"eventName":"B"}"#,
    ];
    let held = held(
        texts
            .iter()
            .enumerate()
            .map(|(n, text)| entry("not/a/log.txt", n as u64, *text)),
    )
    .await;
    let sink = Arc::new(MemorySink::new());
    let (report, counts) = through(redrive(&held), Arc::clone(&sink)).await;
    assert_eq!(report.files, files(2, 0, 0, 0));
    let mut lines = sink.lines();
    lines.sort_unstable_by_key(|line| std::cmp::Reverse(line.len()));
    assert_eq!(lines, texts);
    assert_eq!((counts.taken(), counts.accepted()), (2, 2));
    assert_eq!(held.quarantine.live(), 0);
    assert!(live(&held.quarantine).await.is_empty());
}

#[tokio::test]
async fn a_record_that_is_refused_again_stays_with_an_attempt_more() {
    let both = [
        entry("k", 70_000_000_000, r#"{"a":"good"}"#),
        entry("k", 7, r#"{"a":"bad"}"#),
    ];
    let held = held(both.clone()).await;
    for attempt in 1..4 {
        // Something must be accepted for a refusal to be believed.
        held.quarantine.put(&both[0]).await.unwrap();
        let (report, counts) = through(redrive(&held), Refusing("bad")).await;
        assert_eq!(report.records.quarantined, 1);
        assert_eq!((counts.accepted(), counts.again()), (1, 1));
        let left = live(&held.quarantine).await;
        assert_eq!(left.len(), 1);
        let left = &left[&both[1].id()];
        assert_eq!(left.attempt, attempt);
        assert_eq!(left.kept, both[1].kept);
        assert_eq!(left.offset, Some(7), "its place in the log file");
    }
}

/// A handle of its own on the same folder is no way around that.
#[tokio::test]
async fn a_second_handle_on_the_folder_does_not_hide_what_is_put_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let one = DirectoryQuarantine::open(&path).await.unwrap();
    one.put(&entry("k", 1, r#"{"a":"good"}"#)).await.unwrap();
    one.put(&entry("k", 2, r#"{"a":"bad"}"#)).await.unwrap();
    let other = DirectoryQuarantine::open(&path).await.unwrap();
    let redrive = Redrive::new(&one, Filter::new(), nowhere);
    run(Pipeline::builder(redrive, Refusing("bad")).quarantine(other)).await;
    assert_eq!(live(&one).await.len(), 1);
}

#[tokio::test]
async fn put_for_another_reason_the_old_entry_is_replaced() {
    let mut record = entry("k", 40, r#"{"a":"bad"}"#);
    record.reason = Reason::OverSinkLimit;
    let held = held([record.clone(), entry("k", 7, "{}")]).await;
    let (_, counts) = through(redrive(&held), Refusing("bad")).await;
    assert_eq!((counts.accepted(), counts.replaced()), (1, 1));
    let left: Vec<_> = live(&held.quarantine).await.into_values().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].reason, Reason::Refused);
    assert_eq!(left[0].kept, record.kept);
    assert_eq!(left[0].offset, Some(40));
}

#[tokio::test]
async fn bad_records_of_every_kind_stay_as_they_are() {
    let mut entries = Vec::new();
    for (n, (reason, bytes)) in [
        (Reason::NotAnObject, &b"[1,2]"[..]),
        (Reason::BadText, b"{\"a\":\"\xff\"}"),
        (Reason::BadText, b"{\"a\":\"\n\"}"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut entry = entry("k", 1000 * (n as u64 + 1), bytes);
        entry.reason = reason;
        entries.push(entry);
    }
    // What is no element at all cannot be read, and is not the file's fault.
    entries.push(entry("k", 9000, r#"{"a":]"#));
    let held = held(entries.clone()).await;
    let (report, counts) = through(redrive(&held), MemorySink::new()).await;
    assert_eq!(report.files, files(3, 0, 0, 1));
    assert_eq!((counts.again(), counts.released()), (3, 1));
    let left = live(&held.quarantine).await;
    assert_eq!(left.len(), 4);
    for entry in entries {
        let left = &left[&entry.id()];
        assert_eq!((&left.kept, left.offset), (&entry.kept, entry.offset));
        assert_eq!(left.attempt, u32::from(entry.offset != Some(9000)));
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_sink_is_down_nothing_changes() {
    let held = held([entry("k", 1, "{}"), entry("k", 2, "{}")]).await;
    let before = live(&held.quarantine).await;
    let log = Log::default();
    let sink = answering(&log, |_, _| {
        let error = ctforward_core::Error::new(ErrorKind::Unauthorized, "sink", "no");
        Some(Err(error))
    });
    let (report, counts) = through(redrive(&held), sink).await;
    assert_eq!(report.files.failed, 2);
    assert_eq!((counts.accepted(), counts.released()), (0, 2));
    assert_eq!(live(&held.quarantine).await, before);
}

#[tokio::test]
async fn a_pipeline_that_only_seems_to_finish_a_file_resolves_nothing() {
    // A ledger that has the file as finished, so that nothing of it is read.
    let object = Object::new(ObjectId::new("bucket", key(1))).with_etag("e");
    let kept = Kept::Bytes(Bytes::from(document(&records("x", 2))));
    let whole = QuarantineEntry::new(object.clone(), Reason::Unreadable, "cut", kept);
    let held = held([whole.clone()]).await;
    let ledger = MemoryLedger::new();
    let lease = std::time::Duration::from_secs(60);
    let claim = ledger.claim(&object, "me", lease).await.unwrap();
    let Claim::Granted { ticket, .. } = claim else {
        panic!("{claim:?}")
    };
    let finished = Finished::quarantined(FileBooks::default());
    ledger.finish(&ticket, &object, &finished).await.unwrap();
    let redrive = redrive(&held);
    let counts = redrive.counts();
    let sink = Arc::new(MemorySink::new());
    let report = run(Pipeline::builder(redrive, Arc::clone(&sink)).ledger(ledger)).await;
    assert_eq!(report.files, files(0, 1, 0, 0));
    assert_eq!((counts.unread(), counts.accepted()), (1, 0));
    assert!(sink.lines().is_empty());
    assert_eq!(live(&held.quarantine).await.len(), 1);
    // Without it, the copy is read and sent.
    let (report, counts) = through(self::redrive(&held), Arc::clone(&sink)).await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    assert_eq!(counts.accepted(), 1);
    assert_eq!(sink.lines(), records("x", 2));
    assert!(live(&held.quarantine).await.is_empty());
}

#[tokio::test]
async fn a_copy_that_is_still_unreadable_stays_a_copy() {
    let object = Object::new(ObjectId::new("bucket", key(1))).with_etag("e");
    let copy = gzip(&document(&records("x", 2)));
    for (cut, reason) in [
        (copy.len() - 3, Reason::Unreadable),
        (copy.len() - 3, Reason::NotCloudTrail),
    ] {
        let kept = Kept::Bytes(Bytes::copy_from_slice(&copy[..cut]));
        let whole = QuarantineEntry::new(object.clone(), reason, "cut", kept.clone());
        let held = held([whole.clone()]).await;
        let (_, counts) = through(redrive(&held), MemorySink::new()).await;
        assert_eq!((counts.accepted(), counts.again()), (0, 1));
        let left = live(&held.quarantine).await;
        assert_eq!(left[&whole.id()].kept, kept);
        held.quarantine.compact().await.unwrap();
        assert_eq!(live(&held.quarantine).await[&whole.id()].kept, kept);
    }
}

#[tokio::test]
async fn messages_are_passed_over_and_filters_hold() {
    let message = QuarantineEntry::new(
        Object::new(ObjectId::new("message", "abc")),
        Reason::Undecodable,
        "no JSON",
        Kept::Bytes("?".into()),
    );
    let held = held([message, entry("a", 1, "{}"), entry("b", 1, "{}")]).await;
    let redrive = Redrive::new(
        &held.quarantine,
        Filter::new().bucket("bucket").key_prefix("a"),
        nowhere,
    );
    let (_, counts) = through(redrive, MemorySink::new()).await;
    assert_eq!((counts.taken(), counts.messages()), (1, 0));
    let (_, counts) = through(self::redrive(&held), MemorySink::new()).await;
    assert_eq!(
        (counts.taken(), counts.messages(), counts.accepted()),
        (1, 1, 1)
    );
    assert_eq!(live(&held.quarantine).await.len(), 1);
}

/// Log files in a folder, with one record of 200 KiB in the second.
struct Logs {
    folder: tempfile::TempDir,
    large: String,
}

fn logs(compressed: bool) -> Logs {
    let folder = tempfile::tempdir().unwrap();
    let large = format!(r#"{{"eventName":"{}"}}"#, "0123456789".repeat(20_000));
    let whole = document(&[
        r#"{"eventName":"x0"}"#.to_owned(),
        large.clone(),
        "{}".to_owned(),
    ]);
    let whole = if compressed { gzip(&whole) } else { whole };
    let path = folder.path().join(key(1));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, whole).unwrap();
    Logs { folder, large }
}

/// Reads the folder through a pipeline whose reader takes only small records.
async fn quarantined(logs: &Logs) -> Held {
    let held = held([]).await;
    let source = DirectorySource::new(logs.folder.path()).unwrap();
    let pipeline = Pipeline::builder(source, MemorySink::new())
        .read_limits(ReadLimits::default().with_record_bytes(10_000))
        .quarantine(held.quarantine.clone());
    assert_eq!(run(pipeline).await.records.quarantined, 1);
    held
}

#[tokio::test]
async fn a_record_kept_by_reference_is_cut_out_of_its_object_again() {
    for compressed in [true, false] {
        let logs = logs(compressed);
        let held = quarantined(&logs).await;
        let left: Vec<_> = live(&held.quarantine).await.into_values().collect();
        let hash: [u8; 32] = Sha256::digest(&logs.large).into();
        assert_eq!(
            left[0].kept,
            Kept::Reference {
                length: logs.large.len() as u64,
                sha256: Some(hash)
            }
        );
        // Under the same cap it stays what it is.
        let redrive = Redrive::new(&held.quarantine, Filter::new(), reopen_folder);
        let (counts, quarantine) = (redrive.counts(), redrive.quarantine());
        let pipeline = Pipeline::builder(redrive, MemorySink::new())
            .read_limits(ReadLimits::default().with_record_bytes(10_000))
            .quarantine(quarantine);
        run(pipeline).await;
        assert_eq!(counts.again(), 1);
        let again: Vec<_> = live(&held.quarantine).await.into_values().collect();
        assert_eq!((again.len(), again[0].attempt), (1, 1));
        assert_eq!(
            (&again[0].kept, again[0].offset),
            (&left[0].kept, left[0].offset)
        );
        // Nor is more held than was allowed.
        let small = Redrive::new(&held.quarantine, Filter::new(), reopen_folder);
        let (report, counts) = through(small.max_record_bytes(1000), MemorySink::new()).await;
        assert_eq!(counts.released(), 1);
        assert_eq!(report.failures[0].1.kind(), ErrorKind::TooLarge);

        let sink = Arc::new(MemorySink::with_limits(BatchLimits::new(1 << 20)));
        let redrive = Redrive::new(&held.quarantine, Filter::new(), reopen_folder);
        let (_, counts) = through(redrive, Arc::clone(&sink)).await;
        assert_eq!(counts.accepted(), 1);
        assert_eq!(sink.lines(), [logs.large]);
        assert!(live(&held.quarantine).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_or_another_leaves_its_record_in_quarantine() {
    for compressed in [true, false] {
        let logs = logs(compressed);
        let held = quarantined(&logs).await;
        let before = live(&held.quarantine).await;
        let path = logs.folder.path().join(key(1));
        let whole = std::fs::read(&path).unwrap();
        let fails = async |kind: ErrorKind| {
            let redrive = Redrive::new(&held.quarantine, Filter::new(), reopen_folder);
            let (report, counts) = through(redrive, MemorySink::new()).await;
            assert_eq!(report.failures[0].1.kind(), kind, "{:?}", report.failures);
            assert_eq!(counts.released(), 1);
            assert_eq!(live(&held.quarantine).await, before);
        };
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        fails(ErrorKind::Changed).await;
        std::fs::remove_file(&path).unwrap();
        fails(ErrorKind::NotFound).await;
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
            fails(ErrorKind::Config).await;
        }
        let redrive = Redrive::new(&held.quarantine, Filter::new(), nowhere);
        let (report, _) = through(redrive, MemorySink::new()).await;
        assert_eq!(report.failures[0].1.kind(), ErrorKind::Config);
    }
}

/// An ETag that does not change, so that only the bytes tell.
struct Unmarked(Bytes);

#[async_trait]
impl Open for Unmarked {
    async fn open(&self) -> ctforward_core::Result<Opened> {
        let id = ObjectId::new("b", "k");
        let Some(Intake::File(LogFile { open, .. })) = MemorySource::new([(id, self.0.clone())])
            .with_chunk(1)
            .next()
            .await?
        else {
            panic!("one file")
        };
        open.open().await
    }
}

#[tokio::test]
async fn other_bytes_at_the_records_place_are_not_sent() {
    let record = r#"{"eventName":"B"}"#;
    let document = document(&[r#"{"eventName":"A"}"#.to_owned(), record.to_owned()]);
    let offset = document
        .windows(record.len())
        .position(|w| w == record.as_bytes())
        .unwrap();
    let mut entry = entry("k", offset as u64, "");
    entry.reason = Reason::OverReaderCap;
    entry.kept = Kept::Reference {
        length: record.len() as u64,
        sha256: Some(Sha256::digest(record).into()),
    };
    let held = held([entry]).await;
    let other = String::from_utf8(document.clone())
        .unwrap()
        .replace('B', "C");
    let stored = [
        (gzip(other.as_bytes()), false),
        (other.into_bytes(), false),
        (document[..offset + 3].to_vec(), false),
        (b"{".to_vec(), false),
        (gzip(&document)[..20].to_vec(), false),
        (gzip(&document), true),
    ];
    for (stored, accepted) in stored {
        let stored = Bytes::from(stored);
        let reopen = move |_: &Object| Some(Arc::new(Unmarked(stored.clone())) as Arc<dyn Open>);
        let sink = Arc::new(MemorySink::new());
        let redrive = Redrive::new(&held.quarantine, Filter::new(), reopen);
        let (_, counts) = through(redrive, Arc::clone(&sink)).await;
        assert_eq!(counts.accepted(), u64::from(accepted));
        assert_eq!(sink.lines().len(), usize::from(accepted));
        assert_eq!(held.quarantine.live(), usize::from(!accepted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_file_is_read_from_its_object_again() {
    let logs = logs(true);
    let path = logs.folder.path().join(key(1));
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    let held = held([]).await;
    let source = DirectorySource::new(logs.folder.path()).unwrap();
    let sink = MemorySink::new();
    let pipeline = Pipeline::builder(source, sink).quarantine(held.quarantine.clone());
    assert_eq!(run(pipeline).await.files, files(0, 0, 1, 0));
    let again = || Redrive::new(&held.quarantine, Filter::new(), reopen_folder);
    let (_, counts) = through(again(), MemorySink::new()).await;
    assert_eq!(counts.again(), 1);
    assert_eq!(
        live(&held.quarantine)
            .await
            .values()
            .next()
            .unwrap()
            .attempt,
        1
    );
    // Mended since, it is another file: only where that is allowed.
    std::fs::write(&path, &whole).unwrap();
    let (_, counts) = through(again(), MemorySink::new()).await;
    assert_eq!(counts.released(), 1);
    assert_eq!(held.quarantine.live(), 1);
    let sink = Arc::new(MemorySink::with_limits(BatchLimits::new(1 << 20)));
    let (_, counts) = through(again().changed_files(true), Arc::clone(&sink)).await;
    assert_eq!(counts.accepted(), 1);
    assert_eq!(sink.lines().len(), 3);
    assert!(live(&held.quarantine).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_to_be_had_now_stays_as_it_is_kept() {
    let object = Object::new(ObjectId::new("file:///nonexistent", key(1)));
    let kept = Kept::Reference {
        length: 0,
        sha256: None,
    };
    let missing = QuarantineEntry::new(object.clone(), Reason::Missing, "", kept.clone());
    let cut = QuarantineEntry::new(object.with_etag("e"), Reason::Unreadable, "", kept);
    let held = held([missing.clone(), cut.clone()]).await;
    let redrive = Redrive::new(&held.quarantine, Filter::new(), reopen_folder);
    let (_, counts) = through(redrive, MemorySink::new()).await;
    assert_eq!(
        (counts.released(), counts.again(), counts.replaced()),
        (2, 0, 0)
    );
    let left = live(&held.quarantine).await;
    assert_eq!(left[&missing.id()].reason, Reason::Missing);
    assert_eq!(left[&cut.id()].reason, Reason::Unreadable);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_aside_where_records_are_redacted_is_withheld_unless_told_otherwise() {
    let original = entry("k", 1, r#"{"secret":"s"}"#).where_redacted(true);
    let held = held([original, entry("k", 2, "{}")]).await;
    let (_, counts) = through(redrive(&held), MemorySink::new()).await;
    assert_eq!((counts.withheld(), counts.accepted()), (1, 1));
    assert_eq!(held.quarantine.live(), 1);
    // Refused again where nothing is redacted, it is still an original.
    let told = redrive(&held).redacted(true);
    let (_, counts) = through(told, Refusing("secret")).await;
    assert_eq!(counts.again(), 1);
    let (_, counts) = through(redrive(&held), MemorySink::new()).await;
    assert_eq!(counts.withheld(), 1);
    let (_, counts) = through(redrive(&held).redacted(true), MemorySink::new()).await;
    assert_eq!(counts.accepted(), 1);
    assert_eq!(held.quarantine.live(), 0);
}

/// The pipeline may keep what is refused elsewhere: it left this quarantine then.
#[tokio::test]
async fn what_another_quarantine_took_is_resolved_here() {
    let held = held([entry("k", 1, r#"{"a":"bad"}"#), entry("k", 2, "{}")]).await;
    let other = Arc::new(MemoryQuarantine::new());
    let redrive = redrive(&held);
    run(Pipeline::builder(redrive, Refusing("bad")).quarantine(Arc::clone(&other))).await;
    assert_eq!(other.entries().len(), 1);
    assert!(live(&held.quarantine).await.is_empty());
}

/// Whenever the pipeline is dropped: each record was taken by the sink, or is live.
#[tokio::test(start_paused = true)]
async fn a_stop_at_any_time_loses_nothing() {
    for steps in 0..60 {
        let held = held((0..6).map(|n| entry("k", n, format!(r#"{{"n":{n}}}"#)))).await;
        let log = Log::default();
        let mut sink = answering(&log, |_, _| None);
        sink.limits = BatchLimits::new(16);
        let taken = Arc::clone(&sink.taken);
        let redrive = redrive(&held);
        let quarantine = redrive.quarantine();
        let pipeline = quick(Pipeline::builder(redrive, sink).quarantine(quarantine))
            .build()
            .unwrap();
        let mut running = Box::pin(pipeline.run(CancellationToken::new()));
        for _ in 0..steps {
            let once = std::future::poll_fn(|context| {
                std::task::Poll::Ready(running.as_mut().poll(context).is_ready())
            });
            if once.await {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(running);
        let taken = taken.lock().unwrap().clone();
        let left = live(&held.quarantine).await;
        for n in 0..6 {
            let record = entry("k", n, format!(r#"{{"n":{n}}}"#));
            assert!(
                left.contains_key(&record.id()) || taken.contains(&format!(r#"{{"n":{n}}}"#)),
                "{n} is lost after {steps} steps"
            );
        }
    }
}
