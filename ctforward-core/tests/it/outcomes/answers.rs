//! What the sink answers: taken in parts, too large, busy, denied; and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ctforward_core::deliver::{Denied, PacePolicy, RetryPolicy};
use ctforward_core::ledger::MemoryLedger;
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::quarantine::{Kept, Reason};
use ctforward_core::{BatchLimits, Delivery, Error, ErrorKind, Pipeline, Rejection, Retry};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, Slow, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, quick, records, run};

#[tokio::test(start_paused = true)]
async fn an_answer_in_parts_is_read_record_by_record() {
    let log = Log::default();
    // Of ten, two come again, and of those one is refused then; two are refused at once.
    let sink = answering(&log, |call, batch| {
        let mut delivery = Delivery::accepted();
        match call {
            0 => {
                delivery.again = vec![8, 2];
                delivery.rejected = vec![Rejection::new(5, "bad"), Rejection::new(0, "worse")];
            }
            1 => {
                assert_eq!(batch.len(), 2);
                delivery.rejected = vec![Rejection::new(0, "again bad")];
            }
            _ => return None,
        }
        Some(Ok(delivery))
    });
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let all = records("r", 10);
    let feed = Feed::of([file(&key(1), document(&all))], &log);
    let report = run(Pipeline::builder(feed, sink).quarantine(cell)).await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    let count = &report.records;
    assert_eq!((count.accepted, count.quarantined), (7, 3));
    let mut kept: Vec<_> = entries.lock().unwrap().clone();
    kept.sort_by_key(|entry| entry.offset);
    let bytes = |n: usize| Kept::Bytes(all[n].clone().into());
    let which = kept[1].clone().kept;
    assert!(which == bytes(2) || which == bytes(5), "{which:?}");
    assert_eq!(kept[0].kept, bytes(0));
    assert!(kept.iter().all(|entry| entry.reason == Reason::Refused));
    let mut told: Vec<_> = taken.lock().unwrap().clone();
    told.extend(kept.iter().map(|entry| match &entry.kept {
        Kept::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }));
    told.sort();
    assert_eq!(told, all, "each record once");
}

#[tokio::test(start_paused = true)]
async fn a_batch_too_large_is_halved_and_a_single_record_too_large_is_put_aside() {
    let log = Log::default();
    let most = 700;
    let sink = answering(&log, move |_, batch| {
        let large = Error::new(ErrorKind::TooLarge, "sink", "413");
        (batch.bytes() > most).then_some(Err(large))
    });
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let mut all = records("r", 200);
    all[77] = format!(r#"{{"x":"{}"}}"#, "y".repeat(most));
    let feed = Feed::of([file(&key(1), document(&all))], &log);
    let report = run(Pipeline::builder(feed, sink).quarantine(cell)).await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    assert_eq!(report.records.accepted, 199);
    assert_eq!(taken.lock().unwrap().len(), 199);
    let entries = entries.lock().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].kept, Kept::Bytes(all[77].clone().into()));
}

