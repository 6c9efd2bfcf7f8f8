//! Records that the sink refuses, and a sink that refuses too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ctforward_core::deliver::{Denied, PacePolicy, RetryPolicy};
use ctforward_core::pipeline::End;
use ctforward_core::quarantine::Kept;
use ctforward_core::{Batch, Delivery, Error, ErrorKind, Pipeline, Rejection, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::feed::{Feed, file};
use crate::parts::{Cell, Log, answering};
use crate::pipeline::{document, files, key, records, run};

fn refuses() -> Option<Result<Delivery>> {
    Some(Err(Error::new(ErrorKind::Rejected, "sink", "400 bad")))
}

/// Whether a record is one of those that the sink refuses.
fn bad(record: &[u8]) -> bool {
    record.windows(5).any(|window| window == b"\"bad\"")
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_is_found_in_few_requests_and_put_aside_alone() {
    let n = 1024;
    for places in [vec![0], vec![1023], vec![511, 512], vec![3, 400, 401, 900]] {
        let log = Log::default();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let sink = answering(&log, move |_, batch: &Batch| {
            counted.fetch_add(1, Ordering::SeqCst);
            batch.records().any(bad).then(refuses).flatten()
        });
        let taken = Arc::clone(&sink.taken);
        let cell = Cell::new(&log);
        let entries = Arc::clone(&cell.entries);
        let mut all = records("r", n);
        for &place in &places {
            all[place] = format!(r#"{{"bad":{place}}}"#);
        }
        let feed = Feed::of([file(&key(1), document(&all))], &log);
        let report = run(Pipeline::builder(feed, sink).quarantine(cell)).await;
        assert_eq!(report.files, files(1, 0, 0, 0));
        let k = places.len();
        assert_eq!(report.records.quarantined as usize, k);
        assert_eq!(taken.lock().unwrap().len(), n - k);
        let kept: Vec<Kept> = entries
            .lock()
            .unwrap()
            .iter()
            .map(|e| e.kept.clone())
            .collect();
        for place in places {
            assert!(kept.contains(&Kept::Bytes(all[place].clone().into())));
        }
        let most = 2 * k * n.ilog2() as usize + 1;
        let requests = requests.load(Ordering::SeqCst);
        assert!(requests <= most, "{requests} requests, {most} at most");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_refuses_everything_is_tried_each_minute_until_it_takes_something() {
    let log = Log::default();
    let began = Instant::now();
    let sink = answering(&log, move |_, _| {
        let broken = began.elapsed() < Duration::from_secs(1800);
        broken.then(refuses).flatten()
    });
    let taken = Arc::clone(&sink.taken);
    let mut feed = Feed::of(
        (0..8).map(|n| file(&key(n), document(&records(&key(n), 40)))),
        &log,
    );
    feed.returns = true;
    let pace = PacePolicy::default().with_denied(Denied::probe());
    let pipeline = Pipeline::builder(feed, sink)
        .quarantine(Cell::new(&log))
        .pace(pace.with_seed(5))
        .retry(RetryPolicy::default().with_seed(5).with_give_up_after(None));
    let pipeline = pipeline.build().unwrap();
    let pacer = pipeline.pacer();
    let running = tokio::spawn(pipeline.run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(1790)).await;
    assert!(pacer.is_open());
    assert_eq!(
        log.count("quarantine") + log.count("accept"),
        0,
        "{:?}",
        log.lines()
    );
    let report = running.await.unwrap();
    assert!(report.balanced());
    assert!(matches!(report.end, End::Exhausted));
    assert_eq!(log.count("quarantine"), 0);
    assert_eq!(log.count("accept"), 8);
    let mut taken = taken.lock().unwrap().clone();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), 320);
    assert!(began.elapsed() < Duration::from_secs(1800 + 130));
}

#[tokio::test(start_paused = true)]
async fn more_refusals_than_are_believable_put_no_more_aside() {
    // Of each two hundred records so many are refused.
    for (refused, stops) in [(1, false), (10, true)] {
        let log = Log::default();
        let sink = answering(&log, |_, batch: &Batch| {
            let mut delivery = Delivery::accepted();
            let places = batch
                .records()
                .enumerate()
                .filter(|(_, record)| bad(record));
            delivery.rejected = places
                .map(|(index, _)| Rejection::new(index, "no"))
                .collect();
            Some(Ok(delivery))
        });
        let all: Vec<String> = (0..500)
            .map(|n| match n % 200 {
                n if n < refused => format!(r#"{{"bad":{n}}}"#),
                _ => format!(r#"{{"eventName":"{}"}}"#, "y".repeat(150)),
            })
            .collect();
        let feed = Feed::of((0..40).map(|n| file(&key(n), document(&all))), &log);
        let report = run(Pipeline::builder(feed, sink).quarantine(Cell::new(&log))).await;
        let quarantined = report.records.quarantined;
        assert_eq!(log.count("quarantine") as u64, quarantined);
        if stops {
            assert!(matches!(&report.end, End::Failed(e) if e.kind() == ErrorKind::Rejected));
            assert!(quarantined <= 100, "{quarantined}");
            assert!(report.records.undecided > 0, "{report:?}");
            assert_eq!(log.count("release") as u64, report.files.failed);
        } else {
            assert_eq!(report.files, files(40, 0, 0, 0));
            assert_eq!(quarantined, 120, "more than 100, less than 1 %");
        }
    }
}
