//! Finding the object of an entry again.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::open::ORIGIN;
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;
use crate::source::{DirectorySource, Intake, Open, Opened, Source};
use crate::text::printable;

/// The means to open an object that an entry of a quarantine names.
///
/// What an entry names came from a source once, but may lie on a disk for long: an
/// implementation opens nothing else than the object named.
#[async_trait]
pub trait Reopen: Send + Sync {
    /// What opens this object; it is not opened yet.
    ///
    /// # Errors
    /// Why nothing of this bucket can be opened.
    async fn reopen(&self, object: &Object) -> Result<Arc<dyn Open>>;
}

#[async_trait]
impl<F> Reopen for F
where
    F: Fn(&Object) -> Option<Arc<dyn Open>> + Send + Sync,
{
    async fn reopen(&self, object: &Object) -> Result<Arc<dyn Open>> {
        self(object).ok_or_else(|| {
            let bucket = printable(&object.id.bucket);
            let message = format!("nothing is set up to open objects of {bucket} again");
            Error::new(ErrorKind::Config, ORIGIN, message)
        })
    }
}

/// What opens a file that a [`DirectorySource`] handed over; `None` where the
/// object is none of a folder.
#[must_use]
pub fn reopen_folder(object: &Object) -> Option<Arc<dyn Open>> {
    let folder = object.id.bucket.strip_prefix("file://")?;
    Some(Arc::new(FolderFile {
        folder: PathBuf::from(folder),
        key: object.id.key.clone(),
        shown: object.id.to_string(),
    }))
}

struct FolderFile {
    folder: PathBuf,
    key: String,
    shown: String,
}

#[async_trait]
impl Open for FolderFile {
    async fn open(&self) -> Result<Opened> {
        let path = self.folder.join(&self.key);
        let below = Path::new(&self.key)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let folder = self.folder.clone();
        let source = tokio::task::spawn_blocking(move || {
            // No link on the way leads out of the folder.
            let within = match (std::fs::canonicalize(&folder), std::fs::canonicalize(&path)) {
                (Ok(folder), Ok(path)) => path.starts_with(folder),
                // Why it cannot be opened is said below.
                _ => true,
            };
            (within, DirectorySource::new(path))
        });
        let (within, source) = source.await.map_err(|error| {
            Error::new(ErrorKind::Cancelled, ORIGIN, "the opening ended early").with_source(error)
        })?;
        if !below || !within {
            let message = format!("{} leads out of its folder", self.shown);
            return Err(Error::new(ErrorKind::Config, ORIGIN, message));
        }
        match source?.next().await? {
            Some(Intake::File(file)) => file.open.open().await,
            _ => {
                let message = format!("{} is no file any more", self.shown);
                Err(Error::new(ErrorKind::NotFound, ORIGIN, message))
            }
        }
    }
}
