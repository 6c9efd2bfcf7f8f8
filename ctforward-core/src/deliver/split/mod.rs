mod opinion;

use std::ops::Range;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::opinion::{Count, Opinions};
use super::RefusalGuard;
use crate::batch::{Batch, BatchLimits};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Delivery, Rejection, Sink};

/// Halves a batch that a sink finds too large, and bisects one that it refuses,
/// down to the record that is too large or refused.
///
/// Of `n` records with `k` refused ones, at most `2k·log₂(n) + 1` requests find
/// them. Where the [`RefusalGuard`] does not believe the refusals, the whole
/// batch stays undecided and the error is the sink's refusal
/// ([`Rejected`](ErrorKind::Rejected)), not retryable.
///
/// The first batch of all may wait here for a second opinion after its last
/// request was answered. It holds no slot of a [`PaceSink`](super::PaceSink)
/// meanwhile; whoever limits the calls of `deliver` must leave room for another,
/// or the opinion can never come and the wait is in vain.
#[derive(Debug)]
pub struct SplitSink<S> {
    inner: S,
    opinions: Opinions,
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
            opinions: Opinions::new(guard),
        }
    }

    /// With a signal that nothing else is coming: once it is cancelled, and every
    /// batch handed in before is decided, no second opinion is waited for. Cancel it
    /// when no further call of `deliver` will begin.
    #[must_use]
    pub fn with_nothing_else(mut self, nothing_else: CancellationToken) -> Self {
        self.opinions.set_nothing_else(nothing_else);
        self
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
        let undecided = self.opinions.begin();
        let (trusted, large_before) = self.opinions.trust();
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
            if accepted == 0 && many && !self.opinions.is_trusting() {
                // One record from the other end decides whether it takes any at all.
                match todo.first_mut() {
                    Some(rest) if !probed && rest.start < rest.end => {
                        probed = true;
                        rest.end -= 1;
                        let last = rest.end..rest.end + 1;
                        todo.retain(|range| range.start < range.end);
                        todo.push(last);
                    }
                    _ => {
                        if refused > 0 {
                            self.opinions.disbelieve();
                        }
                        return Err(refuses_too_much(refusal.as_ref()));
                    }
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
        let count = Count {
            accepted: accepted as u64,
            refused: refused as u64,
            large,
        };
        let hold_until = batch.hold_until();
        if !self.opinions.believe(undecided, count, hold_until).await {
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
mod tests;
