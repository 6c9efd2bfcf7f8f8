use std::time::Duration;

use tokio::time::Instant;

use super::{Denied, PacePolicy, later};
use crate::batch::Batch;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::sink::Delivery;

/// What the answer to a request says of the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It took something.
    Accepted,
    /// It works, and refuses these records.
    Refused,
    /// It may work later.
    Failed,
    /// It works, but not for us.
    Denied,
    /// It will not work, or is not to be understood.
    Broken,
}

/// An answer, and the error that came with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    pub(super) word: Word,
    pub(super) error: Option<&'a Error>,
}

impl<'a> Answer<'a> {
    pub(super) fn of(answer: &'a Result<Delivery>, batch: &Batch) -> Self {
        let (word, error) = match answer {
            Ok(delivery) if !delivery.fits(batch.len()) => (Word::Broken, None),
            Ok(delivery) => {
                let because = delivery.again_because.as_ref();
                let named = delivery.rejected.len() + delivery.again.len();
                let word = match because.map(word) {
                    Some(Word::Denied) => Word::Denied,
                    _ if named < batch.len() || batch.is_empty() => Word::Accepted,
                    _ if delivery.again.is_empty() => Word::Refused,
                    word => word.unwrap_or(Word::Failed),
                };
                (word, because)
            }
            Err(error) => (word(error), Some(error)),
        };
        Self { word, error }
    }

    /// What was told by a Retry-After.
    pub(super) fn told(&self) -> Option<Duration> {
        match self.error?.retry() {
            Retry::After(told) => Some(told),
            _ => None,
        }
    }

    /// Whether the sink is at its limit.
    pub(super) fn is_at_limit(&self) -> bool {
        self.error.is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::Throttled | ErrorKind::Timeout | ErrorKind::Unavailable
            )
        })
    }
}

fn word(error: &Error) -> Word {
    match error.kind() {
        ErrorKind::Rejected | ErrorKind::TooLarge => Word::Refused,
        _ if error.is_retryable() => Word::Failed,
        ErrorKind::Unauthorized | ErrorKind::Config => Word::Denied,
        _ => Word::Broken,
    }
}

/// Closed, requests go. Open, none goes until its time is up; then exactly one,
/// whose answer decides.
#[derive(Debug)]
pub(super) struct Breaker {
    policy: PacePolicy,
    opening: Option<Opening>,
    /// Failures in a row while closed.
    failures: u32,
    /// Openings in a row by failures.
    level: u32,
    opens: u64,
}

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) until: Instant,
    pub(super) why: Error,
    /// Opened from above: the sink's refusals are not believed, so one more of
    /// them closes nothing.
    tripped: bool,
    /// A probe is under way.
    probing: bool,
}

impl Breaker {
    pub(super) fn new(policy: PacePolicy) -> Self {
        Self {
            policy,
            opening: None,
            failures: 0,
            level: 0,
            opens: 0,
        }
    }

    pub(super) fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    pub(super) fn opens(&self) -> u64 {
        self.opens
    }

    /// Whether a request would have to wait for a probe that is under way.
    pub(super) fn is_probing(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.probing)
    }

    /// A request goes; where it is the probe, the number to answer with.
    pub(super) fn start(&mut self) -> Option<u64> {
        self.opening.as_mut().map(|opening| {
            opening.probing = true;
            self.opens
        })
    }

    /// A request ended without an answer; the next one may probe.
    pub(super) fn abandon(&mut self, probe: Option<u64>) {
        if let Some(opening) = &mut self.opening
            && probe == Some(self.opens)
        {
            opening.probing = false;
        }
    }

    /// Opens it, or keeps it open until then.
    pub(super) fn trip(&mut self, why: &Error, until: Instant, tripped: bool) {
        let until = match &self.opening {
            Some(opening) => opening.until.max(until),
            None => until,
        };
        tracing::warn!(error = %why, "delivery is suspended");
        metrics::counter!("ctforward_breaker_opens_total").increment(1);
        self.opens += 1;
        self.failures = 0;
        self.opening = Some(Opening {
            until,
            why: why.duplicate(),
            tripped,
            probing: false,
        });
    }

    /// The time of a probe after a denial is now. What the sink named itself is kept,
    /// and so is what was opened from above.
    pub(super) fn probe_now(&mut self) {
        if let Some(opening) = &mut self.opening
            && !opening.tripped
            && word(&opening.why) == Word::Denied
        {
            opening.until = opening.until.min(Instant::now());
        }
    }

    fn close(&mut self) {
        tracing::info!("delivery goes on");
        self.opening = None;
        self.failures = 0;
        self.level = 0;
    }

    /// Takes note of an answer; `probe` is what [`start`](Self::start) gave.
    pub(super) fn answered(
        &mut self,
        answer: Answer<'_>,
        probe: Option<u64>,
        rng: &mut fastrand::Rng,
    ) {
        let now = Instant::now();
        let probe = probe == Some(self.opens) && self.opening.is_some();
        let long = answer
            .told()
            .filter(|told| *told > self.policy.retry_after_cap)
            .map(|told| later(now, spread(told, rng)));
        let denied = match (answer.word, self.policy.denied) {
            (Word::Denied, Denied::Probe(every)) => Some(later(now, spread(every, rng))),
            _ => None,
        };
        let why = || {
            let none = Error::new(ErrorKind::Unavailable, "sink", "no record was taken");
            answer.error.map_or(none, Error::duplicate)
        };
        if let Some(opening) = &mut self.opening {
            match answer.word {
                // What was sent before it opened neither closes it nor counts again,
                // but it may have been told to wait longer.
                _ if !probe => {
                    if let Some(until) = long.max(denied)
                        && until > opening.until
                    {
                        opening.until = until;
                        opening.why = why();
                    }
                    return;
                }
                Word::Refused if opening.tripped => {
                    opening.probing = false;
                    return;
                }
                Word::Accepted | Word::Refused => {
                    self.close();
                    if let Some(until) = long {
                        self.trip(&why(), until, false);
                    }
                    return;
                }
                Word::Failed | Word::Denied | Word::Broken => {
                    let tripped = opening.tripped;
                    let until = denied.unwrap_or_else(|| self.open_until(now, rng));
                    self.trip(&why(), long.map_or(until, |long| long.max(until)), tripped);
                    return;
                }
            }
        }
        match answer.word {
            Word::Accepted | Word::Refused => self.failures = 0,
            Word::Failed => self.failures = self.failures.saturating_add(1),
            Word::Denied | Word::Broken => {}
        }
        let until = match denied.max(long) {
            Some(until) => until,
            None if self.failures >= self.policy.failures => self.open_until(now, rng),
            None => return,
        };
        self.trip(&why(), until, false);
    }

    /// Until when failures keep it open, each time twice as long.
    fn open_until(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Instant {
        let times = 1u32.checked_shl(self.level).unwrap_or(u32::MAX);
        let open_for = self.policy.open_for.saturating_mul(times);
        self.level = self.level.saturating_add(1);
        let open_for = open_for.min(self.policy.open_cap);
        later(
            now,
            open_for.saturating_add(open_for.mul_f64(rng.f64() / 10.0)),
        )
    }
}

/// So long and a little more by chance, for many forwarders may have been told the same.
pub(super) fn spread(told: Duration, rng: &mut fastrand::Rng) -> Duration {
    let most = (told / 10).min(Duration::from_secs(1));
    told.saturating_add(most.mul_f64(rng.f64()))
}
