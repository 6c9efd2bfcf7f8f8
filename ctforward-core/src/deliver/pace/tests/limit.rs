//! How many requests are under way, against sinks with a capacity.

use super::*;

/// Keeps `tasks` busy with a sink for so long, and returns what it saw and the
/// limit at the end of each second.
fn load(
    policy: PacePolicy,
    tasks: usize,
    lasts: Duration,
    script: impl Fn(usize, usize) -> (Duration, Result<Delivery>) + Send + Sync + 'static,
) -> (Vec<Seen>, Vec<usize>) {
    paused(async {
        let rig = rig(policy, script);
        let all: Vec<_> = (0..tasks)
            .map(|task| {
                let sink = Arc::clone(&rig.sink);
                tokio::spawn(async move {
                    // Sizes differ, and with them how long a request takes.
                    let batch = sized(1 << (8 + task % 4));
                    loop {
                        let _ = sink.deliver(&batch).await;
                    }
                })
            })
            .collect();
        let mut limits = Vec::new();
        for _ in 0..lasts.as_secs() {
            sleep(secs(1)).await;
            limits.push(rig.pacer.status().concurrency_limit);
        }
        for one in all {
            one.abort();
        }
        (rig.seen(), limits)
    })
}

fn mean(numbers: &[usize]) -> f64 {
    numbers.iter().sum::<usize>() as f64 / numbers.len() as f64
}

fn wide() -> PacePolicy {
    PacePolicy::default().with_concurrency(1, 2, 64)
}

#[test]
fn with_a_sink_that_throttles_it_settles_near_the_capacity() {
    for capacity in [3, 8, 20] {
        let (seen, limits) = load(wide(), 64, secs(300), move |_, beside| {
            let many = error(ErrorKind::Throttled, Retry::Backoff);
            let answer = if beside > capacity {
                Err(many)
            } else {
                taken()
            };
            (millis(200), answer)
        });
        let settled = &limits[100..];
        assert!(settled.iter().all(|limit| *limit <= capacity + 1));
        let mean = mean(settled);
        assert!(mean >= 0.6 * capacity as f64, "{mean} of {capacity}");
        let over = seen.iter().filter(|s| s.beside > capacity).count();
        assert!(over * 10 < seen.len(), "{over} of {} throttled", seen.len());
    }
}

#[test]
fn with_a_sink_that_becomes_slow_it_settles_near_the_capacity() {
    for capacity in [4, 10] {
        let (seen, limits) = load(wide(), 64, secs(300), move |_, beside| {
            // Beyond its capacity the sink serves in turns.
            let turns = (beside as f64 / capacity as f64).max(1.0);
            (millis(200).mul_f64(turns), taken())
        });
        let settled = &limits[100..];
        let most = settled.iter().max().copied().unwrap();
        assert!(most <= 4 * capacity, "{most} of {capacity}");
        let mean = mean(settled);
        let share = mean / capacity as f64;
        assert!((0.75..=2.5).contains(&share), "{mean} of {capacity}");
        // The sink is kept busy: five requests a second for each of its places.
        let busy = seen.len() as f64 / (300.0 * 5.0 * capacity as f64);
        assert!(busy > 0.85, "{busy}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (seen, limits) = load(wide(), 16, secs(60), |call, beside| {
            let answer = if beside > 5 {
                throttled(secs(2))
            } else {
                taken()
            };
            (millis(50 + call as u64 % 7), answer)
        });
        (seen.len(), limits)
    };
    assert_eq!(run(), run());
}

#[test]
fn it_stays_between_floor_and_ceiling() {
    let policy = PacePolicy::default()
        .with_concurrency(3, 4, 5)
        .with_breaker(1_000_000, secs(1), secs(1));
    let (seen, limits) = load(policy, 16, secs(60), |call, _| {
        let bad = call / 100 % 2 == 0;
        (millis(100), if bad { down() } else { taken() })
    });
    assert!(limits.contains(&3) && limits.contains(&5), "{limits:?}");
    assert!(limits.iter().all(|limit| (3..=5).contains(limit)));
    assert!(seen.iter().all(|s| s.beside <= 5));
}

#[test]
fn the_noise_of_a_fast_sink_does_not_matter() {
    let (_, limits) = load(PacePolicy::default(), 16, secs(60), |call, _| {
        (millis(1 + (call as u64 * 37) % 90), taken())
    });
    assert_eq!(limits.last(), Some(&4));
    assert!(limits[10..].iter().all(|limit| *limit == 4));
}

#[test]
fn one_round_trip_halves_it_once() {
    let policy = PacePolicy::default()
        .with_concurrency(1, 16, 16)
        .with_breaker(100, secs(1), secs(1));
    paused(async {
        let rig = rig(policy, |_, _| (secs(1), down()));
        let all: Vec<_> = (0..16).map(|_| rig.spawn(batch())).collect();
        for one in all {
            assert!(one.await.unwrap().is_err());
        }
        assert_eq!(rig.pacer.status().concurrency_limit, 8);
    });
}

#[test]
fn it_does_not_grow_while_it_is_not_used() {
    paused(async {
        let rig = rig(wide(), |_, _| (millis(10), taken()));
        for _ in 0..100 {
            rig.send().await.unwrap();
        }
        assert_eq!(rig.pacer.status().concurrency_limit, 2);
    });
}
