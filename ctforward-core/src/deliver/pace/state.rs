use std::time::Duration;

use tokio::time::Instant;

use super::breaker::{Answer, Breaker, Word, spread};
use super::limiter::Limiter;
use super::rate::Rate;
use super::status::{BreakerState, PaceStatus};
use super::{PacePolicy, later};
use crate::error::{Error, ErrorKind, Retry};

/// While an open breaker has nobody to probe, one more file is let in so often.
const ADMIT_EVERY: Duration = Duration::from_secs(1);

/// Everything that decides when the next request goes. All of it is looked at and
/// changed under one lock, which is never held across an await.
#[derive(Debug)]
pub(super) struct State {
    limiter: Limiter,
    pub(super) breaker: Breaker,
    bytes: Option<Rate>,
    requests: Option<Rate>,
    rng: fastrand::Rng,
    /// The latest Retry-After that anybody was told, and by which error.
    held_off: Option<(Instant, Error)>,
    /// After a Retry-After, requests start a little apart until here.
    apart: Option<(Instant, Duration)>,
    /// Not before here, to start apart.
    apart_at: Option<Instant>,
    under_way: usize,
    pub(super) waiting: usize,
    /// When a file was last let in to probe.
    admitted_at: Option<Instant>,
    throttled: u64,
    /// Nobody waits for an open breaker or a Retry-After any more.
    pub(super) stopped: bool,
}

/// What a request that wants to go is told.
#[derive(Debug)]
pub(super) enum Turn {
    /// Gone; the number of the probe where it is one.
    Go(Option<u64>),
    /// Not before then, or before something changes.
    Wait(Option<Instant>),
    /// Waiting is in vain.
    Never(Error),
}

impl State {
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    pub(super) fn new(policy: PacePolicy) -> Self {
        Self {
            limiter: Limiter::new(&policy),
            breaker: Breaker::new(policy),
            bytes: policy.bytes_per_second.map(|rate| Rate::new(rate as f64)),
            requests: policy.requests_per_second.map(Rate::new),
            rng: policy.rng(),
            held_off: None,
            apart: None,
            apart_at: None,
            under_way: 0,
            waiting: 0,
            admitted_at: None,
            throttled: 0,
            stopped: false,
        }
    }

    /// Until when nothing is sent, because of the breaker or a Retry-After, and why.
    fn closed_until(&self, now: Instant) -> Option<(Instant, &Error)> {
        let breaker = self.breaker.opening().map(|o| (o.until, &o.why));
        let told = self.held_off.as_ref().map(|(until, why)| (*until, why));
        let later = |a: &(Instant, &Error), b: &(Instant, &Error)| a.0.cmp(&b.0);
        let until = breaker.into_iter().chain(told).max_by(later);
        until.filter(|(until, _)| *until > now)
    }

    /// When a probe may go, while the breaker is open.
    pub(super) fn open_until(&self) -> Option<Instant> {
        let opening = self.breaker.opening()?;
        let told = self.held_off.as_ref().map(|(until, _)| *until);
        Some(told.map_or(opening.until, |told| told.max(opening.until)))
    }

    /// Why a request that can be held until then should not even wait.
    pub(super) fn in_vain(&self, hold_until: Option<Instant>) -> Option<Error> {
        let now = Instant::now();
        match self.closed_until(now) {
            Some((until, why)) => {
                let short = hold_until.is_some_and(|hold| hold < until);
                (short || self.stopped).then(|| suspended(why, until - now))
            }
            None if self.stopped && self.breaker.is_probing() => {
                let why = self.breaker.opening().map(|opening| &opening.why);
                why.map(|why| suspended(why, Duration::ZERO))
            }
            None => None,
        }
    }

    /// The first in the queue wants to go.
    #[allow(clippy::cast_precision_loss, reason = "bytes of a batch")]
    pub(super) fn turn(&mut self, bytes: usize, hold_until: Option<Instant>) -> Turn {
        let now = Instant::now();
        if let Some(error) = self.in_vain(hold_until) {
            return Turn::Never(error);
        }
        if let Some((until, _)) = self.closed_until(now) {
            return Turn::Wait(Some(until));
        }
        if self.breaker.is_probing() || self.under_way >= self.limiter.limit() {
            return Turn::Wait(None);
        }
        let bytes_at = self.bytes.as_ref().and_then(Rate::ready_at);
        let requests_at = self.requests.as_ref().and_then(Rate::ready_at);
        if let Some(until) = bytes_at.max(requests_at).max(self.apart_at)
            && until > now
        {
            let in_vain = hold_until.is_some_and(|hold| hold < until);
            // Who stops is not kept for longer than a moment by a pace of our own.
            let too_long = self.stopped && until - now > Duration::from_secs(2);
            return if in_vain || too_long {
                Turn::Never(out_of_time().with_retry(Retry::After(until - now)))
            } else {
                Turn::Wait(Some(until))
            };
        }
        if let Some(rate) = &mut self.bytes {
            rate.take(bytes as f64, now);
        }
        if let Some(rate) = &mut self.requests {
            rate.take(1.0, now);
        }
        self.apart_at = match self.apart {
            Some((end, gap)) if end > now => Some(later(now, gap.mul_f64(self.rng.f64()))),
            _ => None,
        };
        self.under_way += 1;
        Turn::Go(self.breaker.start())
    }

