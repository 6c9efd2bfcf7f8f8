use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{Claim, Finished, Known, Ledger, Mark, Resume, Seen, SeenStore, Ticket, rewritten};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;

/// So many records are remembered.
const SEEN: usize = 100_000;

/// A lease beyond what a clock can hold.
const LONG: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A ledger in memory: for tests, and for runs whose memory ends with them. It grows
/// with the number of files; of remembered records it holds the newest 100,000.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    rows: Mutex<BTreeMap<(String, String), Row>>,
    seen: Mutex<VecDeque<Seen>>,
    key: OnceLock<[u8; 32]>,
}

#[derive(Clone, Debug)]
struct Row {
    etag: Option<String>,
    size: Option<u64>,
    mark: Mark,
    fence: u64,
    lease: Option<Instant>,
    finished: Option<Finished>,
}

impl MemoryLedger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How the file of this bucket and key ended, if it did.
    #[must_use]
    pub fn finished(&self, bucket: &str, key: &str) -> Option<Finished> {
        let rows = self.rows();
        let row = rows.get(&(bucket.to_owned(), key.to_owned()))?;
        row.finished.clone()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<(String, String), Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` on the row that `ticket` still holds.
    fn held<T>(&self, ticket: &Ticket, change: impl FnOnce(&mut Row) -> T) -> Result<T> {
        let mut rows = self.rows();
        match rows.get_mut(&row_key(&ticket.object)) {
            Some(row) if row.fence == ticket.fence && row.lease.is_some() => Ok(change(row)),
            _ => Err(Error::new(
                ErrorKind::Changed,
                "ledger",
                format!("the lease of {} is lost", ticket.object.id),
            )),
        }
    }
}

fn after(now: Instant, lease: Duration) -> Instant {
    now.checked_add(lease).unwrap_or(now + LONG)
}

fn row_key(object: &Object) -> (String, String) {
    (object.id.bucket.clone(), object.id.key.clone())
}

#[async_trait]
impl Known for MemoryLedger {
    async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
        let rows = self.rows();
        let finished = |object: &Object| {
            rows.get(&row_key(object)).is_some_and(|row| {
                row.finished.as_ref().is_some_and(|finished| {
                    !rewritten(row.etag.as_deref(), row.size, finished.quarantined, object)
                })
            })
        };
        Ok(objects.iter().map(finished).collect())
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        let now = Instant::now();
        let mut rows = self.rows();
        let row = rows.entry(row_key(object)).or_insert_with(|| Row {
            etag: None,
            size: None,
            mark: Mark::default(),
            fence: 0,
            lease: None,
            finished: None,
        });
        if let Some(finished) = &row.finished
            && !rewritten(row.etag.as_deref(), row.size, finished.quarantined, object)
        {
            return Ok(Claim::Delivered);
        }
        if let Some(until) = row.lease.filter(|until| *until > now) {
            return Ok(Claim::HeldBy {
                remaining: until - now,
            });
        }
        if row.finished.take().is_some() {
            row.mark = Mark::default();
        }
        row.fence += 1;
        row.lease = Some(after(now, lease));
        Ok(Claim::Granted {
            ticket: Ticket::new(object.clone(), owner, row.fence),
            resume: Resume::at(row.mark, row.etag.clone(), row.size),
        })
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        self.held(ticket, |row| {
            row.lease = Some(after(Instant::now(), lease));
        })
    }

    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        self.held(ticket, |row| {
            row.etag.clone_from(&object.etag);
            row.size = object.size;
            row.mark = *mark;
        })
    }

    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
        self.held(ticket, |row| {
            row.etag.clone_from(&object.etag);
            row.size = object.size;
            row.finished = Some(finished.clone());
            row.lease = None;
        })
    }

    async fn release(&self, ticket: &Ticket) -> Result<()> {
        self.held(ticket, |row| row.lease = None)
    }
}

#[async_trait]
impl SeenStore for MemoryLedger {
    async fn key(&self) -> Result<[u8; 32]> {
        Ok(*self.key.get_or_init(crate::duplicates::Hasher::random_key))
    }

    async fn recall(&self, most: usize, since: Timestamp) -> Result<Vec<Seen>> {
        let seen = self.seen();
        let mut found: Vec<Seen> = seen.iter().filter(|one| one.at >= since).copied().collect();
        // Stable: of equal times, what was remembered first stays first.
        found.sort_by_key(|one| one.at);
        Ok(found.split_off(found.len().saturating_sub(most)))
    }

    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        let mut held = self.seen();
        held.extend(seen);
        let beyond = held.len().saturating_sub(SEEN);
        held.drain(..beyond);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use crate::pipeline::{FileBooks, RecordBooks};

    const LEASE: Duration = Duration::from_secs(60);

    async fn granted(ledger: &MemoryLedger, object: &Object, owner: &str) -> (Ticket, Resume) {
        match ledger.claim(object, owner, LEASE).await.unwrap() {
            Claim::Granted { ticket, resume } => (ticket, resume),
            other => panic!("not granted: {other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_has_one_owner_until_the_lease_runs_out_and_a_lost_lease_finishes_nothing() {
        let ledger = MemoryLedger::new();
        let object = Object::new(ObjectId::new("b", "k")).with_etag("e1");
        let (first, _) = granted(&ledger, &object, "a").await;
        assert!(matches!(
            ledger.claim(&object, "b", LEASE).await.unwrap(),
            Claim::HeldBy { .. }
        ));
        let mark = Mark::new(77, RecordBooks::default());
        ledger.progress(&first, &object, &mark).await.unwrap();
        tokio::time::advance(LEASE).await;
        let (second, resume) = granted(&ledger, &object, "b").await;
        assert_eq!(resume.mark_for(Some("e1"), None), mark);
        assert_eq!(resume.mark_for(Some("e2"), None), Mark::default());
        let finished = Finished::delivered(FileBooks::default());
        let lost = ledger.finish(&first, &object, &finished).await;
        assert_eq!(lost.unwrap_err().kind(), ErrorKind::Changed);
        ledger.finish(&second, &object, &finished).await.unwrap();
        assert_eq!(
            ledger.claim(&object, "a", LEASE).await.unwrap(),
            Claim::Delivered
        );
        let rewritten = object.with_etag("e2");
        let (_, resume) = granted(&ledger, &rewritten, "a").await;
        assert_eq!(resume.mark, Mark::default());
    }
}
