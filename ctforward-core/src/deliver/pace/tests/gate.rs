//! Who goes when: intake, a Retry-After that holds for all, fairness, and dropped requests.

use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn intake_is_closed_while_the_breaker_is_open_and_then_lets_one_in_to_probe() {
    let rig = rig(PacePolicy::default(), |call, _| {
        (secs(3), if call < 5 { down() } else { taken() })
    });
    rig.pacer.admits().await;
    for _ in 0..5 {
        assert!(rig.send().await.is_err());
    }
    let opened = Instant::now();
    rig.pacer.admits().await;
    assert!(opened.elapsed() >= secs(5));
    // The file that was let in may hold nothing to send: after a while another one.
    let admitted = Instant::now();
    rig.pacer.admits().await;
    assert_eq!(admitted.elapsed(), secs(1));
    // With a request under way nobody else is needed, until its answer closes it.
    let probe = rig.spawn(batch());
    tokio::task::yield_now().await;
    let asked = Instant::now();
    rig.pacer.admits().await;
    assert_eq!(asked.elapsed(), secs(3));
    probe.await.unwrap().unwrap();
    let asked = Instant::now();
    rig.pacer.admits().await;
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_told_to_one_holds_back_all_and_then_they_start_apart() {
    let policy = PacePolicy::default().with_concurrency(4, 4, 4);
    let rig = rig(policy, |call, _| match call {
        0 => (millis(1), throttled(secs(20))),
        _ => (millis(1), taken()),
    });
    assert!(rig.send().await.is_err());
    assert!(!rig.pacer.is_open(), "below the cap");
    let told = Instant::now();
    assert!(rig.pacer.status().closed_for.unwrap() >= 20.0);
    let short = held(10, Some(told + secs(10)));
    let error = rig.sink.deliver(&short).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.is_retryable());
    assert_eq!(told.elapsed(), Duration::ZERO);
    let all: Vec<_> = (0..4).map(|_| rig.spawn(batch())).collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    let mut began: Vec<Instant> = rig.seen()[1..].iter().map(|s| s.began).collect();
    assert!(began[0] >= told + secs(20));
    assert!(began[3] <= told + secs(23));
    began.dedup();
    assert_eq!(began.len(), 4, "not together");
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let policy = PacePolicy::default().with_concurrency(1, 2, 2);
    let rig = rig(policy, |call, _| {
        (millis(10 + call as u64 * 7 % 13), taken())
    });
    // The size tells who it is.
    let all: Vec<_> = (1..=100).map(|size| rig.spawn(sized(size))).collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    let order: Vec<usize> = rig.seen().iter().map(|s| s.bytes).collect();
    assert_eq!(order, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_turn_does_not_come_in_time_is_given_back() {
    let policy = PacePolicy::default().with_ceiling(1);
    let rig = rig(policy, |_, _| (secs(60), taken()));
    let long = rig.spawn(batch());
    let second = rig.spawn(batch());
    sleep(secs(1)).await;
    let began = Instant::now();
    // Behind another one in the queue, and as the first of it.
    let queued = held(10, Some(began + secs(30)));
    let error = rig.sink.deliver(&queued).await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(began.elapsed(), secs(30));
    second.abort();
    let _ = second.await;
    let first = held(10, Some(began + secs(40)));
    assert!(rig.sink.deliver(&first).await.unwrap_err().is_retryable());
    assert_eq!(began.elapsed(), secs(40));
    long.await.unwrap().unwrap();
    assert_eq!(rig.requests(), 1);
    let status = rig.pacer.status();
    assert_eq!((status.in_flight, status.waiting), (0, 0));
}

#[derive(Clone, Copy, Debug)]
enum Say {
    Taken,
    Down,
    Denied,
    Refused,
    After(u64),
    /// Some records are taken, the others later.
    Partly(u64),
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        4 => Just(Say::Taken),
        2 => Just(Say::Down),
        1 => Just(Say::Denied),
        1 => Just(Say::Refused),
        2 => (0u64..100_000).prop_map(Say::After),
        1 => (0u64..100_000).prop_map(Say::Partly),
    ]
}

fn answer(say: Say) -> Result<Delivery> {
    match say {
        Say::Taken => taken(),
        Say::Down => down(),
        Say::Denied => Err(error(ErrorKind::Unauthorized, Retry::Never)),
        Say::Refused => Err(error(ErrorKind::Rejected, Retry::Never)),
        Say::After(told) => throttled(millis(told)),
        Say::Partly(told) => {
            let mut some = Delivery::accepted();
            some.again = vec![0];
            some.again_because = throttled(millis(told)).err();
            Ok(some)
        }
    }
}

fn busy_policy() -> PacePolicy {
    PacePolicy::default()
        .with_concurrency(1, 3, 6)
        .with_breaker(2, secs(2), secs(8))
        .with_retry_after_cap(secs(30))
        .with_denied(Denied::Probe(secs(20)))
        .with_requests_per_second(Some(50.0))
        .with_bytes_per_second(Some(1000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// After an answer with a Retry-After, whoever starts next starts no earlier.
    #[test]
    fn a_retry_after_is_never_shortened_for_anybody(
        script in prop::collection::vec((0u64..3000, say()), 1..40),
        arrivals in prop::collection::vec(0u64..60_000, 1..40),
        trips in prop::collection::vec(0u64..200_000, 0..3),
    ) {
        let said: Vec<Say> = script.iter().map(|(_, say)| *say).collect();
        let seen = paused(async {
            let rig = rig(busy_policy(), move |call, _| {
                let (takes, say) = script.get(call).copied().unwrap_or((1, Say::Taken));
                (millis(takes), answer(say))
            });
            let all: Vec<_> = arrivals
                .into_iter()
                .map(|at| {
                    let sink = Arc::clone(&rig.sink);
                    tokio::spawn(async move {
                        sleep(millis(at)).await;
                        let _ = sink.deliver(&batch()).await;
                    })
                })
                .collect();
            let pacer = rig.pacer.clone();
            let tripping = tokio::spawn(async move {
                for at in trips {
                    sleep(millis(at)).await;
                    pacer.trip(&error(ErrorKind::Rejected, Retry::Never), secs(1));
                }
            });
            for one in all {
                one.await.unwrap();
            }
            tripping.abort();
            rig.seen()
        });
        for (call, request) in seen.iter().enumerate() {
            let told = match said.get(call) {
                Some(Say::After(told) | Say::Partly(told)) => millis(*told),
                _ => continue,
            };
            let end = request.ended.unwrap();
            for other in &seen[request.before..] {
                prop_assert!(other.began >= end + told, "{told:?}: {request:?}, {other:?}");
            }
        }
    }

    /// Requests dropped anywhere leave no slot, no place and no probe behind: what
    /// is not dropped is decided, and the pacer is empty afterwards.
    #[test]
    fn requests_dropped_anywhere_leave_nothing_behind(
        script in prop::collection::vec((0u64..3000, say()), 0..30),
        batches in prop::collection::vec(
            (0u64..20_000, prop::option::of(0u64..40_000), 0usize..3000), 1..30),
    ) {
        paused(async {
            let rig = rig(busy_policy(), move |call, _| {
                let (takes, say) = script.get(call).copied().unwrap_or((1, Say::Taken));
                (millis(takes), answer(say))
            });
            let all: Vec<_> = batches
                .into_iter()
                .map(|(at, dropped_after, bytes)| {
                    let sink = Arc::clone(&rig.sink);
                    tokio::spawn(async move {
                        sleep(millis(at)).await;
                        let batch = sized(bytes);
                        let patience = dropped_after.map_or(secs(1_000_000), millis);
                        let _ = tokio::time::timeout(patience, sink.deliver(&batch)).await;
                    })
                })
                .collect();
            let everything = async {
                for one in all {
                    one.await.unwrap();
                }
                // The sink is well by now, or soon.
                for _ in 0..40 {
                    let _ = rig.send().await;
                }
                assert!(rig.send().await.is_ok());
                rig.pacer.admits().await;
            };
            tokio::time::timeout(secs(100_000), everything).await.unwrap();
            let status = rig.pacer.status();
            assert_eq!((status.in_flight, status.waiting), (0, 0));
            assert_eq!(status.breaker, BreakerState::Closed);
            assert!(rig.seen().iter().all(|s| s.beside <= 6));
        });
    }

    /// While a breaker is open or half open, at most one request is under way of
    /// those that began since it opened.
    #[test]
    fn a_sink_that_is_down_sees_one_probe_at_a_time(
        takes in prop::collection::vec(0u64..5000, 1..20),
        gaps in prop::collection::vec(0u64..4000, 1..60),
    ) {
        paused(async {
            let rig = rig(busy_policy(), move |call, _| {
                (millis(takes[call % takes.len()]), down())
            });
            let mut all = Vec::new();
            for gap in gaps {
                all.push(rig.spawn(batch()));
                sleep(millis(gap)).await;
            }
            for one in all {
                let _ = one.await.unwrap();
            }
            let seen = rig.seen();
            let mut ends: Vec<Instant> = seen.iter().filter_map(|s| s.ended).collect();
            ends.sort();
            if let Some(opened) = ends.get(1) {
                let since: Vec<&Seen> = seen.iter().filter(|s| s.began > *opened).collect();
                for pair in since.windows(2) {
                    assert!(pair[1].began >= pair[0].ended.unwrap() + secs(2));
                }
            }
        });
    }
}
