//! The second opinion that a first batch of nothing but refusals waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;
use crate::batch::BatchBuilder as Builder;

const PATIENCE: Duration = Duration::from_secs(10);

/// Refuses records that say so, and takes the others; each request takes a while.
struct Labelled {
    takes: Duration,
    requests: Mutex<usize>,
}

#[async_trait]
impl Sink for Labelled {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1_000_000)
    }
    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        sleep(self.takes).await;
        *self.requests.lock().unwrap() += 1;
        if batch.records().any(|record| record == b"bad") {
            return Err(Error::new(ErrorKind::Rejected, "sink", "400"));
        }
        Ok(Delivery::accepted())
    }
}

fn labelled() -> SplitSink<Labelled> {
    SplitSink::new(Labelled {
        takes: Duration::from_millis(10),
        requests: Mutex::default(),
    })
}

fn lines(records: &[&str], hold_until: Option<Instant>) -> Batch {
    let mut builder = Builder::default();
    for record in records {
        builder.push(record.as_bytes(), 0, 0, 3);
    }
    builder.finish(
        vec![Arc::new(Object::new(ObjectId::new("b", "k")))],
        hold_until,
    )
}

fn bad(records: usize) -> Batch {
    lines(&vec!["bad"; records], None)
}

fn good() -> Batch {
    lines(&["good"; 3], None)
}

