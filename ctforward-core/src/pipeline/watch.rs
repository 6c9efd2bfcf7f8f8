use std::fmt;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::report::{End, FileCounts, Report};
use super::run::Run;

/// Looks at the books of a running pipeline; keeps nothing of it alive.
#[derive(Clone)]
pub struct Watch {
    run: Weak<Run>,
    since: Instant,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn of(run: &Arc<Run>) -> Self {
        Self {
            run: Arc::downgrade(run),
            since: Instant::now(),
        }
    }

    /// The books of the files decided so far, balanced as at the end; `None` where
    /// the pipeline is gone. Its `failures` are left out, and its `seconds` count
    /// from when this watch was made.
    ///
    /// It copies the table of accounts and regions: for once a second, not more.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let run = self.run.upgrade()?;
        let conflicting = run.batcher.conflicting();
        let state = run.state();
        let of = &state.report;
        let done = of.files;
        let files = FileCounts {
            seen: done.delivered + done.skipped + done.quarantined + done.failed,
            ..done
        };
        let filtered = state.filtered.iter();
        Some(Report {
            files,
            records: of.records,
            bytes: of.bytes,
            filtered_by: filtered.map(|(rule, n)| (rule.to_string(), *n)).collect(),
            skipped_because: of.skipped_because.clone(),
            without_time: of.without_time,
            conflicting,
            freshness: state.freshness.clone(),
            last_seen: state.last_seen.clone(),
            limit_reached: of.limit_reached,
            seconds: self.since.elapsed().as_secs_f64(),
            failures: Vec::new(),
            end: End::Running,
        })
    }
}
