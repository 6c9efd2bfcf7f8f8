//! Settings of a source of rounds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::Result;
use ctforward_core::key::{Folder, Level};
use ctforward_core::ledger::Known;
use jiff::Timestamp;

use super::Rounds;
use super::flight::Flight;
use super::round::{Engine, Parts, Plan};
use super::stats::Shared;
use crate::s3::S3SourceBuilder;
use crate::s3::builder::{self, config};

/// Settings of [`Rounds`]; made by [`Rounds::builder`].
#[must_use]
pub struct RoundsBuilder {
    source: S3SourceBuilder,
    plan: Plan,
    remembers: usize,
    known: Option<Arc<dyn Known>>,
    rounds: Option<u64>,
}

impl RoundsBuilder {
    pub(super) fn new(source: S3SourceBuilder) -> Self {
        Self {
            source,
            plan: Plan {
                interval: Duration::from_secs(300),
                refresh: Duration::from_secs(3600),
                recent_days: 2,
                deep_days: 35,
                most_folders: 200_000,
                list_budget: None,
                retry_pause: Duration::from_secs(1),
                clock: Arc::new(Timestamp::now),
            },
            remembers: 1_000_000,
            known: None,
            rounds: None,
        }
    }

    /// From the beginning of one round to that of the next (default: 5 minutes).
    /// A round that takes longer is followed by the next at once.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.plan.interval = interval;
        self
    }

    /// How often accounts and regions are looked for anew (default: each hour).
    pub fn refresh(mut self, every: Duration) -> Self {
        self.plan.refresh = every;
        self
    }

    /// How many UTC days each round lists, today included (default: 2).
    pub fn recent_days(mut self, days: u16) -> Self {
        self.plan.recent_days = days;
        self
    }

    /// How many UTC days the first round of a day lists, today included (default: 35).
    ///
    /// CloudTrail retries a delivery that failed for 30 days (AWS, "Finding your
    /// CloudTrail log files"), and puts the file where it would have been.
    pub fn deep_days(mut self, days: u16) -> Self {
        self.plan.deep_days = days;
        self
    }

    /// Asks this which files are finished, page by page, before they are handed on.
    ///
    /// Give it the ledger that the pipeline has. Without it a file counts as finished
    /// once its receipt was accepted, and each process hands everything on once.
    pub fn known(mut self, known: Arc<dyn Known>) -> Self {
        self.known = Some(known);
        self
    }

    /// So many finished files are remembered in memory, of some 40 bytes each
    /// (default: 1,000,000). Of older ones the ledger is asked again.
    pub fn remember(mut self, files: usize) -> Self {
        self.remembers = files;
        self
    }

    /// Refuse to begin where a day takes more LIST requests than this (default: no limit).
    ///
    /// It is compared with [`requests_a_day`](super::RoundsEstimate::requests_a_day).
    /// Where accounts are added later, the rounds go on and
    /// [`over_budget`](super::RoundsStats::over_budget) says so.
    pub fn list_budget(mut self, requests_a_day: u64) -> Self {
        self.plan.list_budget = Some(requests_a_day);
        self
    }

    /// So many folders `account/kind/region` are held in memory at most (default: 200,000).
    pub fn most_folders(mut self, folders: usize) -> Self {
        self.plan.most_folders = folders;
        self
    }

    /// The pause before a failed listing is tried again; it doubles each time, with
    /// jitter (default: 1 s).
    pub fn retry_pause(mut self, pause: Duration) -> Self {
        self.plan.retry_pause = pause;
        self
    }

    /// End after so many rounds (default: never). The source is then exhausted, if
    /// the last of them listed everything; otherwise `next` fails, and asked again
    /// lists another round.
    pub fn rounds(mut self, rounds: u64) -> Self {
        self.rounds = Some(rounds);
        self
    }

    /// What the UTC day is taken from (default: the system's clock).
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.plan.clock = Arc::new(clock);
        self
    }

    /// The source. Nothing is asked of S3 yet.
    ///
    /// # Errors
    /// [`Config`](ctforward_core::ErrorKind::Config) where a setting cannot be meant,
    /// here or in what [`Rounds::builder`] was given.
    pub fn build(self) -> Result<Rounds> {
        let plan = self.plan;
        if plan.interval.is_zero() || plan.refresh.is_zero() {
            return Err(config("the interval of rounds must be more than nothing"));
        }
        if plan.recent_days == 0 || plan.deep_days < plan.recent_days || plan.deep_days > 3660 {
            return Err(config(
                "a round must list a day at least, and the first of a day no fewer than the \
                 others (3660 at most)",
            ));
        }
        if plan.most_folders == 0 || self.rounds == Some(0) || self.remembers == 0 {
            return Err(config(
                "a source of rounds that lists or remembers nothing is none",
            ));
        }
        let builder::Parts {
            lister,
            reader,
            scope,
            prefix,
        } = self.source.parts()?;
        if scope.until.is_some() {
            return Err(config("rounds have no end in time: leave `until` out"));
        }
        if lister.bucket.ends_with("--x-s3") {
            return Err(config("a directory bucket can only be listed as a whole"));
        }
        let root = root(&prefix)?;
        let flight = Arc::new(Flight::new(self.remembers, self.known.is_none()));
        let shared = Arc::new(Shared::new(lister.stats.clone(), flight));
        let parts = Parts {
            lister: Arc::new(lister),
            scope,
            known: self.known,
            shared: Arc::clone(&shared),
        };
        let engine = Engine::new(plan, parts, root, self.rounds);
        Ok(Rounds::new(engine, reader, shared))
    }
}

/// Where to look for accounts: a trail's own prefix is what comes before `AWSLogs/`.
fn root(prefix: &str) -> Result<String> {
    let prefix = prefix.trim_end_matches('/');
    match Folder::parse(prefix).level {
        Level::Root | Level::Organisation | Level::Account | Level::Kind | Level::Region => {
            Ok(format!("{prefix}/"))
        }
        Level::Year | Level::Month | Level::Day => Err(config(
            "the prefix of rounds must end above the folders of the years",
        )),
        _ if prefix.is_empty() => Ok("AWSLogs/".to_owned()),
        _ => Ok(format!("{prefix}/AWSLogs/")),
    }
}

/// Without the client, whose settings are not ours to show.
impl fmt::Debug for RoundsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoundsBuilder")
            .field("source", &self.source)
            .field("interval", &self.plan.interval)
            .field("refresh", &self.plan.refresh)
            .field("recent_days", &self.plan.recent_days)
            .field("deep_days", &self.plan.deep_days)
            .field("most_folders", &self.plan.most_folders)
            .field("list_budget", &self.plan.list_budget)
            .field("remember", &self.remembers)
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::root;

    #[test]
    fn a_trails_prefix_and_a_deeper_one_lead_to_the_same_layout() {
        let cases = [
            ("", "AWSLogs/"),
            ("logs", "logs/AWSLogs/"),
            ("logs/", "logs/AWSLogs/"),
            ("AWSLogs", "AWSLogs/"),
            ("logs/AWSLogs/", "logs/AWSLogs/"),
            ("AWSLogs/o-a1b2c3d4e5", "AWSLogs/o-a1b2c3d4e5/"),
            ("AWSLogs/111122223333/", "AWSLogs/111122223333/"),
            (
                "AWSLogs/111122223333/CloudTrail/eu-west-1",
                "AWSLogs/111122223333/CloudTrail/eu-west-1/",
            ),
        ];
        for (prefix, expected) in cases {
            assert_eq!(root(prefix).unwrap(), expected, "{prefix}");
        }
        assert!(root("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/").is_err());
    }
}
