//! The ledger and the quarantine, and whether they work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ledger::{Claim, Finished, Ledger, LedgerKnown, Mark, SqliteLedger, Ticket};
use ctforward_core::quarantine::DirectoryQuarantine;
use ctforward_core::{Error, ErrorKind, Object, Quarantine, QuarantineEntry, Result};

use crate::config::Settings;

/// What is kept between runs.
pub struct Memory {
    pub ledger: Arc<SqliteLedger>,
    pub known: Arc<LedgerKnown>,
    pub quarantine: DirectoryQuarantine,
}

impl Memory {
    /// Opens both; they are made where they are missing.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let path = settings.keep.ledger.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let ledger = SqliteLedger::open(&path)?;
            let known = LedgerKnown::open(&path)?;
            Ok::<_, Error>((ledger, known))
        });
        let (ledger, known) = opened
            .await
            .map_err(|error| Error::new(ErrorKind::Other, "ledger", error.to_string()))??;
        Ok(Self {
            ledger: Arc::new(ledger),
            known: Arc::new(known),
            quarantine: DirectoryQuarantine::open(&settings.keep.quarantine).await?,
        })
    }

    /// Writes what is still to be written.
    pub async fn close(self) {
        let mut ledger = self.ledger;
        // A task that was ended may hold on to it for a moment.
        for _ in 0..200 {
            match Arc::try_unwrap(ledger) {
                Ok(ledger) => return ledger.close().await,
                Err(shared) => ledger = shared,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// How the last call of something went.
#[derive(Debug, Default)]
pub struct Health {
    failed: Mutex<Failed>,
}

#[derive(Debug, Default)]
struct Failed {
    now: bool,
    last: Option<String>,
}

impl Health {
    fn note<T>(&self, answer: Result<T>) -> Result<T> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Ok(_) => failed.now = false,
            // What another process or run holds or changed is no fault of the ledger.
            Err(error) if error.kind() == ErrorKind::Changed => failed.now = false,
            Err(error) => {
                failed.now = true;
                failed.last = Some(error.to_string());
            }
        }
        answer
    }

    /// Whether the last call failed.
    pub fn fails(&self) -> bool {
        let failed = self.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).now
    }

    /// The last failure, also where all is well since.
    pub fn last(&self) -> Option<String> {
        let failed = self.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).last.clone()
    }
}

/// A ledger or a quarantine whose health is noted.
pub struct Noted<T> {
    pub inner: T,
    pub health: Arc<Health>,
}

#[async_trait]
impl<L: Ledger> Ledger for Noted<L> {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        self.health
            .note(self.inner.claim(object, owner, lease).await)
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        self.health.note(self.inner.renew(ticket, lease).await)
    }

    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        self.health
            .note(self.inner.progress(ticket, object, mark).await)
    }

    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
        self.health
            .note(self.inner.finish(ticket, object, finished).await)
    }

    async fn release(&self, ticket: &Ticket) -> Result<()> {
        self.health.note(self.inner.release(ticket).await)
    }
}

#[async_trait]
impl<Q: Quarantine> Quarantine for Noted<Q> {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        let put = self.inner.put(entry).await;
        if put.is_ok() {
            let (reason, object) = (entry.reason, &entry.object.id);
            tracing::warn!(%reason, %object, detail = %entry.detail, "something was put in quarantine");
        }
        self.health.note(put)
    }
}
