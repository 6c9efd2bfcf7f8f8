use std::collections::VecDeque;
use std::time::Duration;

/// Tells one bad record from a sink that refuses everything.
///
/// A refusal is final for a record, and a refused record goes to quarantine. But
/// where a sink refuses very much, the fault is more likely the sink's, or ours
/// in how we talk to it; then nothing may be put aside. Refusals are believed
/// only while
/// - some record was accepted in the same batch or the one decided before it, and
/// - of the last `window` records no more than `share` and `least` were refused.
///
/// The first batch has none before it. Where all of it is refused, it waits for a
/// second opinion: the next batch that is decided. If that one is refused too,
/// neither is believed. If none is decided within [`second_opinion`](Self::with_second_opinion), or nothing else is coming, up to `least` refusals
/// are believed: otherwise one bad record alone in its log file would come again
/// for ever. After refusals that were not believed, no batch refused as a whole is
/// believed until something was accepted.
#[derive(Clone, Debug)]
pub struct RefusalGuard {
    window: u64,
    share: f64,
    least: u64,
    /// Accepted and refused of the last batches, and their sums.
    batches: VecDeque<(u64, u64)>,
    accepted: u64,
    refused: u64,
    /// Records too large by themselves since any record was accepted.
    large: usize,
    /// Refusals were not believed, and nothing was accepted since.
    distrust: bool,
    second_opinion: Duration,
    /// Whatever is refused is believed.
    trusting: bool,
}

/// What is made of the refusals of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Believed,
    Disbelieved,
    /// The next batch that is decided says.
    Deferred,
}

impl Default for RefusalGuard {
    /// More than 100 and more than 1 % of the last 10,000 records.
    fn default() -> Self {
        Self::new(10_000, 0.01, 100)
    }
}

impl RefusalGuard {
    /// Refusals are believed up to `share` of the last `window` records, and up to `least` in any case.
    #[must_use]
    pub fn new(window: u64, share: f64, least: u64) -> Self {
        Self {
            window,
            share,
            least,
            batches: VecDeque::new(),
            accepted: 0,
            refused: 0,
            large: 0,
            distrust: false,
            second_opinion: Duration::from_secs(10),
            trusting: false,
        }
    }

    /// A guard that believes every refusal: for what is in quarantine already, and
    /// for who knows that all of it is to be refused. With it, a sink that refuses
    /// everything has everything put aside.
    #[must_use]
    pub fn trusting() -> Self {
        Self {
            trusting: true,
            ..Self::default()
        }
    }

    pub(crate) fn is_trusting(&self) -> bool {
        self.trusting
    }

    /// The same guard with another time that a first batch which is refused as a
    /// whole waits for the next batch to be decided. Default 10 s. It should be
    /// longer than a request takes; a batch waits no longer than it can be held.
    #[must_use]
    pub fn with_second_opinion(mut self, second_opinion: Duration) -> Self {
        self.second_opinion = second_opinion;
        self
    }

    pub(crate) fn second_opinion(&self) -> Duration {
        self.second_opinion
    }

    /// Records found too large by themselves since any record was accepted. (Size
    /// says nothing of other records, but a sink to which everything is too large
    /// is no sink.)
    pub(crate) fn large_since_accepted(&self) -> usize {
        self.large
    }

    /// Whether the batch decided last accepted any record.
    pub(crate) fn last_accepted(&self) -> bool {
        self.batches
            .back()
            .is_some_and(|(accepted, _)| *accepted > 0)
    }

    /// Judges a batch, and takes note of it unless its verdict is deferred.
    pub(crate) fn judge(&mut self, accepted: u64, refused: u64, large: usize) -> Verdict {
        self.large = if accepted > 0 { 0 } else { self.large + large };
        if self.trusting || accepted + refused == 0 {
            return Verdict::Believed;
        }
        if accepted > 0 {
            self.distrust = false;
        } else if self.distrust || self.batches.back().is_some_and(|(last, _)| *last == 0) {
            self.note(accepted, refused);
            return self.disbelieve();
        } else if self.batches.is_empty() {
            return Verdict::Deferred;
        }
        self.note(accepted, refused);
        self.weigh(refused)
    }

