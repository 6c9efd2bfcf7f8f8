//! A pipeline whose sink is paced: outages, throttling and a lone refused record.

use std::sync::Arc;
use std::time::Duration;

use ctforward_core::deliver::pace::{BreakerState, Denied, PacePolicy, PaceSink, Pacer};
use ctforward_core::pipeline::End;
use ctforward_core::{Error, ErrorKind, Pipeline, Retry};

use crate::parts::{Cell, Log, Script, answering, item};
use crate::pipeline::{document, files, key, log_file, records, run};

fn pacer(policy: PacePolicy) -> Pacer {
    Pacer::new(policy.with_seed(5)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn through_an_outage_and_throttling_every_record_is_accepted_and_the_breaker_closes() {
    let log = Log::default();
    let sink = answering(&log, |call, _| {
        let busy = |kind, retry| Some(Err(Error::new(kind, "sink", "busy").with_retry(retry)));
        match call {
            1..9 => busy(ErrorKind::Unavailable, Retry::Backoff),
            12 => busy(ErrorKind::Throttled, Retry::After(Duration::from_secs(90))),
            14 => busy(ErrorKind::Throttled, Retry::After(Duration::from_secs(9))),
            _ => None,
        }
    });
    let taken = Arc::clone(&sink.taken);
    let pacer = pacer(PacePolicy::default());
    let source = Script::new((0..40).map(|n| log_file(&key(n), 400)), &log);
    let began = tokio::time::Instant::now();
    let report = run(Pipeline::builder(
        source,
        PaceSink::new(sink, pacer.clone()),
    ))
    .await;
    assert_eq!(report.files, files(40, 0, 0, 0));
    assert_eq!(report.records.accepted, 16_000);
    assert_eq!(taken.lock().unwrap().len(), 16_000);
    assert!(began.elapsed() >= Duration::from_secs(90 + 9 + 5));
    let status = pacer.status();
    assert_eq!(status.breaker, BreakerState::Closed);
    assert_eq!((status.in_flight, status.waiting), (0, 0));
    assert_eq!(status.throttled, 2);
    assert!(status.breaker_opens >= 2, "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_stop_the_run_unless_they_are_to_be_probed() {
    for denied in [Denied::Stop, Denied::probe()] {
        let log = Log::default();
        let sink = answering(&log, |call, _| {
            let no = Error::new(ErrorKind::Unauthorized, "sink", "no");
            (call < 3).then_some(Err(no))
        });
        let pacer = pacer(PacePolicy::default().with_denied(denied));
        let source = Script::new([log_file(&key(1), 5)], &log);
        let report = run(Pipeline::builder(source, PaceSink::new(sink, pacer))).await;
        if denied == Denied::Stop {
            assert!(matches!(&report.end, End::Failed(e) if e.kind() == ErrorKind::Unauthorized));
            assert_eq!(report.files, files(0, 0, 0, 1));
        } else {
            assert_eq!(report.files, files(1, 0, 0, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_refused_record_alone_in_the_only_file_is_put_aside() {
    let log = Log::default();
    let sink = answering(&log, |_, _| {
        Some(Err(Error::new(ErrorKind::Rejected, "sink", "400")))
    });
    let lone = item(&key(1), document(&records("bad", 1)));
    let pipeline = Pipeline::builder(
        Script::new([lone], &log),
        PaceSink::new(sink, pacer(PacePolicy::default())),
    );
    let report = run(pipeline.quarantine(Cell::new(&log))).await;
    assert_eq!(report.files, files(1, 0, 0, 0));
    assert_eq!(report.records.quarantined, 1);
}

#[test]
fn the_status_is_readable_by_machines() {
    let pacer = pacer(PacePolicy::default());
    let why = Error::new(ErrorKind::Rejected, "sink", "too much \u{1b}[31m refused");
    let closed = serde_json::to_value(pacer.status()).unwrap();
    assert_eq!(closed["breaker"], "closed");
    assert_eq!(closed["why"], serde_json::Value::Null);
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { pacer.trip(&why, Duration::from_secs(60)) });
    let open = serde_json::to_value(pacer.status()).unwrap();
    assert_eq!(open["breaker"], "open");
    assert_eq!(open["concurrency_limit"], 2);
    assert!(open["closed_for"].as_f64().unwrap() > 59.0);
    assert!(!open["why"].as_str().unwrap().contains('\u{1b}'));
}
