use std::collections::VecDeque;

/// Tells one bad record from a sink that refuses everything.
///
/// A refusal is final for a record, and a refused record goes to quarantine. But
/// where a sink refuses very much, the fault is more likely the sink's, or ours
/// in how we talk to it; then nothing may be put aside. Refusals are believed
/// only while
/// - some record was accepted in the same batch or the one decided before it, and
/// - of the last `window` records no more than `share` and `least` were refused.
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
        }
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

    /// Takes note of a batch; `false` where its refusals are not to be believed.
    pub(crate) fn believe(&mut self, accepted: u64, refused: u64, large: usize) -> bool {
        self.large = if accepted > 0 { 0 } else { self.large + large };
        if accepted + refused == 0 {
            return true;
        }
        let alone = accepted == 0 && !self.last_accepted();
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
        #[allow(clippy::cast_precision_loss, reason = "counts of a window of records")]
        let share = self.refused as f64 / (self.accepted + self.refused).max(1) as f64;
        refused == 0 || !(alone || self.refused > self.least && share > self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refused_among_accepted_is_believed_and_nothing_but_refusals_is_not() {
        let mut guard = RefusalGuard::default();
        assert!(
            !guard.clone().believe(0, 5, 0),
            "the first batch, all refused"
        );
        assert!(guard.believe(99, 1, 0));
        assert!(guard.believe(0, 1, 0), "after a batch that was accepted");
        assert!(!guard.believe(0, 1, 0), "the second in a row");
        assert!(guard.believe(10, 0, 0));
        assert!(guard.believe(10, 1, 0));
    }

    #[test]
    fn too_large_a_share_of_the_last_records_is_not_believed() {
        let mut guard = RefusalGuard::default();
        for _ in 0..10 {
            assert!(guard.believe(990, 10, 0));
        }
        assert!(!guard.believe(990, 11, 0), "111 of the last 11,001");
        for _ in 0..12 {
            guard.believe(1000, 0, 0);
        }
        assert!(guard.believe(990, 10, 0), "the old ones left the window");
    }
}