    /// Judges a batch that was deferred, and is followed by one of which something
    /// was accepted.
    pub(crate) fn judge_followed(&mut self, refused: u64) -> Verdict {
        self.note(0, refused);
        self.weigh(refused)
    }

    /// Judges a batch that was deferred, and that nothing follows.
    pub(crate) fn judge_alone(&mut self, refused: u64) -> Verdict {
        self.note(0, refused);
        if refused > self.least {
            return self.disbelieve();
        }
        Verdict::Believed
    }

    /// Judges a batch that was deferred, and is followed by one refused as a whole.
    pub(crate) fn judge_refuted(&mut self, refused: u64) -> Verdict {
        self.note(0, refused);
        self.disbelieve()
    }

    /// Believes nothing that is refused as a whole until something is accepted.
    pub(crate) fn disbelieve(&mut self) -> Verdict {
        self.distrust = true;
        Verdict::Disbelieved
    }

    /// By the share of refusals among the last records.
    fn weigh(&mut self, refused: u64) -> Verdict {
        #[allow(clippy::cast_precision_loss, reason = "counts of a window of records")]
        let share = self.refused as f64 / (self.accepted + self.refused).max(1) as f64;
        if refused > 0 && self.refused > self.least && share > self.share {
            return self.disbelieve();
        }
        Verdict::Believed
    }

    fn note(&mut self, accepted: u64, refused: u64) {
        self.batches.push_back((accepted, refused));
        self.accepted += accepted;
        self.refused += refused;
        while let Some(&(old_accepted, old_refused)) = self.batches.front() {
            let without = self.accepted + self.refused - old_accepted - old_refused;
            if without < self.window || self.batches.len() == 1 {
                break;
            }
            self.batches.pop_front();
            self.accepted -= old_accepted;
            self.refused -= old_refused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Verdict::{Believed, Deferred, Disbelieved};

    #[test]
    fn one_refused_among_accepted_is_believed_and_nothing_but_refusals_is_not() {
        let mut guard = RefusalGuard::default();
        assert_eq!(guard.judge(0, 5, 0), Deferred, "the first, all refused");
        assert_eq!(guard.judge(99, 1, 0), Believed);
        assert_eq!(guard.judge(0, 1, 0), Believed, "after an accepted batch");
        assert_eq!(guard.judge(0, 1, 0), Disbelieved, "the second in a row");
        assert_eq!(guard.judge(0, 1, 0), Disbelieved, "and so on");
        assert_eq!(guard.judge(10, 0, 0), Believed);
        assert_eq!(guard.judge(10, 1, 0), Believed);
    }

    #[test]
    fn too_large_a_share_of_the_last_records_is_not_believed() {
        let mut guard = RefusalGuard::default();
        for _ in 0..10 {
            assert_eq!(guard.judge(990, 10, 0), Believed);
        }
        let verdict = guard.judge(990, 11, 0);
        assert_eq!(verdict, Disbelieved, "111 of the last 11,001");
        assert_eq!(guard.judge(0, 1, 0), Disbelieved, "the distrust stays");
        for _ in 0..12 {
            guard.judge(1000, 0, 0);
        }
        let verdict = guard.judge(990, 10, 0);
        assert_eq!(verdict, Believed, "the old ones left the window");
    }

    #[test]
    fn few_refusals_that_nothing_follows_are_believed_and_the_next_alone_are_not() {
        let mut guard = RefusalGuard::default();
        assert_eq!(guard.judge(0, 1, 0), Deferred);
        assert_eq!(guard.clone().judge_alone(101), Disbelieved);
        assert_eq!(guard.judge_alone(1), Believed);
        assert_eq!(guard.judge(0, 1, 0), Disbelieved);
    }
}
