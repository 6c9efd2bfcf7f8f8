//! When it opens, for how long, who probes, and what closes it.

use super::*;

/// `n` requests, one after the other.
async fn fail(rig: &Rig, n: usize) {
    for _ in 0..n {
        assert!(rig.send().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn it_opens_after_failures_in_a_row_and_one_success_starts_the_count_anew() {
    let rig = rig(PacePolicy::default(), |call, _| {
        (millis(1), if call == 4 { taken() } else { down() })
    });
    fail(&rig, 4).await;
    rig.send().await.unwrap();
    fail(&rig, 4).await;
    assert!(!rig.pacer.is_open());
    fail(&rig, 1).await;
    assert!(rig.pacer.is_open());
    assert_eq!(rig.pacer.why().unwrap().kind(), ErrorKind::Unavailable);
    assert_eq!(rig.pacer.status().breaker, BreakerState::Open);
    assert_eq!(rig.pacer.status().breaker_opens, 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_what_is_final_do_not_open_it() {
    let kinds = [
        ErrorKind::Rejected,
        ErrorKind::TooLarge,
        ErrorKind::Unauthorized,
        ErrorKind::Config,
        ErrorKind::Other,
    ];
    let rig = rig(PacePolicy::default(), move |call, _| {
        let kind = kinds[call % kinds.len()];
        (millis(1), Err(error(kind, Retry::Never)))
    });
    for call in 0..50 {
        let error = rig.send().await.unwrap_err();
        assert_eq!(error.kind(), kinds[call % kinds.len()]);
        assert!(!error.is_retryable());
    }
    assert!(!rig.pacer.is_open());
}

#[tokio::test(start_paused = true)]
async fn open_it_holds_then_one_request_probes_and_its_success_lets_the_others_go() {
    let rig = rig(PacePolicy::default(), |call, _| {
        (secs(2), if call < 5 { down() } else { taken() })
    });
    fail(&rig, 5).await;
    let opened = Instant::now();
    let waiting: Vec<_> = (0..4).map(|_| rig.spawn(batch())).collect();
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    let seen = &rig.seen()[5..];
    assert!(seen[0].began >= opened + secs(5), "it holds");
    assert!(seen[0].began <= opened + millis(5501));
    assert!(seen[1].began >= seen[0].ended.unwrap(), "one probes alone");
    assert!(!rig.pacer.is_open());
    assert_eq!(rig.pacer.status().breaker, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn each_probe_that_fails_doubles_the_time_up_to_the_cap_and_a_success_ends_that() {
    let rig = rig(PacePolicy::default(), |call, _| {
        (millis(1), if call == 12 { taken() } else { down() })
    });
    fail(&rig, 12).await;
    let ends: Vec<_> = rig.seen().iter().map(|s| s.began).collect();
    let gaps: Vec<u64> = ends[4..]
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs())
        .collect();
    for (gap, least) in gaps.iter().zip([5, 10, 20, 40, 60, 60, 60]) {
        assert!((least..=least + least / 10).contains(gap), "{gaps:?}");
    }
    rig.send().await.unwrap();
    fail(&rig, 5).await;
    let left = rig.pacer.open_until().unwrap() - Instant::now();
    assert!(left <= millis(5500), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_leaves_the_place_to_the_next() {
    let rig = rig(PacePolicy::default(), |call, _| match call {
        0..5 => (millis(1), down()),
        5 => (secs(1000), taken()),
        _ => (millis(1), taken()),
    });
    fail(&rig, 5).await;
    let probe = rig.spawn(batch());
    let next = rig.spawn(batch());
    sleep(secs(10)).await;
    assert_eq!(rig.requests(), 6, "only the probe");
    assert_eq!(rig.pacer.status().breaker, BreakerState::HalfOpen);
    probe.abort();
    next.await.unwrap().unwrap();
    assert_eq!(rig.requests(), 7);
    assert!(!rig.pacer.is_open());
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_it_opened_neither_closes_it_nor_doubles_its_time() {
    let policy = PacePolicy::default().with_concurrency(8, 8, 8);
    let rig = rig(policy, |call, _| match call {
        0..5 => (millis(1), down()),
        5 => (secs(1), taken()),
        6 => (secs(2), down()),
        _ => (millis(1), taken()),
    });
    let all: Vec<_> = (0..7).map(|_| rig.spawn(batch())).collect();
    sleep(secs(1)).await;
    let until = rig.pacer.open_until().unwrap();
    for one in all {
        let _ = one.await.unwrap();
    }
    assert_eq!(rig.pacer.open_until(), Some(until));
    assert_eq!(rig.pacer.status().breaker_opens, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_cap_opens_it_at_once_until_then() {
    for partly in [false, true] {
        let rig = rig(PacePolicy::default(), move |call, _| {
            let mut some = Delivery::accepted();
            let answer = match (call, partly) {
                (0, false) => throttled(secs(300)),
                (0, true) => {
                    some.again = vec![0];
                    some.again_because = Some(throttled(secs(300)).unwrap_err());
                    Ok(some)
                }
                _ => taken(),
            };
            (millis(1), answer)
        });
        let _ = rig.send().await;
        let told = Instant::now();
        assert!(rig.pacer.is_open());
        rig.send().await.unwrap();
        assert!(told.elapsed() >= secs(300));
        assert!(told.elapsed() < secs(302));
        assert!(!rig.pacer.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_at_once_what_cannot_be_held_and_the_files_can_be_given_back() {
    let rig = rig(PacePolicy::default(), |_, _| {
        (millis(1), throttled(secs(100)))
    });
    assert!(rig.send().await.is_err());
    let began = Instant::now();
    // In the queue behind one that waits, as well as the first.
    let patient = rig.spawn(batch());
    for hold in [0, 50, 99] {
        let short = held(10, Some(began + secs(hold)));
        let error = rig.sink.deliver(&short).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Throttled);
        let Retry::After(left) = error.retry() else {
            panic!("{error:?}");
        };
        assert!(left >= secs(100), "not shortened: {left:?}");
        assert!(error.message().contains("so it says"), "{error}");
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    // One that waits already is sent away as soon as the time becomes too long.
    let waits = rig.spawn(held(10, Some(began + secs(200))));
    sleep(secs(1)).await;
    assert!(!waits.is_finished());
    let why = error(ErrorKind::Rejected, Retry::Never);
    rig.pacer.trip(&why, secs(1000));
    let error = waits.await.unwrap().unwrap_err();
    assert!(error.is_retryable());
    assert!(began.elapsed() < secs(2));
    assert_eq!(rig.requests(), 1);
    patient.abort();
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_probed_for_ever_where_told_so_and_recover_by_themselves() {
    for kind in [ErrorKind::Unauthorized, ErrorKind::Config] {
        let policy = PacePolicy::default().with_denied(Denied::probe());
        let rig = rig(policy, move |call, _| {
            let no = Err(error(kind, Retry::Never));
            (millis(1), if call < 100 { no } else { taken() })
        });
        for _ in 0..100 {
            let error = rig.send().await.unwrap_err();
            assert_eq!(
                (error.kind(), error.retry()),
                (kind, Retry::After(secs(60)))
            );
            assert_eq!(rig.pacer.why().unwrap().kind(), kind);
        }
        rig.send().await.unwrap();
        assert!(!rig.pacer.is_open());
        for pair in rig.seen().windows(2) {
            let gap = pair[1].began - pair[0].began;
            assert!(gap >= secs(60) && gap < secs(62), "each minute: {gap:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn opened_from_above_it_is_closed_by_what_is_accepted_and_not_by_a_refusal() {
    let rig = rig(
        PacePolicy::default().with_concurrency(4, 4, 4),
        |call, _| {
            let no = Err(error(ErrorKind::Rejected, Retry::Never));
            (secs(1), if call < 6 { no } else { taken() })
        },
    );
    let why = error(ErrorKind::Rejected, Retry::Never);
    rig.pacer.trip(&why, secs(30));
    let tripped = Instant::now();
    let all: Vec<_> = (0..8).map(|_| rig.spawn(batch())).collect();
    for one in all {
        let _ = one.await.unwrap();
    }
    let seen = rig.seen();
    assert!(seen[0].began >= tripped + secs(30));
    assert!(seen[..7].iter().all(|s| s.beside == 1), "one at a time");
    assert!(!rig.pacer.is_open());
}

#[tokio::test(start_paused = true)]
async fn opened_from_above_while_a_probe_is_under_way_its_answer_closes_nothing() {
    let rig = rig(PacePolicy::default(), |call, _| match call {
        0..5 => (millis(1), down()),
        _ => (secs(10), taken()),
    });
    fail(&rig, 5).await;
    let probe = rig.spawn(batch());
    sleep(secs(8)).await;
    assert_eq!(rig.requests(), 6);
    let why = error(ErrorKind::Rejected, Retry::Never);
    rig.pacer.trip(&why, secs(100));
    probe.await.unwrap().unwrap();
    assert!(rig.pacer.is_open());
    assert_eq!(rig.pacer.why().unwrap().kind(), ErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_nobody_waits_for_it_any_more() {
    let rig = rig(PacePolicy::default(), |call, _| match call {
        0..5 => (millis(1), down()),
        _ => (secs(100), taken()),
    });
    fail(&rig, 5).await;
    let first = rig.spawn(batch());
    sleep(secs(10)).await;
    let second = rig.spawn(batch());
    sleep(secs(10)).await;
    rig.pacer.stop();
    let error = second.await.unwrap().unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    first.await.unwrap().unwrap();
    rig.send().await.unwrap();
}
