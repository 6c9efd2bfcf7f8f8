use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Pacer, RetryPolicy};
use crate::batch::{Batch, BatchLimits};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::sink::{Delivery, Rejection, Sink};

/// Tries again what a sink did not take and may take later.
///
/// Pauses grow with full jitter; a Retry-After is never shortened. It ends with
/// the sink's last error
/// - unchanged and retryable, where the batch's receipts can be held no longer or
///   the pipeline stops: the files come again;
/// - no longer retryable, where no batch was accepted for
///   [`give_up_after`](RetryPolicy::give_up_after), the time spent in `inner`
///   counted too. A batch that any task of this sink had accepted starts it anew.
///
/// Around a [`PaceSink`](super::PaceSink) it sleeps its batch's own pause first
/// and waits in the `PaceSink`'s queue then, for the breaker and for what other
/// batches were told; see [`pace`](super::pace) for how the two go together. It
/// never looks at the breaker itself: a batch that sleeps here holds no slot, and
/// keeps nobody from probing.
#[derive(Debug)]
pub struct RetrySink<S> {
    inner: S,
    policy: RetryPolicy,
    stop: CancellationToken,
    hurried_by: Option<Pacer>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    last_accepted: Option<Instant>,
}

impl<S: Sink> RetrySink<S> {
    /// Wraps `inner`. Once `stop` is cancelled, no pause is begun and one that
    /// runs is cut short.
    pub fn new(inner: S, policy: RetryPolicy, stop: CancellationToken) -> Self {
        let state = State {
            rng: policy.rng(),
            last_accepted: None,
        };
        Self {
            inner,
            policy,
            stop,
            hurried_by: None,
            state: Mutex::new(state),
        }
    }

    /// The same with pauses that end where `pacer` is told to
    /// [probe now](Pacer::probe_now), as long as it was for a refusal of us
    /// (`Unauthorized`, `Config`) that they were begun.
    #[must_use]
    pub fn hurried_by(mut self, pacer: Pacer) -> Self {
        self.hurried_by = Some(pacer);
        self
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait after `error`, or why not to.
    fn pause(&self, error: &Error, attempt: u32, began: Instant, batch: &Batch) -> Pause {
        let now = Instant::now();
        let mut state = self.state();
        let own = self.policy.pause(attempt, &mut state.rng);
        let pause = match error.retry() {
            Retry::Never => return Pause::Final,
            Retry::Backoff => own,
            // The others waiting for the same moment should not all come at once.
            Retry::After(told) => told.saturating_add(own / 10),
        };
        let since = state.last_accepted.map_or(began, |at| at.max(began));
        let mut pause = pause;
        let mut told_too_long = None;
        if let Some(limit) = self.policy.give_up_after {
            let left = limit.saturating_sub(now.saturating_duration_since(since));
            if left.is_zero() {
                return Pause::GiveUp(format!("nothing was accepted for {} s", limit.as_secs()));
            }
            if pause > left {
                if let Retry::After(told) = error.retry() {
                    told_too_long = Some((told, limit));
                } else {
                    // One last attempt when the time is up.
                    pause = left;
                }
            }
        }
        // What cannot be held is released, and comes again: no reason to give up.
        if let Some(until) = batch.hold_until()
            && now.checked_add(pause).is_none_or(|then| then > until)
        {
            return Pause::Final;
        }
        if let Some((told, limit)) = told_too_long {
            return Pause::GiveUp(format!(
                "it asks for a pause of {} s, and after {} s without an accepted batch \
                 delivery is given up",
                told.as_secs(),
                limit.as_secs()
            ));
        }
        Pause::Wait(pause)
    }
}

enum Pause {
    Wait(Duration),
    Final,
    GiveUp(String),
}

#[async_trait]
impl<S: Sink> Sink for RetrySink<S> {
    fn limits(&self) -> BatchLimits {
        self.inner.limits()
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let began = Instant::now();
        let mut rejected = Vec::new();
        // What is still to be sent, and where its records lie in `batch`; `None` is the whole.
        let mut rest: Option<(Batch, Vec<usize>)> = None;
        let mut attempt = 0;
        let mut hurried = self.hurried_by.as_ref().map(Pacer::hurried);
        loop {
            if let Some(hurried) = &mut hurried {
                hurried.mark_unchanged();
            }
            let sent = rest.as_ref().map_or(batch, |(rest, _)| rest);
            let place = |index: usize| match &rest {
                Some((_, places)) => places.get(index).copied(),
                None => Some(index),
            };
            let error = match self.inner.deliver(sent).await {
                Ok(delivery) if !delivery.fits(sent.len()) => Error::new(
                    ErrorKind::Other,
                    "sink",
                    "it named records that the batch has not, or one twice: nothing is known of the batch",
                ),
                Ok(delivery) => {
                    if delivery.again.len() + delivery.rejected.len() < sent.len() {
                        self.state().last_accepted = Some(Instant::now());
                        attempt = 0;
                    }
                    for rejection in delivery.rejected {
                        if let Some(index) = place(rejection.index) {
                            rejected.push(Rejection { index, ..rejection });
                        }
                    }
                    if delivery.again.is_empty() {
                        let mut whole = Delivery::accepted();
                        whole.rejected = rejected;
                        return Ok(whole);
                    }
                    let places = delivery.again.iter().copied().filter_map(place).collect();
                    rest = Some((sent.select(&delivery.again), places));
                    delivery.again_because.unwrap_or_else(|| {
                        Error::new(
                            ErrorKind::Unavailable,
                            "sink",
                            "some records were not taken",
                        )
                        .with_retry(Retry::Backoff)
                    })
                }
                Err(error) => error,
            };
            attempt += 1;
            let error = match self.pause(&error, attempt, began, batch) {
                Pause::Final => error,
                Pause::GiveUp(why) => give_up(&error, &why),
                Pause::Wait(pause) => {
                    tracing::debug!(%error, attempt, ?pause, "delivery is tried again");
                    metrics::counter!("ctforward_delivery_retries_total").increment(1);
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => error,
                        () = tokio::time::sleep(pause) => continue,
                        () = hurry(&mut hurried, &error) => continue,
                    }
                }
            };
            return match rest {
                // Some records are decided: only the others are in doubt.
                Some((_, places)) => {
                    let mut partial = Delivery::accepted();
                    partial.rejected = rejected;
                    partial.again = places;
                    partial.again_because = Some(error);
                    Ok(partial)
                }
                None => Err(error),
            };
        }
    }
}

