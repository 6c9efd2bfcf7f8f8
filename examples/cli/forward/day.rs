//! So many bytes a day, and no more.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ledger::{LedgerReader, SqliteLedger};
use ctforward_core::{Batch, BatchLimits, Delivery, Sink};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::args::Forward;
use crate::books::megabytes;
use crate::console::Console;
use crate::failure::Failure;

/// What may be sent in one day of UTC.
pub struct Day {
    most: Option<u64>,
    waits: bool,
}

impl Day {
    pub fn of(args: &Forward) -> Result<Self, Failure> {
        let most = args.max_bytes_per_day;
        if most.is_some() && args.keep.ledger.is_none() && !args.dry_run {
            return Err(Failure::usage(
                "--max-bytes-per-day needs --ledger, to know where to go on",
            ));
        }
        // As many as a request may have, here and to a file of lines.
        let batch = match args.to {
            Some(_) => args.tune.max_record_bytes.max(1 << 20),
            None => args.tune.batch_bytes,
        };
        if most.is_some_and(|most| most <= batch as u64) {
            return Err(Failure::usage(format!(
                "--max-bytes-per-day must be more than the {batch} bytes of one request"
            )));
        }
        Ok(Self {
            most,
            waits: !args.exit_at_daily_limit,
        })
    }

    /// Counts what goes to `sink` in the ledger, where days are limited.
    pub fn count(&self, sink: Arc<dyn Sink>, ledger: Option<&Arc<SqliteLedger>>) -> Arc<dyn Sink> {
        match (self.most, ledger) {
            (Some(_), Some(ledger)) => Arc::new(Counting {
                sink,
                ledger: Arc::clone(ledger),
            }),
            _ => sink,
        }
    }

    /// Bytes that may be sent today; `None` where there is no limit.
    pub fn left(&self, ledger: Option<&Arc<SqliteLedger>>) -> Result<Option<u64>, Failure> {
        let (Some(most), Some(ledger)) = (self.most, ledger) else {
            return Ok(None);
        };
        let sent = LedgerReader::open(ledger.path())?.sent_on(day(Timestamp::now()))?;
        Ok(Some(most.saturating_sub(sent)))
    }

    /// Waits for the next day; `false` where the program ends instead.
    pub async fn goes_on(&self, console: &Console, shutdown: &CancellationToken) -> bool {
        let most = megabytes(self.most.unwrap_or_default());
        if !self.waits {
            console.line(&format!(
                "ctforward: the day's limit of {most} takes no further request; run it again \
                 tomorrow (UTC) and it goes on"
            ));
            return false;
        }
        console.line(&format!(
            "note: the day's limit of {most} takes no further request; it goes on at 00:00 UTC"
        ));
        let now = Timestamp::now();
        let tomorrow = (day(now) + 1) * DAY;
        let pause = u64::try_from(tomorrow - now.as_second()).unwrap_or_default() + 1;
        tokio::select! {
            () = shutdown.cancelled() => {
                console.line("ctforward: interrupted; run it again and it goes on");
                false
            }
            () = tokio::time::sleep(Duration::from_secs(pause)) => true,
        }
    }
}

const DAY: i64 = 86_400;

/// Days since 1970, in UTC.
fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

/// Notes in the ledger what was accepted, so that a later process knows of it.
struct Counting {
    sink: Arc<dyn Sink>,
    ledger: Arc<SqliteLedger>,
}

#[async_trait]
impl Sink for Counting {
    fn limits(&self) -> BatchLimits {
        self.sink.limits()
    }

    async fn deliver(&self, batch: &Batch) -> ctforward_core::Result<Delivery> {
        let delivery = self.sink.deliver(batch).await?;
        // What was posted counts, whatever was said of single records.
        let bytes = batch.bytes() as u64 + 1;
        // The ledger writes it down in its own time: what the sink has taken waits for no
        // disk.
        if let Err(error) = self.ledger.note_sent(day(Timestamp::now()), bytes) {
            tracing::warn!(%error, "bytes that were sent are not counted");
        }
        Ok(delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let at = |text: &str| day(text.parse().unwrap());
        assert_eq!(at("1970-01-01T23:59:59.9Z"), 0);
        assert_eq!(at("1970-01-02T00:00:00Z"), 1);
        assert_eq!(at("2026-03-02T00:30:00+01:00"), at("2026-03-01T12:00:00Z"));
    }
}
