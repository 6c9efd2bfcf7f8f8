//! So many bytes a day, and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ledger::{LedgerReader, SqliteLedger};
use ctforward_core::{Batch, BatchLimits, Delivery, Error, ErrorKind, Result, Retry, Sink};
use jiff::Timestamp;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Sends to a sink no more than so many bytes in a day of UTC, counted in the ledger so
/// that a restart takes nothing twice. What would be more is told to come again at
/// midnight, as if the sink itself had said so: delivery is suspended and nothing is
/// fetched until then, and nothing is given up.
pub struct DayLimit {
    sink: Arc<dyn Sink>,
    ledger: Arc<SqliteLedger>,
    most: u64,
    now: fn() -> Timestamp,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    /// Days since 1970.
    day: i64,
    accepted: u64,
    under_way: u64,
}

impl DayLimit {
    /// At most `most` bytes a day to `sink`, of which those that `ledger` knows of were
    /// sent today.
    ///
    /// # Errors
    /// Where the ledger does not say.
    pub async fn new(sink: Arc<dyn Sink>, ledger: Arc<SqliteLedger>, most: u64) -> Result<Self> {
        Self::at(sink, ledger, most, Timestamp::now).await
    }

    async fn at(
        sink: Arc<dyn Sink>,
        ledger: Arc<SqliteLedger>,
        most: u64,
        now: fn() -> Timestamp,
    ) -> Result<Self> {
        let (path, today) = (ledger.path().to_owned(), day(now()));
        let asked = tokio::task::spawn_blocking(move || LedgerReader::open(path)?.sent_on(today));
        let accepted = asked
            .await
            .map_err(|error| Error::new(ErrorKind::Other, "ledger", error.to_string()))??;
        let sent = Sent {
            day: today,
            accepted,
            under_way: 0,
        };
        Ok(Self {
            sink,
            ledger,
            most,
            now,
            sent: Mutex::new(sent),
        })
    }

    /// What was sent on the day of `now`.
    fn sent(&self, now: Timestamp) -> MutexGuard<'_, Sent> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back takes no day again.
        if day(now) > sent.day {
            sent.day = day(now);
            sent.accepted = 0;
        }
        sent
    }

    /// Takes the room for so many bytes, or says when there is some again.
    fn take(&self, bytes: u64) -> Result<Taken<'_>> {
        let now = (self.now)();
        let mut sent = self.sent(now);
        let all = sent.accepted.saturating_add(sent.under_way);
        if all.saturating_add(bytes) <= self.most {
            sent.under_way += bytes;
            return Ok(Taken { limit: self, bytes });
        }
        // Where others under way fill it and may fail, that is soon enough too.
        let midnight = (sent.day + 1) * DAY;
        let left = u64::try_from(midnight - now.as_second()).unwrap_or_default() + 1;
        let message = format!(
            "the day's limit of {} bytes takes no further request; it goes on at 00:00 UTC",
            self.most
        );
        let error = Error::new(ErrorKind::Other, "pace", message);
        Err(error.with_retry(Retry::After(Duration::from_secs(left))))
    }
}

/// Days since 1970, in UTC.
fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

/// Room that a request takes while it is under way.
struct Taken<'a> {
    limit: &'a DayLimit,
    bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut sent = self.limit.sent((self.limit.now)());
        sent.under_way = sent.under_way.saturating_sub(self.bytes);
    }
}

