//! Verdicts over refusals, and the second opinion that the first of them waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::deliver::RefusalGuard;
use crate::deliver::guard::Verdict;

/// The guard, and the batch whose verdict is deferred.
#[derive(Debug)]
pub(super) struct Opinions {
    state: Mutex<State>,
    /// Batches that are neither decided nor deferred.
    undecided: watch::Sender<usize>,
    nothing_else: CancellationToken,
}

#[derive(Debug)]
struct State {
    guard: RefusalGuard,
    /// At most one: the second that would be decides both.
    deferred: Option<Deferred>,
    numbers: u64,
}

#[derive(Debug)]
struct Deferred {
    number: u64,
    refused: u64,
    tell: oneshot::Sender<Verdict>,
}

impl State {
    fn settle_deferred(&mut self, judge: impl FnOnce(&mut RefusalGuard, u64) -> Verdict) {
        if let Some(deferred) = self.deferred.take() {
            let verdict = judge(&mut self.guard, deferred.refused);
            // Whoever waited may be gone; then the batch is undecided all the same.
            let _ = deferred.tell.send(verdict);
        }
    }
}

/// What became of the records of one batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) accepted: u64,
    /// For their content.
    pub(super) refused: u64,
    /// For their size, by themselves.
    pub(super) large: usize,
}

impl Opinions {
    pub(super) fn new(guard: RefusalGuard) -> Self {
        Self {
            state: Mutex::new(State {
                guard,
                deferred: None,
                numbers: 0,
            }),
            undecided: watch::Sender::new(0),
            nothing_else: CancellationToken::new(),
        }
    }

    pub(super) fn set_nothing_else(&mut self, nothing_else: CancellationToken) {
        self.nothing_else = nothing_else;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the batch decided last accepted any record, and how many were too
    /// large by themselves since any was.
    pub(super) fn trust(&self) -> (bool, usize) {
        let guard = &self.state().guard;
        (guard.last_accepted(), guard.large_since_accepted())
    }

    /// Whether every refusal is believed.
    pub(super) fn is_trusting(&self) -> bool {
        self.state().guard.is_trusting()
    }

    /// A batch begins.
    pub(super) fn begin(&self) -> Undecided<'_> {
        self.undecided.send_modify(|undecided| *undecided += 1);
        Undecided(self)
    }

    /// A batch of which so much was refused that it was not looked at to its end.
    pub(super) fn disbelieve(&self) {
        let mut state = self.state();
        state.settle_deferred(RefusalGuard::judge_refuted);
        state.guard.disbelieve();
    }

    /// Whether the refusals of a batch are believed. It waits for a second opinion
    /// where there is no first one, until `hold_until` at the latest.
    pub(super) async fn believe(
        &self,
        batch: Undecided<'_>,
        count: Count,
        hold_until: Option<Instant>,
    ) -> bool {
        let judged = self.judge(count);
        drop(batch);
        let mut deferral = match judged {
            Ok(verdict) => return verdict == Verdict::Believed,
            Err(deferral) => deferral,
        };
        let end = Instant::now().checked_add(deferral.patience);
        let end = end.into_iter().chain(hold_until).min();
        let verdict = tokio::select! {
            biased;
            verdict = &mut deferral.told => verdict.ok(),
            () = self.nothing_else_comes() => None,
            () = until(end) => None,
        };
        verdict.unwrap_or_else(|| deferral.settle()) == Verdict::Believed
    }

    /// Decides a batch and, where one is deferred, that one too; or defers it.
    fn judge(&self, count: Count) -> Result<Verdict, Deferral<'_>> {
        let mut state = self.state();
        if count.accepted > 0 {
            state.settle_deferred(RefusalGuard::judge_followed);
        } else if count.refused > 0 {
            state.settle_deferred(RefusalGuard::judge_refuted);
        }
        let verdict = state
            .guard
            .judge(count.accepted, count.refused, count.large);
        if verdict != Verdict::Deferred {
            return Ok(verdict);
        }
        let (tell, told) = oneshot::channel();
        state.numbers += 1;
        let number = state.numbers;
        state.deferred = Some(Deferred {
            number,
            refused: count.refused,
            tell,
        });
        Err(Deferral {
            opinions: self,
            number,
            told,
            patience: state.guard.second_opinion(),
        })
    }

    async fn nothing_else_comes(&self) {
        self.nothing_else.cancelled().await;
        let mut undecided = self.undecided.subscribe();
        // The sender lives as long as this.
        let _ = undecided.wait_for(|undecided| *undecided == 0).await;
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// A batch that is neither decided nor deferred.
#[derive(Debug)]
pub(super) struct Undecided<'a>(&'a Opinions);

impl Drop for Undecided<'_> {
    fn drop(&mut self) {
        self.0.undecided.send_modify(|undecided| *undecided -= 1);
    }
}

/// A batch that waits for its second opinion; dropped, it waits no more.
struct Deferral<'a> {
    opinions: &'a Opinions,
    number: u64,
    told: oneshot::Receiver<Verdict>,
    patience: Duration,
}

impl Deferral<'_> {
    /// The wait is over without an opinion, or one came at the same moment.
    fn settle(mut self) -> Verdict {
        let mut state = self.opinions.state();
        if state
            .deferred
            .as_ref()
            .is_some_and(|d| d.number == self.number)
        {
            state.settle_deferred(RefusalGuard::judge_alone);
        }
        drop(state);
        self.told.try_recv().unwrap_or(Verdict::Disbelieved)
    }
}

impl Drop for Deferral<'_> {
    fn drop(&mut self) {
        let mut state = self.opinions.state();
        if state
            .deferred
            .as_ref()
            .is_some_and(|d| d.number == self.number)
        {
            state.deferred = None;
        }
    }
}