/// Resolves when a pause after `error` is to end early.
async fn hurry(hurried: &mut Option<watch::Receiver<u64>>, error: &Error) {
    let denied = matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Config);
    if let Some(hurried) = hurried
        && denied
        && hurried.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

fn give_up(error: &Error, why: &str) -> Error {
    let message = format!("given up: {why}; last: {}", error.message());
    Error::new(error.kind(), error.origin(), message)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::batch::BatchBuilder;
    use crate::object::{Object, ObjectId};

    fn batch(records: usize) -> Batch {
        let record: &[u8] = b"{}";
        BatchBuilder::of_records(
            Object::new(ObjectId::new("b", "k")),
            std::iter::repeat_n(record, records),
        )
    }

    /// Answers by the number of the call.
    struct Script<F>(AtomicUsize, F);

    #[async_trait]
    impl<F: Fn(usize, &Batch) -> Result<Delivery> + Send + Sync> Sink for Script<F> {
        fn limits(&self) -> BatchLimits {
            BatchLimits::new(1000)
        }
        async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
            (self.1)(self.0.fetch_add(1, Ordering::SeqCst), batch)
        }
    }

    fn retrying<F>(script: F) -> RetrySink<Script<F>>
    where
        F: Fn(usize, &Batch) -> Result<Delivery> + Send + Sync,
    {
        let policy = RetryPolicy::default().with_seed(1);
        RetrySink::new(
            Script(AtomicUsize::new(0), script),
            policy,
            CancellationToken::new(),
        )
    }

    fn unavailable(retry: Retry) -> Error {
        Error::new(ErrorKind::Unavailable, "sink", "down").with_retry(retry)
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_is_never_shortened() {
        let told = Duration::from_secs(600);
        let sink = retrying(move |call, _| match call {
            0 => Err(unavailable(Retry::After(told))),
            _ => Ok(Delivery::accepted()),
        });
        let began = Instant::now();
        assert!(sink.deliver(&batch(1)).await.unwrap().is_complete());
        assert!(began.elapsed() >= told);
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_when_nothing_was_accepted_for_the_whole_time_and_says_so() {
        let sink = retrying(|_, _| Err(unavailable(Retry::Backoff)));
        let began = Instant::now();
        let error = sink.deliver(&batch(1)).await.unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(began.elapsed() >= Duration::from_secs(15 * 60));
        assert!(error.message().contains("down"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn records_to_be_sent_again_are_sent_alone_and_keep_their_places() {
        let sink = retrying(|call, sent| {
            let mut delivery = Delivery::accepted();
            match call {
                0 => {
                    delivery.again = vec![1, 3, 4];
                    delivery.rejected.push(Rejection::new(0, "no"));
                }
                1 => {
                    assert_eq!(sent.len(), 3);
                    delivery.again = vec![2];
                    delivery.rejected.push(Rejection::new(1, "no"));
                }
                _ => assert_eq!(sent.len(), 1),
            }
            Ok(delivery)
        });
        let delivery = sink.deliver(&batch(5)).await.unwrap();
        let places: Vec<usize> = delivery.rejected.iter().map(|r| r.index).collect();
        assert_eq!(places, [0, 3]);
        assert!(delivery.again.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_final_error_after_a_partial_answer_leaves_only_the_rest_in_doubt() {
        let sink = retrying(|call, _| match call {
            0 => {
                let mut delivery = Delivery::accepted();
                delivery.again = vec![2];
                Ok(delivery)
            }
            _ => Err(Error::new(ErrorKind::Unauthorized, "sink", "no")),
        });
        let delivery = sink.deliver(&batch(3)).await.unwrap();
        assert_eq!(delivery.again, [2]);
        let because = delivery.again_because.unwrap();
        assert_eq!(because.kind(), ErrorKind::Unauthorized);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_cuts_the_pause_short() {
        let sink = retrying(|_, _| Err(unavailable(Retry::After(Duration::from_secs(500)))));
        let stop = sink.stop.clone();
        let began = Instant::now();
        let batch = batch(1);
        let (answer, ()) = tokio::join!(sink.deliver(&batch), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.cancel();
        });
        assert!(answer.unwrap_err().is_retryable());
        assert_eq!(began.elapsed().as_secs(), 1);
    }
}
