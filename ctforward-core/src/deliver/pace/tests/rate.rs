//! Rate limits.

use proptest::prelude::*;

use super::*;

fn unlimited() -> PacePolicy {
    PacePolicy::default().with_concurrency(64, 64, 64)
}

proptest! {
    /// Within any time no more bytes go than the rate allows and one batch, and no
    /// more requests than the rate allows and one; and all of them go.
    #[test]
    fn within_any_time_no_more_goes_than_the_rate_allows_and_one_batch(
        rate in 1u64..10_000,
        requests in 0.5f64..100.0,
        batches in prop::collection::vec((0u64..2000, 0usize..30_000), 1..30),
    ) {
        let sizes = batches.len();
        let seen = paused(async {
            let policy = unlimited()
                .with_bytes_per_second(Some(rate))
                .with_requests_per_second(Some(requests));
            let rig = rig(policy, |_, _| (millis(1), taken()));
            let mut all = Vec::new();
            for (gap, bytes) in batches {
                all.push(rig.spawn(sized(bytes)));
                sleep(millis(gap)).await;
            }
            for one in all {
                one.await.unwrap().unwrap();
            }
            rig.seen()
        });
        prop_assert_eq!(seen.len(), sizes);
        for (i, first) in seen.iter().enumerate() {
            let (mut bytes, mut count) = (0, 0.0);
            // What began up to, and not with, the last one of the span.
            for last in &seen[i..] {
                let span = (last.began - first.began).as_secs_f64();
                prop_assert!(bytes as f64 <= span * rate as f64 + 1e-3, "{bytes} in {span} s");
                prop_assert!(count <= span * requests + 1e-3);
                bytes += last.bytes;
                count += 1.0;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_over_the_allowance_of_a_second_goes_and_those_behind_it_wait_until_it_is_paid() {
    let policy = unlimited().with_bytes_per_second(Some(100));
    let rig = rig(policy, |_, _| (millis(1), taken()));
    let began = Instant::now();
    rig.sink.deliver(&sized(1000)).await.unwrap();
    assert!(began.elapsed() < secs(1));
    rig.sink.deliver(&sized(1)).await.unwrap();
    assert!(began.elapsed() >= secs(10) && began.elapsed() < secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_rate_that_is_dropped_costs_nothing_and_one_in_vain_is_not_begun() {
    let policy = unlimited().with_bytes_per_second(Some(100));
    let rig = rig(policy, |_, _| (millis(1), taken()));
    let began = Instant::now();
    rig.sink.deliver(&sized(1000)).await.unwrap();
    for _ in 0..5 {
        let waits = rig.spawn(sized(100_000));
        sleep(secs(1)).await;
        waits.abort();
    }
    let short = held(10, Some(Instant::now() + secs(1)));
    let asked = Instant::now();
    let error = rig.sink.deliver(&short).await.unwrap_err();
    assert!(matches!(error.retry(), Retry::After(left) if left >= secs(4)));
    assert_eq!(asked.elapsed(), Duration::ZERO);
    rig.sink.deliver(&sized(1)).await.unwrap();
    assert!(began.elapsed() < secs(11), "{:?}", began.elapsed());
}
