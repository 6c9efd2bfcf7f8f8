//! `RetrySink` around `PaceSink`: how their waits go together.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::deliver::{RetryPolicy, RetrySink};

fn stack(rig: &Rig, policy: RetryPolicy) -> Arc<RetrySink<Arc<PaceSink<Scripted>>>> {
    let inner = Arc::clone(&rig.sink);
    let policy = policy.with_seed(3);
    Arc::new(RetrySink::new(inner, policy, CancellationToken::new()))
}

#[tokio::test(start_paused = true)]
async fn a_lone_batch_outlives_an_outage_and_is_its_own_probe() {
    let began = Instant::now();
    let rig = rig(PacePolicy::default(), move |_, _| {
        let well = began.elapsed() > secs(6 * 3600);
        (millis(20), if well { taken() } else { down() })
    });
    let sink = stack(&rig, RetryPolicy::default().with_give_up_after(None));
    assert!(sink.deliver(&batch()).await.unwrap().is_complete());
    assert!(began.elapsed() < secs(6 * 3600 + 120));
    let hours = rig.requests();
    assert!(hours < 6 * 60 + 20, "about one probe a minute: {hours}");
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_with_probes_are_never_given_up_by_a_patient_policy() {
    let policy = PacePolicy::default().with_denied(Denied::probe());
    let rig = rig(policy, |call, _| {
        let no = Err(error(ErrorKind::Unauthorized, Retry::Never));
        (millis(1), if call < 200 { no } else { taken() })
    });
    let sink = stack(&rig, RetryPolicy::default().with_give_up_after(None));
    assert!(sink.deliver(&batch()).await.unwrap().is_complete());
    assert_eq!(rig.requests(), 201);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_its_turn_is_no_reason_to_give_up_while_others_are_accepted() {
    // One place and a slow sink: the last of them waits far longer than the time
    // after which delivery is given up, and then fails once.
    let rig = rig(PacePolicy::default().with_ceiling(1), |call, _| {
        (secs(60), if call == 39 { down() } else { taken() })
    });
    let sink = stack(&rig, RetryPolicy::default());
    let all: Vec<_> = (0..40)
        .map(|_| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move { sink.deliver(&batch()).await })
        })
        .collect();
    for one in all {
        assert!(one.await.unwrap().unwrap().is_complete());
    }
    assert_eq!(rig.requests(), 41);
}

#[tokio::test(start_paused = true)]
async fn an_outage_without_any_accepted_batch_is_given_up_in_time() {
    let began = Instant::now();
    let rig = rig(PacePolicy::default(), |_, _| (millis(20), down()));
    let sink = stack(&rig, RetryPolicy::default());
    let error = sink.deliver(&batch()).await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(began.elapsed() >= secs(15 * 60) && began.elapsed() < secs(17 * 60));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_cannot_be_held_releases_the_files_however_long_it_is() {
    for told in [100, 10_000] {
        let rig = rig(PacePolicy::default(), move |_, _| {
            (millis(1), throttled(secs(told)))
        });
        let sink = stack(&rig, RetryPolicy::default());
        let hold = Instant::now() + secs(50);
        // The one that was told, and one that finds the breaker open.
        for _ in 0..2 {
            let error = sink.deliver(&held(10, Some(hold))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Throttled);
            let Retry::After(left) = error.retry() else {
                panic!("{error:?}");
            };
            assert!(left + secs(1) >= secs(told), "{left:?}");
        }
        assert!(Instant::now() < hold);
        assert_eq!(rig.requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_sleep_their_own_pause_keep_nobody_from_probing() {
    let rig = rig(PacePolicy::default().with_ceiling(8), |call, _| {
        (millis(1), if call < 5 { down() } else { taken() })
    });
    // Pauses of up to an hour: whoever failed sleeps for long.
    let patient = RetryPolicy::default().with_pauses(secs(3600), secs(3600));
    let sink = stack(&rig, patient.with_give_up_after(None));
    let sleeping: Vec<_> = (0..5)
        .map(|_| {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move { sink.deliver(&batch()).await })
        })
        .collect();
    sleep(secs(1)).await;
    assert!(rig.pacer.is_open());
    let began = Instant::now();
    rig.pacer.admits().await;
    assert!(sink.deliver(&batch()).await.unwrap().is_complete());
    assert!(began.elapsed() < secs(6), "{:?}", began.elapsed());
    for one in sleeping {
        one.await.unwrap().unwrap();
    }
}

type Stack = Arc<RetrySink<Arc<PaceSink<Scripted>>>>;

/// Refuses us until told otherwise, and a stack that knows its pacer.
fn refusing(kind: ErrorKind, retry: Retry) -> (Rig, Stack, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&mended);
    let policy = PacePolicy::default().with_denied(Denied::Probe(secs(600)));
    let rig = rig(policy, move |_, _| {
        let well = seen.load(Ordering::SeqCst);
        let no = Err(error(kind, retry));
        (millis(1), if well { taken() } else { no })
    });
    let policy = RetryPolicy::default().with_give_up_after(None).with_seed(3);
    let sink = RetrySink::new(Arc::clone(&rig.sink), policy, CancellationToken::new());
    let sink = Arc::new(sink.hurried_by(rig.pacer.clone()));
    (rig, sink, mended)
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_its_own_probe_at_once_when_told_that_something_changed() {
    let began = Instant::now();
    let (rig, sink, mended) = refusing(ErrorKind::Unauthorized, Retry::Never);
    let delivery = tokio::spawn(async move { sink.deliver(&batch()).await });
    sleep(secs(5)).await;
    assert_eq!(rig.requests(), 1);
    // Told in vain: one request more, and the next pause is as long as the first.
    rig.pacer.probe_now();
    sleep(secs(5)).await;
    assert_eq!(rig.requests(), 2);
    mended.store(true, Ordering::SeqCst);
    sleep(secs(5)).await;
    assert_eq!(rig.requests(), 2);
    rig.pacer.probe_now();
    assert!(delivery.await.unwrap().unwrap().is_complete());
    assert!(began.elapsed() < secs(20), "{:?}", began.elapsed());
    assert!(!rig.pacer.is_open());
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_asked_for_is_not_hurried() {
    let began = Instant::now();
    let told = Retry::After(secs(900));
    let (rig, sink, mended) = refusing(ErrorKind::Throttled, told);
    let delivery = tokio::spawn(async move { sink.deliver(&batch()).await });
    sleep(secs(5)).await;
    mended.store(true, Ordering::SeqCst);
    rig.pacer.probe_now();
    assert!(delivery.await.unwrap().unwrap().is_complete());
    assert!(began.elapsed() >= secs(900), "{:?}", began.elapsed());
    assert_eq!(rig.requests(), 2);
}
