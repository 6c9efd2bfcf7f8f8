//! What is kept between runs: the ledger, and the quarantine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ledger::SqliteLedger;
use ctforward_core::pipeline::PipelineBuilder;
use ctforward_core::quarantine::DirectoryQuarantine;
use ctforward_core::{Quarantine, QuarantineEntry};

use crate::args::Keep;
use crate::console::Naming;
use crate::failure::Failure;

/// The ledger and the quarantine, where they are asked for.
pub struct Memory {
    pub ledger: Option<Arc<SqliteLedger>>,
    quarantine: Option<DirectoryQuarantine>,
    folder: Option<PathBuf>,
}

impl Memory {
    /// Opens what is asked for. A ledger remembers a file as finished that holds
    /// refused records, so these are kept beside it unless told otherwise.
    pub async fn open(keep: &Keep, dry_run: bool) -> Result<Self, Failure> {
        if dry_run {
            return Ok(Self {
                ledger: None,
                quarantine: None,
                folder: None,
            });
        }
        let beside = keep.ledger.as_deref().map(beside);
        let folder = keep.quarantine.clone().or(beside);
        let ledger = match keep.ledger.clone() {
            None => None,
            Some(path) => {
                let opened = tokio::task::spawn_blocking(move || SqliteLedger::open(path)).await;
                let opened = opened.map_err(|error| Failure::work(error.to_string()))?;
                Some(Arc::new(opened?))
            }
        };
        let quarantine = match &folder {
            None => None,
            Some(folder) => Some(DirectoryQuarantine::open(folder).await?),
        };
        Ok(Self {
            ledger,
            quarantine,
            folder,
        })
    }

    /// Where what is not sent is kept, if it is.
    pub fn quarantine_folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Gives both to a pipeline.
    pub fn give(&self, builder: PipelineBuilder, keep: &Keep, naming: &Naming) -> PipelineBuilder {
        let mut builder = match &self.quarantine {
            None => builder.quarantine(naming.clone()),
            Some(quarantine) => builder.quarantine(KeptAndNamed {
                quarantine: quarantine.clone(),
                naming: naming.clone(),
            }),
        };
        if let Some(ledger) = &self.ledger {
            builder = builder.ledger(Arc::clone(ledger));
        }
        if let Some(bytes) = keep.copy_unreadable {
            builder = builder.copy_unreadable(bytes);
        }
        builder.file_hashes(keep.file_sha256)
    }

    /// Writes what is still to be written.
    pub async fn close(self) {
        let Some(mut ledger) = self.ledger else {
            return;
        };
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

/// `<ledger>.quarantine`
fn beside(ledger: &Path) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(".quarantine");
    name.into()
}

/// Keeps an entry, and then names it.
struct KeptAndNamed {
    quarantine: DirectoryQuarantine,
    naming: Naming,
}

#[async_trait]
impl Quarantine for KeptAndNamed {
    async fn put(&self, entry: &QuarantineEntry) -> ctforward_core::Result<()> {
        self.quarantine.put(entry).await?;
        self.naming.put(entry).await
    }
}