fn probing() -> PacePolicy {
    PacePolicy::default()
        .with_denied(Denied::probe())
        .with_seed(3)
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_or_endpoint_is_probed_each_minute_and_recovers_by_itself() {
    for kind in [ErrorKind::Unauthorized, ErrorKind::Config] {
        let log = Log::default();
        let began = Instant::now();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        // Mended after an hour.
        let sink = answering(&log, move |_, _| {
            let broken = began.elapsed() < Duration::from_secs(3600);
            broken.then(|| {
                counted.fetch_add(1, Ordering::SeqCst);
                Err(Error::new(kind, "sink", "no"))
            })
        });
        let mut feed = Feed::of(
            (0..5).map(|n| file(&key(n), document(&records("r", 2)))),
            &log,
        );
        feed.returns = true;
        let pipeline = Pipeline::builder(feed, sink)
            .quarantine(Cell::new(&log))
            .pace(probing())
            .retry(RetryPolicy::default().with_seed(7).with_give_up_after(None));
        let pipeline = pipeline.build().unwrap();
        let pacer = pipeline.pacer();
        let running = tokio::spawn(pipeline.run(CancellationToken::new()));
        tokio::time::sleep(Duration::from_secs(3590)).await;
        assert_eq!(log.count("accept") + log.count("quarantine"), 0);
        assert_eq!(pacer.why().map(|error| error.kind()), Some(kind));
        let report = running.await.unwrap();
        assert!(report.balanced());
        assert_eq!(log.count("accept"), 5);
        let took = began.elapsed().as_secs();
        assert!((3600..3600 + 130).contains(&took), "{took}");
        let calls = calls.load(Ordering::SeqCst);
        assert!((50..=61).contains(&calls), "{kind:?}: {calls}");
        assert!(matches!(report.end, End::Exhausted));
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_sink_is_tried_for_as_long_as_the_receipt_can_be_held_and_then_nothing_is_lost() {
    for kind in [
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
    ] {
        let log = Log::default();
        let began = Instant::now();
        let sink = answering(&log, move |_, _| {
            let busy = Error::new(kind, "sink", "busy").with_retry(Retry::Backoff);
            (began.elapsed() < Duration::from_secs(200)).then_some(Err(busy))
        });
        let taken = Arc::clone(&sink.taken);
        let mut held = file(&key(1), document(&records("r", 3)));
        held.hold = Some(Duration::from_secs(90));
        let mut feed = Feed::of([held], &log);
        feed.returns = true;
        let pipeline = Pipeline::builder(feed, sink)
            .quarantine(Cell::new(&log))
            .ledger(MemoryLedger::new())
            .retry(RetryPolicy::default().with_seed(7).with_give_up_after(None));
        let running = tokio::spawn(pipeline.build().unwrap().run(CancellationToken::new()));
        tokio::time::sleep(Duration::from_secs(91)).await;
        assert_eq!(log.count("release"), 1, "{kind:?}: {:?}", log.lines());
        let report = running.await.unwrap();
        assert!(report.balanced());
        assert!(matches!(report.end, End::Exhausted));
        assert_eq!(log.count("accept"), 1);
        assert_eq!(log.count("quarantine"), 0);
        assert_eq!(*taken.lock().unwrap(), records("r", 3));
        assert_eq!(report.files.delivered, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_an_exact_partial_result() {
    for (takes, stop_after) in [(1, 10), (3, 10), (20, 30), (100, 50)] {
        let log = Log::default();
        let mut sink = answering(&log, |_, _| None);
        sink.limits = BatchLimits::new(2_000);
        let taken = Arc::clone(&sink.taken);
        let mut feed = Feed::of(
            (0..400).map(|n| file(&key(n), document(&records(&key(n), 5)))),
            &log,
        );
        feed.endless = true;
        let mut limits = PipelineLimits::default();
        limits.files_awaiting = 40;
        let ledger = Arc::new(MemoryLedger::new());
        let pipeline = Pipeline::builder(feed, Slow(sink, Duration::from_secs(takes)))
            .limits(limits)
            .ledger(Arc::clone(&ledger));
        let stop = CancellationToken::new();
        let running = tokio::spawn(quick(pipeline).build().unwrap().run(stop.clone()));
        tokio::time::sleep(Duration::from_secs(stop_after)).await;
        stop.cancel();
        let told = Instant::now();
        let report = running.await.unwrap();
        assert!(told.elapsed() <= Duration::from_secs(31));
        assert!(report.balanced(), "{report:?}");
        assert!(matches!(report.end, End::Stopped));
        assert!(report.files.seen < 400, "intake stopped");
        assert_eq!(
            report.records.accepted as usize,
            taken.lock().unwrap().len()
        );
        let count = |what| log.count(what) as u64;
        assert_eq!(count("accept"), report.files.delivered);
        assert_eq!(count("release"), report.files.failed);
        assert_eq!(count("dropped"), 0);
        assert_eq!(
            report.files.seen,
            report.files.delivered + report.files.failed
        );
        // What was acknowledged was taken whole, and the ledger says so.
        for n in 0..400 {
            let finished = ledger.finished("bucket", &key(n)).is_some();
            assert_eq!(log.count(&format!("accept {}", key(n))) == 1, finished);
            let taken = taken.lock().unwrap();
            let whole = records(&key(n), 5)
                .iter()
                .all(|record| taken.contains(record));
            assert!(whole || !finished, "{n}");
        }
        assert_eq!(
            report.files.delivered > 0,
            takes < 100,
            "{takes}: {report:?}"
        );
    }
}
