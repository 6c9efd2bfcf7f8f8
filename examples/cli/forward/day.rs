//! So many bytes a day, and no more.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use tokio_util::sync::CancellationToken;

use super::keep::Memory;
use crate::args::Forward;
use crate::books::megabytes;
use crate::console::Console;
use crate::failure::Failure;

/// What may be sent in one day of UTC.
pub struct Day {
    most: Option<u64>,
    waits: bool,
    /// When this process sent how much.
    sent: Mutex<Vec<(Timestamp, u64)>>,
}

impl Day {
    pub fn of(args: &Forward) -> Result<Self, Failure> {
        let most = args.max_bytes_per_day;
        if most.is_some() && args.keep.ledger.is_none() && !args.dry_run {
            return Err(Failure::usage(
                "--max-bytes-per-day needs --ledger, to know where to go on",
            ));
        }
        Ok(Self {
            most,
            waits: !args.exit_at_daily_limit,
            sent: Mutex::default(),
        })
    }

    /// A day must take more than one batch.
    pub fn check(&self, batch: usize) -> Result<(), Failure> {
        if self.most.is_some_and(|most| most <= batch as u64) {
            return Err(Failure::usage(format!(
                "--max-bytes-per-day must be more than the {batch} bytes of one request"
            )));
        }
        Ok(())
    }

    /// Bytes that may be sent today; `None` where there is no limit.
    pub fn left(&self, memory: &Memory) -> Result<Option<u64>, Failure> {
        let Some(most) = self.most else {
            return Ok(None);
        };
        let midnight = begin_of_day(Timestamp::now());
        // The ledger knows of finished files, by earlier processes too; this process
        // knows of what it sent of others.
        let finished = memory.sent_since(midnight)?;
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let here = sent.iter().filter(|(at, _)| *at >= midnight);
        let here: u64 = here.map(|(_, bytes)| bytes).sum();
        Ok(Some(most.saturating_sub(finished.max(here))))
    }

    /// A run sent so much.
    pub fn sent(&self, bytes: u64) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push((Timestamp::now(), bytes));
    }

    /// Waits for the next day; `false` where the program ends instead.
    pub async fn goes_on(&self, console: &Console, shutdown: &CancellationToken) -> bool {
        let most = megabytes(self.most.unwrap_or_default());
        if !self.waits {
            console.line(&format!(
                "ctforward: {most} were sent today, which is all that may be; run it again \
                 tomorrow (UTC) and it goes on"
            ));
            return false;
        }
        console.line(&format!(
            "note: {most} were sent today, which is all that may be; it goes on at 00:00 UTC"
        ));
        let now = Timestamp::now();
        let tomorrow = begin_of_day(now).checked_add(24.hours()).unwrap_or(now);
        let pause = tomorrow.duration_since(now).unsigned_abs() + Duration::from_secs(1);
        tokio::select! {
            () = shutdown.cancelled() => {
                console.line("ctforward: interrupted; run it again and it goes on");
                false
            }
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// 00:00 UTC of that day.
fn begin_of_day(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let at: Timestamp = "2026-03-01T23:59:59.9Z".parse().unwrap();
        assert_eq!(begin_of_day(at).to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(begin_of_day(begin_of_day(at)), begin_of_day(at));
    }
}