async fn after<T>(pause: u64, work: impl Future<Output = T>) -> (T, Duration) {
    sleep(Duration::from_secs(pause)).await;
    let began = Instant::now();
    (work.await, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_that_nothing_follows_is_believed_when_the_time_is_up() {
    let sink = labelled();
    let began = Instant::now();
    let delivery = sink.deliver(&bad(1)).await.unwrap();
    assert_eq!(delivery.rejected.len(), 1);
    assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE * 2);
    // The next one alone is the second batch running.
    let error = sink.deliver(&bad(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(!error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_accepted_meanwhile_speaks_for_it_at_once() {
    let sink = labelled();
    let (first, (second, later)) = (bad(2), (good(), bad(1)));
    let ((first, waited), (second, _)) = tokio::join!(
        after(0, sink.deliver(&first)),
        after(3, sink.deliver(&second))
    );
    assert_eq!(first.unwrap().rejected.len(), 2);
    assert!(second.unwrap().is_complete());
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    let (third, waited) = after(0, sink.deliver(&later)).await;
    assert_eq!(third.unwrap().rejected.len(), 1, "after an accepted one");
    assert!(waited < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_second_batch_that_is_refused_condemns_both_and_the_distrust_stays() {
    let sink = labelled();
    let (first, second) = (bad(1), bad(2));
    let ((first, _), (second, waited)) = tokio::join!(
        after(0, sink.deliver(&first)),
        after(3, sink.deliver(&second))
    );
    for answer in [first, second] {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.message().contains("nothing was put aside"));
        assert!(!error.is_retryable());
    }
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    let (third, waited) = after(100, sink.deliver(&bad(1))).await;
    assert!(third.is_err() && waited < Duration::from_secs(1));
    assert!(sink.deliver(&good()).await.unwrap().is_complete());
    assert_eq!(sink.deliver(&bad(1)).await.unwrap().rejected.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_given_up_as_doubtful_is_an_opinion_too() {
    let sink = labelled();
    let (first, second) = (bad(1), bad(50));
    let ((first, waited), (second, _)) = tokio::join!(
        after(0, sink.deliver(&first)),
        after(3, sink.deliver(&second))
    );
    assert!(first.is_err() && second.is_err());
    assert!(waited < PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_decides_nothing_is_no_opinion() {
    let sink = labelled();
    // One that is dropped, and one that is empty.
    let (first, empty, dropped) = (bad(1), lines(&[], None), good());
    let ((first, waited), _, _) = tokio::join!(
        after(0, sink.deliver(&first)),
        after(1, sink.deliver(&empty)),
        after(
            2,
            tokio::time::timeout(Duration::from_millis(1), sink.deliver(&dropped))
        ),
    );
    assert_eq!(first.unwrap().rejected.len(), 1);
    assert!(waited >= PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn it_waits_no_longer_than_the_batch_can_be_held() {
    let sink = labelled();
    let hold = Instant::now() + Duration::from_secs(4);
    let batch = lines(&["bad"], Some(hold));
    assert_eq!(sink.deliver(&batch).await.unwrap().rejected.len(), 1);
    assert!(Instant::now() <= hold + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn nothing_else_coming_ends_the_wait_once_what_is_under_way_is_decided() {
    for (others, believed) in [(vec![], true), (vec!["bad"], false), (vec!["good"], true)] {
        let nothing_else = CancellationToken::new();
        let sink = labelled().with_nothing_else(nothing_else.clone());
        nothing_else.cancel();
        // The second takes longer: it has more records to be looked at.
        let mut long = others.repeat(8);
        long.extend(&others);
        let (first, second) = (bad(1), lines(&long, None));
        let ((first, waited), _) = tokio::join!(
            after(0, sink.deliver(&first)),
            after(0, async {
                if !long.is_empty() {
                    let _ = sink.deliver(&second).await;
                }
            })
        );
        assert_eq!(first.is_ok(), believed, "{others:?}");
        assert!(waited < Duration::from_secs(1));
    }
}

/// Names every record of a batch as refused, in one answer.
struct ItemByItem;

#[async_trait]
impl Sink for ItemByItem {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1_000_000)
    }
    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let mut delivery = Delivery::accepted();
        let all = 0..batch.len();
        delivery
            .rejected
            .extend(all.map(|index| Rejection::new(index, "no")));
        Ok(delivery)
    }
}

#[tokio::test(start_paused = true)]
async fn many_refusals_are_not_believed_without_a_second_opinion() {
    assert!(SplitSink::new(ItemByItem).deliver(&bad(100)).await.is_ok());
    assert!(SplitSink::new(ItemByItem).deliver(&bad(101)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_leaves_nothing_behind() {
    let sink = labelled();
    let gone = tokio::time::timeout(Duration::from_secs(5), async {
        sink.deliver(&bad(1)).await
    });
    assert!(gone.await.is_err());
    // As if it had never been: this one is the first.
    let (next, waited) = after(0, sink.deliver(&bad(1))).await;
    assert_eq!(next.unwrap().rejected.len(), 1);
    assert!(waited >= PATIENCE);
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

proptest! {
    /// Of a sink that refuses everything at most the first batch is believed, and
    /// only where nothing else was decided while it waited.
    #[test]
    fn of_nothing_but_refusals_at_most_one_batch_is_put_aside(
        batches in prop::collection::vec((0u64..30_000, 1usize..20), 1..8),
    ) {
        let decided = paused(async {
            let sink = labelled();
            let decided = Mutex::new(Vec::new());
            let all = batches.iter().map(|(at, records)| {
                let (sink, decided, batch) = (&sink, &decided, bad(*records));
                async move {
                    sleep(Duration::from_millis(*at)).await;
                    let answer = sink.deliver(&batch).await;
                    // The moment its last request was answered, were it not for the wait.
                    decided.lock().unwrap().push((Instant::now(), answer.is_ok()));
                }
            });
            let all: Vec<_> = all.map(Box::pin).collect();
            join_all(all).await;
            decided.into_inner().unwrap()
        });
        let believed: Vec<Instant> =
            decided.iter().filter(|(_, ok)| *ok).map(|(at, _)| *at).collect();
        prop_assert!(believed.len() <= 1);
        if let Some(at) = believed.first() {
            let early = decided.iter().filter(|(other, _)| *other < *at).count();
            prop_assert_eq!(early, 0, "others were decided while it waited");
        }
        if batches.len() == 1 {
            prop_assert_eq!(believed.len(), usize::from(batches[0].1 < DOUBTFUL));
        }
    }

    /// Where a batch is accepted between any two, and soon after the first, every
    /// refusal of a batch is as it was found.
    #[test]
    fn refusals_between_accepted_batches_are_believed(
        counts in prop::collection::vec((1000u64..3000, 1usize..15), 1..6),
    ) {
        let rejected = paused(async {
            let sink = labelled();
            let mut rejected = Vec::new();
            for (gap, records) in &counts {
                let (first, second) = (bad(*records), good());
                let (answer, accepted) = tokio::join!(sink.deliver(&first), async {
                    sleep(Duration::from_millis(*gap)).await;
                    sink.deliver(&second).await
                });
                accepted.unwrap();
                rejected.push(answer.unwrap().rejected.len());
            }
            rejected
        });
        let records: Vec<usize> = counts.iter().map(|(_, records)| *records).collect();
        prop_assert_eq!(rejected, records);
    }
}

/// Polls all of them to their ends.
async fn join_all<F: Future<Output = ()> + Unpin>(mut all: Vec<F>) {
    std::future::poll_fn(|context| {
        all.retain_mut(|future| std::pin::Pin::new(future).poll(context).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}
