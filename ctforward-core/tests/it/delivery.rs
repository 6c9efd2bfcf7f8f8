//! The pipeline towards its sink: what is tried again, refused, given up and stopped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ctforward_core::deliver::RetryPolicy;
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::quarantine::{Kept, Reason};
use ctforward_core::{BatchLimits, Delivery, Error, ErrorKind, Pipeline, Retry, Sink};
use tokio_util::sync::CancellationToken;

use crate::parts::{Cell, Item, Log, Script, answering, item};
use crate::pipeline::{document, files, key, log_file, quick, records, run};

#[tokio::test(start_paused = true)]
async fn an_open_batch_waits_no_longer_than_the_linger_when_the_source_goes_quiet() {
    let log = Log::default();
    let mut source = Script::new([log_file(&key(1), 1)], &log);
    source.endless = true;
    let mut limits = PipelineLimits::default();
    limits.linger = Duration::from_secs(60);
    let pipeline = Pipeline::builder(source, answering(&log, |_, _| None)).limits(limits);
    let stop = CancellationToken::new();
    let running = tokio::spawn(quick(pipeline).build().unwrap().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(log.count("sink"), 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        log.lines(),
        ["sink 1".to_owned(), format!("accept {}", key(1))]
    );
    stop.cancel();
    let report = running.await.unwrap();
    assert!(matches!(report.end, End::Stopped));
    assert_eq!(report.files, files(1, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn too_many_files_awaiting_their_decision_send_the_open_batch_at_once() {
    let log = Log::default();
    let mut limits = PipelineLimits::default();
    limits.files_awaiting = 2;
    limits.linger = Duration::from_secs(3600);
    let items: Vec<Item> = (0..7).map(|n| log_file(&key(n), 1)).collect();
    let began = tokio::time::Instant::now();
    let pipeline = Pipeline::builder(Script::new(items, &log), answering(&log, |_, _| None));
    let report = run(pipeline.limits(limits)).await;
    assert_eq!(report.files, files(7, 0, 0, 0));
    // A file may enter the next batch just behind the flush; the last one waits for nobody.
    assert!(
        began.elapsed() <= Duration::from_secs(3600),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_is_quarantined_with_its_place_and_the_others_of_its_batch_are_accepted() {
    let log = Log::default();
    let sink = answering(&log, |_, batch| {
        let bad = batch
            .records()
            .any(|r| r.windows(6).any(|w| w == b"-bad-1"));
        bad.then(|| Err(Error::new(ErrorKind::Rejected, "sink", "400 bad record")))
    });
    let taken = Arc::clone(&sink.taken);
    let cell = Cell::new(&log);
    let entries = Arc::clone(&cell.entries);
    let bad = item(&key(1), document(&records("-bad-", 3)));
    let source = Script::new([log_file(&key(0), 5), bad, log_file(&key(2), 5)], &log);
    let report = run(Pipeline::builder(source, sink).quarantine(cell)).await;
    assert_eq!(report.files, files(3, 0, 0, 0));
    assert_eq!(
        (report.records.accepted, report.records.quarantined),
        (12, 1)
    );
    assert_eq!(taken.lock().unwrap().len(), 12);
    let entry = &entries.lock().unwrap()[0];
    assert_eq!(entry.reason, Reason::Refused);
    assert_eq!(entry.object.id.key, key(1));
    assert_eq!(entry.offset, Some(12 + 22 + 1));
    assert_eq!(
        entry.kept,
        Kept::Bytes(Bytes::from_static(br#"{"eventName":"-bad-1"}"#))
    );
    assert!(entry.detail.contains("400 bad record"));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_refuses_everything_stops_the_run_with_nothing_put_aside_or_acknowledged() {
    let log = Log::default();
    let sink = answering(&log, |_, _| {
        Some(Err(Error::new(ErrorKind::Rejected, "sink", "400")))
    });
    let source = Script::new((0..5).map(|n| log_file(&key(n), 10)), &log);
    let report = run(Pipeline::builder(source, sink).quarantine(Cell::new(&log))).await;
    assert!(matches!(&report.end, End::Failed(e) if e.kind() == ErrorKind::Rejected));
    assert_eq!(report.records.undecided, report.records.read);
    assert_eq!(
        log.count("quarantine") + log.count("accept"),
        0,
        "{:?}",
        log.lines()
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_or_endpoint_stops_the_run_and_acknowledges_nothing() {
    for kind in [ErrorKind::Unauthorized, ErrorKind::Config] {
        let log = Log::default();
        let sink = answering(&log, move |_, _| Some(Err(Error::new(kind, "sink", "no"))));
        let source = Script::new((0..500).map(|n| log_file(&key(n), 100)), &log);
        let report = run(Pipeline::builder(source, sink).quarantine(Cell::new(&log))).await;
        assert!(matches!(&report.end, End::Failed(e) if e.kind() == kind));
        assert_eq!(report.records.accepted, 0);
        assert_eq!(report.files.failed, report.files.seen);
        assert_eq!(log.count("accept"), 0);
        assert_eq!(log.count("release") as u64, report.files.seen);
        assert!(report.files.seen < 500, "intake stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_wait_for_room_are_not_lost_when_the_run_ends_or_stops() {
    for stop_after in [None, Some(Duration::from_secs(3))] {
        let log = Log::default();
        let mut limits = PipelineLimits::default();
        limits.deliveries = 1;
        limits.files_awaiting = 3;
        limits.linger = Duration::from_millis(100);
        let sink = answering(&log, |call, _| {
            let busy = Error::new(ErrorKind::Unavailable, "sink", "busy");
            (call < 6).then(|| Err(busy.with_retry(Retry::After(Duration::from_secs(2)))))
        });
        let mut source = Script::new((0..9).map(|n| log_file(&key(n), 1)), &log);
        source.pace = Some(Duration::from_millis(150));
        let stop = CancellationToken::new();
        let pipeline = quick(Pipeline::builder(source, sink).limits(limits))
            .build()
            .unwrap();
        let running = tokio::spawn(pipeline.run(stop.clone()));
        if let Some(after) = stop_after {
            tokio::time::sleep(after).await;
            stop.cancel();
        }
        let report = running.await.unwrap();
        assert!(report.balanced(), "{report:?}");
        assert!(!matches!(report.end, End::Failed(_)), "{report:?}");
        assert_eq!(log.count("dropped"), 0, "{:?}", log.lines());
        let told = log.count("accept") + log.count("release");
        assert_eq!(told as u64, report.files.seen);
        if stop_after.is_none() {
            assert_eq!(report.files, files(9, 0, 0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_that_never_answers_does_not_keep_a_stopped_run_for_ever() {
    struct Stuck;
    #[async_trait::async_trait]
    impl ctforward_core::Quarantine for Stuck {
        async fn put(&self, _: &ctforward_core::QuarantineEntry) -> ctforward_core::Result<()> {
            std::future::pending().await
        }
    }
    let log = Log::default();
    let bad = *b"{\"Records\":[7,7,7,7,7,7,7,7,7]}";
    let items = (0..40).map(|n| item(&key(n), bad));
    let source = Script::new(items, &log);
    let pipeline = Pipeline::builder(source, answering(&log, |_, _| None)).quarantine(Stuck);
    let stop = CancellationToken::new();
    let running = tokio::spawn(quick(pipeline).build().unwrap().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(100)).await;
    stop.cancel();
    let stopped = tokio::time::Instant::now();
    let report = running.await.unwrap();
    assert!(
        stopped.elapsed() < Duration::from_secs(40),
        "{:?}",
        stopped.elapsed()
    );
    assert!(report.balanced());
    assert_eq!(report.files.failed, report.files.seen);
    assert_eq!(log.count("accept"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_a_missing_object_is_tried_again_gives_it_back() {
    let log = Log::default();
    let mut file = log_file(&key(1), 1);
    file.open_errors = vec![(ErrorKind::NotFound, Retry::Never); 20];
    let mut source = Script::new([file], &log);
    source.endless = true;
    let pipeline = Pipeline::builder(source, answering(&log, |_, _| None))
        .quarantine(Cell::new(&log))
        .retry(
            RetryPolicy::default().with_pauses(Duration::from_secs(50), Duration::from_secs(50)),
        );
    let stop = CancellationToken::new();
    let running = tokio::spawn(pipeline.build().unwrap().run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(10)).await;
    stop.cancel();
    assert_eq!(running.await.unwrap().files, files(0, 0, 0, 1));
    assert_eq!(log.count("quarantine") + log.count("accept"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_passes_later_is_tried_again_until_it_passes() {
    let log = Log::default();
    let sink = answering(&log, |call, _| {
        let retry = [
            Retry::Backoff,
            Retry::After(Duration::from_secs(90)),
            Retry::Backoff,
        ];
        let retry = *retry.get(call)?;
        Some(Err(
            Error::new(ErrorKind::Throttled, "sink", "429").with_retry(retry)
        ))
    });
    let began = tokio::time::Instant::now();
    let report = run(Pipeline::builder(
        Script::new([log_file(&key(1), 2)], &log),
        sink,
    ))
    .await;
    assert_eq!(report.records.accepted, 2);
    assert!(began.elapsed() >= Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn records_that_a_sink_names_again_are_sent_again_alone() {
    let log = Log::default();
    let sink = answering(&log, |call, batch| {
        (call == 0).then(|| {
            let mut delivery = Delivery::accepted();
            delivery.again = vec![1, batch.len() - 1];
            Ok(delivery)
        })
    });
    let taken = Arc::clone(&sink.taken);
    let report = run(Pipeline::builder(
        Script::new([log_file(&key(1), 6)], &log),
        sink,
    ))
    .await;
    assert_eq!(report.records.accepted, 6);
    let mut taken = taken.lock().unwrap().clone();
    taken.sort();
    assert_eq!(taken, records(&key(1), 6));
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_down_is_given_up_after_the_set_time() {
    let log = Log::default();
    let sink = answering(&log, |_, _| {
        Some(Err(
            Error::new(ErrorKind::Unavailable, "sink", "503").with_retry(Retry::Backoff)
        ))
    });
    let began = tokio::time::Instant::now();
    let report = run(Pipeline::builder(
        Script::new([log_file(&key(1), 2)], &log),
        sink,
    ))
    .await;
    assert!(matches!(&report.end, End::Failed(e) if e.kind() == ErrorKind::Unavailable));
    // The last attempt may have to wait for an open breaker.
    assert!(began.elapsed() <= Duration::from_secs(15 * 60 + 70));
    assert_eq!(report.records.undecided, 2);
    assert_eq!(log.count("accept"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_under_way_and_gives_back_the_rest() {
    let log = Log::default();
    let mut source = Script::new((0..3).map(|n| log_file(&key(n), 4)), &log);
    source.endless = true;
    let stop = CancellationToken::new();
    let canceller = stop.clone();
    let sink = answering(&log, move |_, _| {
        canceller.cancel();
        None
    });
    let report = quick(Pipeline::builder(source, sink))
        .build()
        .unwrap()
        .run(stop)
        .await;
    assert!(report.balanced());
    assert!(matches!(report.end, End::Stopped));
    assert_eq!(report.files, files(3, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_never_answers_is_left_after_the_drain_time_and_nothing_is_acknowledged() {
    struct Stuck;
    #[async_trait::async_trait]
    impl Sink for Stuck {
        fn limits(&self) -> BatchLimits {
            BatchLimits::new(1000)
        }
        async fn deliver(&self, _: &ctforward_core::Batch) -> ctforward_core::Result<Delivery> {
            std::future::pending().await
        }
    }
    let log = Log::default();
    let source = Script::new((0..40).map(|n| log_file(&key(n), 20)), &log);
    let stop = CancellationToken::new();
    let running = tokio::spawn(
        quick(Pipeline::builder(source, Stuck))
            .build()
            .unwrap()
            .run(stop.clone()),
    );
    tokio::time::sleep(Duration::from_secs(100)).await;
    stop.cancel();
    let before = tokio::time::Instant::now();
    let report = running.await.unwrap();
    assert!(
        before.elapsed() <= Duration::from_secs(26),
        "{:?}",
        before.elapsed()
    );
    assert!(report.balanced(), "{report:?}");
    assert_eq!(report.records.accepted, 0);
    assert_eq!(log.count("accept"), 0);
    assert_eq!(log.count("release") as u64, report.files.seen);
}
