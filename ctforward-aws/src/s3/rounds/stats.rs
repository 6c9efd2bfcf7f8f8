//! What the rounds have done, also after the source was given away.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind};
use jiff::Timestamp;
use jiff::civil::Date;
use tokio::sync::Notify;

use super::estimate::RoundsEstimate;
use super::flight::Flight;
use crate::s3::StatsHandle;

/// What a source of rounds has done so far.
///
/// Its texts are safe to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundsStats {
    /// Rounds that were ended.
    pub rounds: u64,
    /// When the last round ended.
    pub last_round: Option<Timestamp>,
    /// How long it took, the time included in which nobody took its files.
    pub last_round_took: Duration,
    /// LIST requests, the SDK's own retries not counted.
    pub requests: u64,
    /// LIST requests of the UTC day that the last listing began in.
    pub requests_today: u64,
    /// Keys on the pages that arrived.
    pub keys: u64,
    /// Files handed on.
    pub files: u64,
    /// Keys not handed on because they are finished.
    pub finished: u64,
    /// Keys not handed on because they are under way.
    pub under_way_again: u64,
    /// Files under way at the moment: waiting to be handed on, or handed on and not decided.
    pub under_way: usize,
    /// Folders `account/kind/region` that each round lists.
    pub folders: usize,
    /// Of these, how many have not been listed to their end since their last failure.
    pub failing: usize,
    /// Of these, how many may not be listed.
    pub denied: usize,
    /// Folders above them that could not be listed: what lies below is not known.
    pub unlisted: usize,
    /// Keys met outside the key layout, where nothing is looked for.
    pub outside: u64,
    /// Keys left out because their time is before `since`.
    pub out_of_time: u64,
    /// How often the ledger gave no answer and everything on a page was handed on.
    pub unanswered: u64,
    /// The last failure of a listing, and when it was.
    pub last_error: Option<(Timestamp, String)>,
    /// What a day takes, by the last discovery.
    pub estimate: Option<RoundsEstimate>,
    /// Whether that is more than the budget by now; the rounds go on.
    pub over_budget: bool,
}

/// Reads the [`RoundsStats`] of a source that was given away; cheap to clone.
#[derive(Clone)]
pub struct RoundsHandle(pub(super) Arc<Shared>);

impl RoundsHandle {
    /// The counts at this moment.
    #[must_use]
    pub fn get(&self) -> RoundsStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let shared = &self.0;
        let listed = shared.listed.get();
        let detail = shared.detail();
        RoundsStats {
            rounds: detail.rounds,
            last_round: detail.last_round,
            last_round_took: detail.last_round_took,
            requests: listed.requests,
            requests_today: listed.requests.saturating_sub(detail.today.1),
            keys: listed.keys,
            files: read(&shared.files),
            finished: read(&shared.finished),
            under_way_again: read(&shared.under_way_again),
            under_way: shared.flight.count(),
            folders: detail.folders,
            failing: detail.failing.len(),
            denied: denied(&detail.failing) + denied(&detail.unlisted),
            unlisted: detail.unlisted.len(),
            outside: read(&shared.outside),
            out_of_time: listed.out_of_time,
            unanswered: read(&shared.unanswered),
            last_error: detail.last_error.clone(),
            estimate: detail.estimate,
            over_budget: detail.over_budget,
        }
    }

    /// At most so many of the folders whose last listing failed, and why. Their names
    /// come from outside: print them by [`printable`](ctforward_core::text::printable).
    #[must_use]
    pub fn failing(&self, most: usize) -> Vec<(String, ErrorKind)> {
        let detail = self.0.detail();
        let both = detail.unlisted.iter().chain(&detail.failing);
        both.take(most)
            .map(|(folder, kind)| (folder.clone(), *kind))
            .collect()
    }

    /// The accounts that were asked for and of which no folder was met so far.
    #[must_use]
    pub fn absent_accounts(&self) -> Vec<String> {
        self.0.listed.absent_accounts()
    }

    /// Begins the next round at once, where the source waits for its time.
    pub fn look_now(&self) {
        self.0.wake.notify_one();
    }
}

fn denied(failing: &BTreeMap<String, ErrorKind>) -> usize {
    let kinds = failing.values();
    kinds
        .filter(|kind| **kind == ErrorKind::Unauthorized)
        .count()
}

impl fmt::Debug for RoundsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RoundsHandle").field(&self.get()).finish()
    }
}

/// What the source and its task write, and the handle reads.
pub(super) struct Shared {
    pub(super) listed: StatsHandle,
    pub(super) flight: Arc<Flight>,
    pub(super) files: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) under_way_again: AtomicU64,
    pub(super) outside: AtomicU64,
    pub(super) unanswered: AtomicU64,
    pub(super) wake: Notify,
    detail: Mutex<Detail>,
}

#[derive(Default)]
pub(super) struct Detail {
    pub(super) rounds: u64,
    pub(super) last_round: Option<Timestamp>,
    pub(super) last_round_took: Duration,
    pub(super) folders: usize,
    pub(super) failing: BTreeMap<String, ErrorKind>,
    pub(super) unlisted: BTreeMap<String, ErrorKind>,
    pub(super) last_error: Option<(Timestamp, String)>,
    pub(super) estimate: Option<RoundsEstimate>,
    pub(super) over_budget: bool,
    /// A day, and the requests before it.
    today: (Option<Date>, u64),
}

impl Shared {
    pub(super) fn new(listed: StatsHandle, flight: Arc<Flight>) -> Self {
        Self {
            listed,
            flight,
            files: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            under_way_again: AtomicU64::new(0),
            outside: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            wake: Notify::new(),
            detail: Mutex::default(),
        }
    }

    pub(super) fn detail(&self) -> MutexGuard<'_, Detail> {
        self.detail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A listing begins on this day.
    pub(super) fn begins(&self, today: Date) {
        let mut detail = self.detail();
        if detail.today.0 != Some(today) {
            // What came before the first day known is of that day.
            let before = detail.today.0.map_or(0, |_| self.listed.get().requests);
            detail.today = (Some(today), before);
        }
    }

    pub(super) fn failed(&self, at: Timestamp, error: &Error) {
        self.detail().last_error = Some((at, error.to_string()));
    }
}
