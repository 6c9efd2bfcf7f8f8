use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::RefusalGuard;
use crate::batch::{Batch, BatchLimits};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Delivery, Rejection, Sink};

/// Halves a batch that a sink finds too large, and bisects one that it refuses,
/// down to the record that is too large or refused.
///
/// Of `n` records with `k` refused ones, at most `2k·log₂(n) + 1` requests find
/// them. Where the [`RefusalGuard`] does not believe the refusals, the whole
/// batch stays undecided and the error is the sink's refusal, not retryable.
#[derive(Debug)]
pub struct SplitSink<S> {
    inner: S,
    guard: Mutex<RefusalGuard>,
}

/// Single refusals without any acceptance after which no further record is
/// tried, where nothing says that the sink accepts anything at all.
const DOUBTFUL: usize = 16;

impl<S: Sink> SplitSink<S> {
    /// Wraps `inner` with the default guard.
    pub fn new(inner: S) -> Self {
        Self::with_guard(inner, RefusalGuard::default())
    }

    /// Wraps `inner` with this guard.
    pub fn with_guard(inner: S, guard: RefusalGuard) -> Self {
        Self {
            inner,
            guard: Mutex::new(guard),
        }
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, RefusalGuard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<S: Sink> Sink for SplitSink<S> {
    fn limits(&self) -> BatchLimits {
        self.inner.limits()
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let mut whole = Delivery::accepted();
        let mut refusal: Option<Error> = None;
        let mut accepted = 0;
        let (trusted, large_before) = {
            let guard = self.guard();
            (guard.last_accepted(), guard.large_since_accepted())
        };
        // Records refused for their content, and for their size by themselves.
        let (mut refused, mut large) = (0, 0);
        let mut probed = false;
        // Ranges still to be sent, the next one last.
        let mut todo: Vec<Range<usize>> = std::iter::once(0..batch.len()).collect();
        while let Some(range) = todo.pop() {
            let part = batch.sub(range.clone());
            let error = match self.inner.deliver(&part).await {
                Ok(delivery) if !delivery.fits(part.len()) => {
                    return Err(Error::new(
                        ErrorKind::Other,
                        "sink",
                        "it named records that the batch has not, or one twice",
                    ));
                }
                Ok(mut delivery) => {
                    let place = |index: usize| range.start + index;
                    let again: Vec<usize> = delivery.again.drain(..).map(place).collect();
                    accepted += part.len() - delivery.rejected.len() - again.len();
                    refused += delivery.rejected.len();
                    for rejection in delivery.rejected {
                        let index = place(rejection.index);
                        whole.rejected.push(Rejection { index, ..rejection });
                    }
                    match delivery.again_because {
                        // Nothing of it was taken: as if it had been refused as a whole.
                        Some(error) if splits(&error) && again.len() == part.len() => error,
                        // What is left of a part that was taken in part is a smaller batch.
                        Some(error) if splits(&error) => {
                            todo.extend(runs(&again).into_iter().rev());
                            continue;
                        }
                        // Not this part alone: what comes next would fail the same way.
                        because => {
                            whole.again.extend(again);
                            if because.is_some() {
                                whole.again.extend(todo.drain(..).flatten());
                                whole.again_because = because;
                            }
                            continue;
                        }
                    }
                }
                Err(error) => error,
            };
            if !splits(&error) {
                whole.again.extend(range);
                whole.again.extend(todo.drain(..).flatten());
                whole.again_because = Some(error);
                continue;
            }
            if range.len() > 1 {
                let middle = range.start + range.len() / 2;
                todo.push(middle..range.end);
                todo.push(range.start..middle);
                if error.kind() == ErrorKind::Rejected {
                    refusal = Some(error);
                }
                continue;
            }
            let rejection = Rejection::new(range.start, error.message().to_owned());
            whole.rejected.push(rejection);
            if error.kind() == ErrorKind::Rejected {
                refused += 1;
            } else {
                large += 1;
            }
            refusal = Some(error);
            let many = refused >= DOUBTFUL && !trusted || large_before + large >= DOUBTFUL;
            if accepted == 0 && many {
                // One record from the other end decides whether it takes any at all.
                match todo.first_mut() {
                    Some(rest) if !probed && rest.start < rest.end => {
                        probed = true;
                        rest.end -= 1;
                        let last = rest.end..rest.end + 1;
                        todo.retain(|range| range.start < range.end);
                        todo.push(last);
                    }
                    _ => return Err(refuses_too_much(refusal.as_ref())),
                }
            }
        }
        // A batch that broke off with nothing accepted says nothing about refusals.
        if accepted == 0 && !whole.again.is_empty() {
            return Err(whole.again_because.take().unwrap_or_else(|| {
                Error::new(ErrorKind::Unavailable, "sink", "no record was taken")
                    .with_retry(crate::Retry::Backoff)
            }));
        }
        if !self.guard().believe(accepted as u64, refused as u64, large) {
            return Err(refuses_too_much(refusal.as_ref()));
        }
        whole.again.sort_unstable();
        debug_assert_eq!(
            accepted + whole.rejected.len() + whole.again.len(),
            batch.len()
        );
        Ok(whole)
    }
}

/// Ascending indices as ranges of those that follow each other.
fn runs(indices: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &index in indices {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

/// Whether a smaller batch may pass where this one did not.
fn splits(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Rejected)
}

fn refuses_too_much(refusal: Option<&Error>) -> Error {
    let says = refusal.map_or("", Error::message);
    Error::new(
        ErrorKind::Rejected,
        "sink",
        format!(
            "it refuses too much for single records to be at fault; \
             nothing was put aside. It says: {says}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::BatchBuilder;
    use crate::error::Retry;
    use crate::object::{Object, ObjectId};

    fn batch(records: usize) -> Batch {
        let records: Vec<String> = (0..records).map(|i| format!("{{\"n\":{i}}}")).collect();
        BatchBuilder::of_records(
            Object::new(ObjectId::new("b", "k")),
            records.iter().map(String::as_bytes),
        )
    }

    /// Refuses batches with a bad record, and batches over a size; keeps the rest.
    #[derive(Default)]
    struct Picky {
        bad: BTreeSet<String>,
        bytes: Option<usize>,
        fail_from: Option<usize>,
        calls: Mutex<usize>,
        taken: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Sink for Picky {
        fn limits(&self) -> BatchLimits {
            BatchLimits::new(1_000_000)
        }
        async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
            let call = {
                let mut calls = self.calls.lock().unwrap();
                *calls += 1;
                *calls
            };
            if self.fail_from.is_some_and(|from| call >= from) {
                return Err(
                    Error::new(ErrorKind::Unavailable, "sink", "down").with_retry(Retry::Backoff)
                );
            }
            if self.bytes.is_some_and(|most| batch.bytes() > most) {
                return Err(Error::new(ErrorKind::TooLarge, "sink", "413"));
            }
            let records: Vec<String> = batch
                .records()
                .map(|r| String::from_utf8_lossy(r).into_owned())
                .collect();
            if records.iter().any(|r| self.bad.contains(r)) {
                return Err(Error::new(ErrorKind::Rejected, "sink", "400"));
            }
            self.taken.lock().unwrap().extend(records);
            Ok(Delivery::accepted())
        }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(future)
    }

    proptest! {
        #[test]
        fn finds_exactly_the_refused_records_in_few_requests(
            n in 1usize..200,
            bad in prop::collection::btree_set(0usize..200, 0..4),
        ) {
            let bad: BTreeSet<usize> = bad.into_iter().filter(|i| *i < n).collect();
            prop_assume!(bad.len() < n);
            let sink = SplitSink::new(Picky {
                bad: bad.iter().map(|i| format!("{{\"n\":{i}}}")).collect(),
                ..Picky::default()
            });
            let delivery = run(sink.deliver(&batch(n))).unwrap();
            let found: BTreeSet<usize> = delivery.rejected.iter().map(|r| r.index).collect();
            prop_assert_eq!(&found, &bad);
            prop_assert_eq!(sink.inner.taken.lock().unwrap().len(), n - bad.len());
            let levels = usize::try_from(n.next_power_of_two().ilog2()).unwrap();
            prop_assert!(*sink.inner.calls.lock().unwrap() <= 2 * bad.len() * levels + 1);
        }

        #[test]
        fn halves_until_it_fits(n in 2usize..100, most in 10usize..200) {
            let sink = SplitSink::new(Picky { bytes: Some(most), ..Picky::default() });
            let delivery = run(sink.deliver(&batch(n))).unwrap();
            prop_assert!(delivery.is_complete());
            prop_assert_eq!(sink.inner.taken.lock().unwrap().len(), n);
        }
    }

    #[test]
    fn a_record_too_large_by_itself_is_refused_though_nothing_else_was_accepted() {
        let sink = SplitSink::new(Picky {
            bytes: Some(3),
            ..Picky::default()
        });
        let delivery = run(sink.deliver(&batch(1))).unwrap();
        assert_eq!(delivery.rejected.len(), 1);
    }

    #[test]
    fn a_sink_that_refuses_everything_has_nothing_put_aside_and_is_not_asked_for_each_record() {
        let sink = SplitSink::new(Picky {
            bad: (0..500).map(|i| format!("{{\"n\":{i}}}")).collect(),
            ..Picky::default()
        });
        let error = run(sink.deliver(&batch(500))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(!error.is_retryable());
        assert!(*sink.inner.calls.lock().unwrap() < 60);
    }

    /// Takes part of a batch, says that the rest is refused, and then refuses it.
    struct Partial;

    #[async_trait]
    impl Sink for Partial {
        fn limits(&self) -> BatchLimits {
            BatchLimits::new(1000)
        }
        async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
            let refused = || Error::new(ErrorKind::Rejected, "sink", "400");
            let bad = |r: &[u8]| r == b"{\"n\":3}";
            let mut delivery = Delivery::accepted();
            if batch.len() > 3 {
                delivery.again = vec![1, 3, 4];
                delivery.again_because = Some(refused());
            } else if batch.records().any(bad) {
                return Err(refused());
            }
            Ok(delivery)
        }
    }

    #[test]
    fn the_rest_of_a_batch_that_was_taken_in_part_is_bisected_too() {
        let delivery = run(SplitSink::new(Partial).deliver(&batch(6))).unwrap();
        let rejected: Vec<usize> = delivery.rejected.iter().map(|r| r.index).collect();
        assert_eq!((rejected, delivery.again), (vec![3], vec![]));
    }

    /// Names a record that the batch has not.
    struct Beside;

    #[async_trait]
    impl Sink for Beside {
        fn limits(&self) -> BatchLimits {
            BatchLimits::new(1000)
        }
        async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
            let mut delivery = Delivery::accepted();
            delivery.again = vec![batch.len()];
            Ok(delivery)
        }
    }

    #[test]
    fn a_sink_for_which_everything_is_too_large_has_only_a_few_put_aside() {
        let sink = SplitSink::new(Picky {
            bytes: Some(1),
            ..Picky::default()
        });
        let mut put_aside = 0;
        let stopped = (0..50).any(|_| match run(sink.deliver(&batch(3))) {
            Ok(delivery) => {
                put_aside += delivery.rejected.len();
                false
            }
            Err(_) => true,
        });
        assert!(stopped && put_aside < DOUBTFUL, "{put_aside}");
    }

    #[test]
    fn bad_records_at_the_head_do_not_condemn_the_good_ones_behind_them() {
        let sink = SplitSink::new(Picky {
            bad: (0..20).map(|i| format!("{{\"n\":{i}}}")).collect(),
            ..Picky::default()
        });
        let delivery = run(sink.deliver(&batch(2500))).unwrap();
        assert_eq!(delivery.rejected.len(), 20);
        assert_eq!(sink.inner.taken.lock().unwrap().len(), 2480);
    }

    #[test]
    fn a_refusal_before_it_broke_off_is_no_verdict() {
        let sink = SplitSink::new(Picky {
            bad: std::iter::once("{\"n\":0}".to_owned()).collect(),
            fail_from: Some(4),
            ..Picky::default()
        });
        let error = run(sink.deliver(&batch(4))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_retryable());
    }

    #[test]
    fn an_answer_that_names_no_record_of_the_batch_decides_nothing() {
        assert!(run(SplitSink::new(Beside).deliver(&batch(3))).is_err());
    }

    #[test]
    fn what_fails_in_the_middle_leaves_the_rest_in_doubt_and_keeps_what_was_decided() {
        let sink = SplitSink::new(Picky {
            bytes: Some(20),
            fail_from: Some(4),
            ..Picky::default()
        });
        let delivery = run(sink.deliver(&batch(8))).unwrap();
        let taken = sink.inner.taken.lock().unwrap().len();
        assert!(taken > 0);
        assert_eq!(delivery.again.len() + taken, 8);
        assert_eq!(
            delivery.again_because.unwrap().kind(),
            ErrorKind::Unavailable
        );
    }
}
