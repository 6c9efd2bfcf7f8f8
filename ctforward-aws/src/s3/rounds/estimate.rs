//! What the listings of a day come to, before the first of them.

use std::fmt;
use std::time::Duration;

/// CloudTrail delivers a file about every five minutes (AWS, "Finding your
/// CloudTrail log files"): so many a day come to a folder where there is always something.
const BUSY_FILES_A_DAY: u64 = 288;

/// How many LIST requests a day of rounds takes, from what discovery found.
///
/// AWS bills LIST requests by their number; no price is built in here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundsEstimate {
    /// Accounts found.
    pub accounts: u64,
    /// Different regions found.
    pub regions: u64,
    /// Folders `account/kind/region` that each round lists.
    pub folders: u64,
    /// Folders whose own folders could not be listed, so that what lies below them
    /// is not counted here.
    pub unlisted: u64,
    /// Rounds a day.
    pub rounds_a_day: u64,
    /// Requests a day that look for new accounts and regions.
    pub discovery_a_day: u64,
    /// Requests a day if each listing fits one page: it will be no fewer.
    pub requests_a_day: u64,
    /// Requests a day if each folder gets a file every five minutes.
    pub requests_a_day_busy: u64,
}

/// What the figures are computed with.
pub(super) struct Terms {
    pub(super) interval: Duration,
    pub(super) refresh: Duration,
    /// Requests of one discovery.
    pub(super) discovery: u64,
    pub(super) page_size: u64,
    pub(super) recent_days: u64,
    pub(super) deep_days: u64,
}

impl RoundsEstimate {
    pub(super) fn complete(mut self, terms: &Terms) -> Self {
        let pages = |days: u64| {
            (days * BUSY_FILES_A_DAY)
                .div_ceil(terms.page_size.max(1))
                .max(1)
        };
        self.rounds_a_day = times_a_day(terms.interval);
        self.discovery_a_day = terms
            .discovery
            .saturating_mul(times_a_day(terms.refresh.max(terms.interval)));
        // The first round of a day looks further back, in the place of a common one.
        let common = self.rounds_a_day.saturating_sub(1);
        let total = |recent: u64, deep: u64| {
            let of_each = common.saturating_mul(recent).saturating_add(deep);
            self.folders
                .saturating_mul(of_each)
                .saturating_add(self.discovery_a_day)
        };
        self.requests_a_day = total(1, 1);
        self.requests_a_day_busy = total(pages(terms.recent_days), pages(terms.deep_days));
        self
    }
}

/// How often something happens in a day that happens once in `every`; at least once.
fn times_a_day(every: Duration) -> u64 {
    let day = Duration::from_secs(86_400).as_millis();
    let times = day.div_ceil(every.as_millis().max(1));
    u64::try_from(times).unwrap_or(u64::MAX)
}

/// One line, to be printed before a start.
impl fmt::Display for RoundsEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} LIST requests a day at least, {} where each folder gets a file every five \
             minutes ({} folders of {} accounts and {} regions, {} rounds a day, {} requests a \
             day to look for new ones)",
            self.requests_a_day,
            self.requests_a_day_busy,
            self.folders,
            self.accounts,
            self.regions,
            self.rounds_a_day,
            self.discovery_a_day,
        )?;
        if self.unlisted > 0 {
            write!(
                f,
                "; {} folders could not be listed and are not counted",
                self.unlisted
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(minutes: u64) -> Terms {
        Terms {
            interval: Duration::from_secs(minutes * 60),
            refresh: Duration::from_secs(3600),
            discovery: 4002,
            page_size: 1000,
            recent_days: 2,
            deep_days: 35,
        }
    }

    #[test]
    fn figures_are_those_computed_by_hand() {
        let found = RoundsEstimate {
            accounts: 2000,
            regions: 30,
            folders: 60_000,
            ..RoundsEstimate::default()
        };
        let estimate = found.complete(&terms(15));
        assert_eq!(estimate.rounds_a_day, 96);
        // 24 times 4002.
        assert_eq!(estimate.discovery_a_day, 96_048);
        assert_eq!(estimate.requests_a_day, 60_000 * 96 + 96_048);
        // 576 keys of two days fit a page, 10,080 of 35 days take eleven.
        assert_eq!(estimate.requests_a_day_busy, 60_000 * (95 + 11) + 96_048);
    }

    #[test]
    fn no_interval_overflows_and_a_long_one_still_happens() {
        let found = RoundsEstimate {
            folders: u64::MAX,
            ..RoundsEstimate::default()
        };
        assert_eq!(found.complete(&terms(1)).requests_a_day, u64::MAX);
        assert_eq!(times_a_day(Duration::from_secs(7 * 86_400)), 1);
        assert_eq!(times_a_day(Duration::from_secs(86_399)), 2);
        assert_eq!(times_a_day(Duration::from_nanos(1)), 86_400_000);
    }
}
