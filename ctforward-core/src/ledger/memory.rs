use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Claim, Finished, Ledger, Mark, Resume, Ticket};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;

/// A ledger in memory: for tests, and for runs whose memory ends with them.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    rows: Mutex<BTreeMap<(String, String), Row>>,
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

fn row_key(object: &Object) -> (String, String) {
    (object.id.bucket.clone(), object.id.key.clone())
}

/// Whether what is known of a file now says that it is another than the row's.
fn rewritten(row: &Row, object: &Object) -> bool {
    let differs = |old: &Option<String>, new: &Option<String>| matches!((old, new), (Some(o), Some(n)) if o != n);
    differs(&row.etag, &object.etag)
        || matches!((row.size, object.size), (Some(o), Some(n)) if o != n)
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
        if row.finished.is_some() && !rewritten(row, object) {
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
        row.lease = Some(now + lease);
        Ok(Claim::Granted {
            ticket: Ticket::new(object.clone(), owner, row.fence),
            resume: Resume::at(row.mark, row.etag.clone(), row.size),
        })
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        self.held(ticket, |row| row.lease = Some(Instant::now() + lease))
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