#[async_trait]
impl Sink for DayLimit {
    fn limits(&self) -> BatchLimits {
        self.sink.limits()
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let bytes = batch.bytes() as u64 + 1;
        let taken = self.take(bytes)?;
        let delivery = self.sink.deliver(batch).await?;
        // What was posted counts, whatever was said of single records. The ledger writes
        // it down in its own time: what the sink has taken waits for no disk.
        let now = (self.now)();
        self.sent(now).accepted += bytes;
        drop(taken);
        if let Err(error) = self.ledger.note_sent(day(now), bytes) {
            tracing::warn!(%error, "bytes that were sent are not counted");
        }
        Ok(delivery)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use ctforward_core::batch::BatchBuilder;
    use ctforward_core::sink::MemorySink;
    use ctforward_core::{Object, ObjectId};

    use super::*;

    /// What the clock of the tests says, in seconds since 1970. Of this test alone.
    static NOW: AtomicI64 = AtomicI64::new(100 * DAY + 5);

    fn now() -> Timestamp {
        Timestamp::from_second(NOW.load(Ordering::SeqCst)).unwrap()
    }

    fn batch(bytes: usize) -> Batch {
        let record = vec![b'x'; bytes];
        let object = Object::new(ObjectId::new("b", "k"));
        BatchBuilder::of_records(object, [record.as_slice()])
    }

    #[tokio::test]
    async fn a_day_takes_so_much_over_restarts_too_and_the_next_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let sink = Arc::new(MemorySink::new());
        let open = async || {
            let ledger = Arc::new(SqliteLedger::open(&path).unwrap());
            let sink: Arc<dyn Sink> = Arc::clone(&sink) as _;
            let limit = DayLimit::at(sink, Arc::clone(&ledger), 1000, now).await;
            (limit.unwrap(), ledger)
        };
        let (limit, ledger) = open().await;
        assert!(limit.deliver(&batch(400)).await.unwrap().is_complete());
        assert!(limit.deliver(&batch(400)).await.unwrap().is_complete());
        let error = limit.deliver(&batch(400)).await.unwrap_err();
        assert_eq!(error.retry(), Retry::After(Duration::from_secs(86_396)));
        // Neither the credentials nor the speed are at fault.
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(
            error.message().contains("the day's limit of 1000 bytes"),
            "{error}"
        );
        assert_eq!(sink.lines().len(), 2);
        // What is small still fits.
        assert!(limit.deliver(&batch(100)).await.unwrap().is_complete());
        drop(limit);
        Arc::into_inner(ledger).unwrap().close().await;

        let (limit, _ledger) = open().await;
        assert!(limit.deliver(&batch(400)).await.is_err());
        assert_eq!(sink.lines().len(), 3);
        NOW.store(101 * DAY, Ordering::SeqCst);
        assert!(limit.deliver(&batch(400)).await.unwrap().is_complete());
        // A clock that goes back opens yesterday's room for nothing.
        NOW.store(100 * DAY + 9, Ordering::SeqCst);
        assert!(limit.deliver(&batch(600)).await.is_err());
    }

    /// Takes nothing, or never answers.
    struct Bad(bool);

    #[async_trait]
    impl Sink for Bad {
        fn limits(&self) -> BatchLimits {
            BatchLimits::new(1 << 20)
        }

        async fn deliver(&self, _: &Batch) -> Result<Delivery> {
            if self.0 {
                std::future::pending::<()>().await;
            }
            Err(Error::new(ErrorKind::Unavailable, "sink", "down"))
        }
    }

    #[tokio::test]
    async fn what_is_under_way_takes_room_and_what_failed_or_was_dropped_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(folder.path().join("ledger")).unwrap();
        let ledger = Arc::new(ledger);
        let at = |stuck| DayLimit::new(Arc::new(Bad(stuck)), Arc::clone(&ledger), 1000);
        let failing = at(false).await.unwrap();
        for _ in 0..5 {
            let error = failing.deliver(&batch(800)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        }
        let stuck = at(true).await.unwrap();
        for _ in 0..3 {
            let first = batch(800);
            let mut under_way = Box::pin(stuck.deliver(&first));
            assert!(futures_poll(under_way.as_mut()).await);
            let error = stuck.deliver(&batch(800)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other);
            drop(under_way);
        }
        assert_eq!(stuck.sent(Timestamp::now()).under_way, 0);
    }

    /// Whether it is not done after it was asked once.
    async fn futures_poll<F: Future + Unpin>(mut future: F) -> bool {
        std::future::poll_fn(|context| {
            let pending = std::pin::Pin::new(&mut future).poll(context).is_pending();
            std::task::Poll::Ready(pending)
        })
        .await
    }
}