    /// A request was answered.
    pub(super) fn answered(
        &mut self,
        answer: Answer<'_>,
        probe: Option<u64>,
        began: Instant,
        bytes: usize,
    ) {
        let now = Instant::now();
        if answer.is_at_limit() {
            self.limiter.lower(began);
        } else if answer.word == Word::Accepted {
            // A refusal may be much quicker, and says nothing of how slow the rest is.
            self.limiter.answered(began, bytes, self.under_way);
        }
        if let Some(error) = answer.error {
            if error.kind() == ErrorKind::Throttled {
                self.throttled += 1;
                metrics::counter!("ctforward_throttled_total").increment(1);
            }
            if let Retry::After(told) = error.retry() {
                self.hold_off(now, told, error);
            }
        }
        self.breaker.answered(answer, probe, &mut self.rng);
        self.under_way = self.under_way.saturating_sub(1);
    }

    fn hold_off(&mut self, now: Instant, told: Duration, why: &Error) {
        let until = later(now, spread(told, &mut self.rng));
        if self.held_off.as_ref().is_some_and(|(at, _)| *at >= until) {
            return;
        }
        let spread = (told / 10).min(Duration::from_secs(1));
        let share = u32::try_from(self.limiter.limit()).unwrap_or(u32::MAX);
        self.apart = Some((later(until, spread), spread / share.max(1)));
        self.held_off = Some((until, why.duplicate()));
    }

    /// A request ended without an answer.
    pub(super) fn abandoned(&mut self, probe: Option<u64>) {
        self.breaker.abandon(probe);
        self.under_way = self.under_way.saturating_sub(1);
    }

    pub(super) fn trip(&mut self, why: &Error, open_for: Duration) {
        let until = later(Instant::now(), open_for);
        self.breaker.trip(why, until, true);
        self.admitted_at = None;
    }

    /// Whether intake may go on; otherwise when to ask again, if nothing changes before.
    pub(super) fn admit(&mut self) -> Result<(), Option<Instant>> {
        let now = Instant::now();
        let Some(until) = self.open_until() else {
            self.admitted_at = None;
            return Ok(());
        };
        if until > now {
            return Err(Some(until));
        }
        if self.waiting + self.under_way > 0 {
            return Err(None);
        }
        match self.admitted_at.map(|at| later(at, ADMIT_EVERY)) {
            Some(next) if next > now => Err(Some(next)),
            _ => {
                self.admitted_at = Some(now);
                Ok(())
            }
        }
    }

    pub(super) fn status(&self) -> PaceStatus {
        let now = Instant::now();
        let left = |until: Instant| until.checked_duration_since(now);
        let opening = self.breaker.opening();
        PaceStatus {
            concurrency_limit: self.limiter.limit(),
            in_flight: self.under_way,
            waiting: self.waiting,
            breaker: match opening {
                None => BreakerState::Closed,
                Some(_) if self.open_until() > Some(now) => BreakerState::Open,
                Some(_) => BreakerState::HalfOpen,
            },
            breaker_opens: self.breaker.opens(),
            closed_for: self
                .closed_until(now)
                .and_then(|(until, _)| left(until))
                .map(|left| left.as_secs_f64()),
            why: opening.map(|o| crate::text::printable(&o.why.to_string()).into_owned()),
            throttled: self.throttled,
        }
    }

    pub(super) fn meter(&self) {
        #[allow(clippy::cast_precision_loss, reason = "a small count")]
        let limit = self.limiter.limit() as f64;
        metrics::gauge!("ctforward_delivery_concurrency").set(limit);
        let open = f64::from(u8::from(self.breaker.opening().is_some()));
        metrics::gauge!("ctforward_breaker_open").set(open);
    }
}

fn suspended(why: &Error, left: Duration) -> Error {
    let retry = if left.is_zero() {
        Retry::Backoff
    } else {
        Retry::After(left)
    };
    let message = format!(
        "delivery is suspended for {:.0} s: {}",
        left.as_secs_f64(),
        why.message()
    );
    Error::new(why.kind(), why.origin(), message).with_retry(retry)
}

/// The batch can be held no longer, and was not sent.
pub(super) fn out_of_time() -> Error {
    let message = "its turn did not come before the log files must be given back";
    Error::new(ErrorKind::Unavailable, "pace", message).with_retry(Retry::Backoff)
}
