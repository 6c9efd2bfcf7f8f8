use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::read::LedgerReader;
use super::row::RowState;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Known;
use crate::object::Object;

/// A [`LedgerReader`] that is asked off the runtime, for a source that runs for long.
#[derive(Clone, Debug)]
pub struct LedgerKnown(Arc<Mutex<LedgerReader>>);

impl LedgerKnown {
    /// Opens the ledger for reading; it must have been made before.
    ///
    /// # Errors
    /// As [`LedgerReader::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(LedgerReader::open(path)?))
    }

    /// Asks this reader.
    #[must_use]
    pub fn new(reader: LedgerReader) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }
}

#[async_trait]
impl Known for LedgerKnown {
    async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
        let reader = Arc::clone(&self.0);
        let objects = objects.to_vec();
        let asked = tokio::task::spawn_blocking(move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let finished = |object| {
                let state = reader.state(object)?;
                Ok(matches!(
                    state,
                    Some(RowState::Delivered | RowState::Quarantined)
                ))
            };
            objects.iter().map(finished).collect()
        });
        asked.await.unwrap_or_else(|error| {
            let message = "the ledger was not read to the end";
            Err(Error::new(ErrorKind::Other, "ledger", message).with_source(error))
        })
    }
}
