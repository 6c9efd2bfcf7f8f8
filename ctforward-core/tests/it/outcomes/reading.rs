//! Objects that cannot be had, now or at all.

use std::sync::Arc;
use std::time::Duration;

use ctforward_core::ErrorKind::{Archived, NotFound, Timeout, Unauthorized, Unavailable};
use ctforward_core::Pipeline;
use ctforward_core::ledger::MemoryLedger;
use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::quarantine::{Kept, Reason};
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, File, Thing, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, quick, records, run};

fn good(n: usize) -> File {
    file(&key(n), document(&records("r", 2)))
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_late_is_read_and_one_that_stays_missing_is_quarantined() {
    for late in [1, 4, 5, 100] {
        let log = Log::default();
        let cell = Cell::new(&log);
        let entries = Arc::clone(&cell.entries);
        let feed = Feed::of([good(1).fails(vec![NotFound; late])], &log);
        let sink = answering(&log, |_, _| None);
        let report = run(Pipeline::builder(feed, sink).quarantine(cell)).await;
        assert_eq!(log.count("open"), late.min(4) + 1);
        let missing = u64::from(late > 4);
        assert_eq!(report.files, files(1 - missing, 0, missing, 0), "{late}");
        if missing == 1 {
            let entry = &entries.lock().unwrap()[0];
            assert_eq!(entry.reason, Reason::Missing);
            let nothing = Kept::Reference {
                length: 0,
                sha256: None,
            };
            assert_eq!(entry.kept, nothing);
            assert!(log.first("quarantine") < log.first("accept"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_archived_object_is_quarantined_as_that_without_a_second_try() {
    let log = Log::default();
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let feed = Feed::of([good(1).fails([Archived]), good(2)], &log);
    let sink = answering(&log, |_, _| None);
    let report = run(Pipeline::builder(feed, sink).quarantine(cell)).await;
    assert_eq!(report.files, files(1, 0, 1, 0));
    assert_eq!(log.count(&format!("open {}", key(1))), 1);
    assert_eq!(entries.lock().unwrap()[0].reason, Reason::Archived);
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_passing_is_opened_again_and_given_back_when_it_goes_on_failing() {
    for kind in [Unavailable, Timeout] {
        for (failures, delivered) in [(4, 1), (5, 0)] {
            let log = Log::default();
            let feed = Feed::of([good(1).fails(vec![kind; failures])], &log);
            let sink = answering(&log, |_, _| None);
            let report = run(Pipeline::builder(feed, sink).quarantine(Cell::new(&log))).await;
            assert_eq!(report.files, files(delivered, 0, 0, 1 - delivered));
            assert_eq!(log.count("quarantine"), 0);
            assert_eq!(log.count("accept") as u64, delivered);
            assert_eq!(log.count("open"), 5);
        }
    }
}

fn one_at_a_time() -> PipelineLimits {
    let mut limits = PipelineLimits::default();
    limits.files_reading = 1;
    limits
}

#[tokio::test(start_paused = true)]
async fn a_denied_bucket_is_left_alone_for_a_minute_and_others_are_not() {
    let log = Log::default();
    let denied = |n| Thing::File(good(n).fails([Unauthorized]));
    let other = |n| {
        let mut file = good(n);
        file.bucket = "other";
        Thing::File(file)
    };
    let pause = |seconds| Thing::Wait(Duration::from_secs(seconds));
    let things = [
        denied(1),
        other(2),
        denied(3),
        denied(4),
        pause(20),
        denied(5),
        other(6),
        Thing::File(good(7)),
        pause(45),
        denied(8),
        pause(1),
        Thing::File(good(9)),
        pause(61),
        Thing::File(good(10)),
        Thing::File(good(11)),
    ];
    let sink = answering(&log, |_, _| None);
    let pipeline = Pipeline::builder(Feed::new(things, &log), sink)
        .quarantine(Cell::new(&log))
        .limits(one_at_a_time());
    let pipeline = quick(pipeline).build().unwrap();
    let progress = pipeline.progress();
    let running = tokio::spawn(pipeline.run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(progress.denied_buckets(), ["bucket"]);
    let report = running.await.unwrap();
    assert!(report.balanced());
    assert!(progress.denied_buckets().is_empty());
    let opened = |n| log.count(&format!("open {}", key(n)));
    let left_alone = [5, 7, 9];
    for n in 1..=11 {
        assert_eq!(opened(n), usize::from(!left_alone.contains(&n)), "{n}");
    }
    for n in [1, 3, 4, 5, 7, 8, 9] {
        assert_eq!(
            log.count(&format!("release {} unauthorized", key(n))),
            1,
            "{n}"
        );
    }
    // Given back for as long as the bucket is left alone.
    assert_eq!(
        log.count(&format!("release {} unauthorized after 40", key(7))),
        1,
        "{:?}",
        log.lines()
    );
    assert_eq!(
        log.count(&format!("release {} unauthorized after 59", key(9))),
        1,
        "{:?}",
        log.lines()
    );
    assert_eq!(report.files, files(4, 0, 0, 7));
    assert_eq!(log.count("quarantine"), 0);
}

#[tokio::test(start_paused = true)]
async fn files_that_were_claimed_before_a_bucket_was_denied_are_not_opened_after_it() {
    for ledger in [false, true] {
        let log = Log::default();
        let feed = Feed::of((0..50).map(|n| good(n).fails([Unauthorized])), &log);
        let mut pipeline = Pipeline::builder(feed, answering(&log, |_, _| None))
            .quarantine(Cell::new(&log))
            .limits(one_at_a_time());
        if ledger {
            pipeline = pipeline.ledger(MemoryLedger::new());
        }
        let report = run(pipeline).await;
        assert_eq!(report.files, files(0, 0, 0, 50));
        assert_eq!(log.count("release"), 50);
        assert_eq!(log.count("open"), 3, "with a ledger: {ledger}");
    }
}
