use std::time::Duration;

use tokio::time::Instant;

use super::later;

/// A limit of so much a second.
///
/// It saves nothing up: what goes is paid for afterwards, and what comes next
/// waits until it is. So within any time no more goes than the rate allows and one
/// piece, however large that is.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    paid_at: Option<Instant>,
}

impl Rate {
    pub(super) fn new(per_second: f64) -> Self {
        Self {
            per_second,
            paid_at: None,
        }
    }

    /// When what went before is paid for.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        self.paid_at
    }

    pub(super) fn take(&mut self, amount: f64, now: Instant) {
        let from = self.paid_at.map_or(now, |paid| paid.max(now));
        // Rounded up, for a limit is not to be exceeded.
        let cost = Duration::try_from_secs_f64(amount / self.per_second)
            .unwrap_or(Duration::MAX)
            .saturating_add(Duration::from_nanos(1));
        self.paid_at = Some(later(from, cost));
    }
}
