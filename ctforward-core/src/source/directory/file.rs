//! Opening and reading one file, and seeing that it stays the same meanwhile.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::Bytes;

use super::{ORIGIN, Root, classify, shown};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Chunks, Open, Opened};

/// Bytes read at a time, off the runtime.
const CHUNK: u64 = 256 * 1024;

/// What tells whether a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) length: u64,
    /// Modification time in nanoseconds since 1970.
    modified: i128,
    /// Device and number on it.
    place: (u64, u64),
}

impl Facts {
    pub(super) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let place = (0, 0);
        let modified = metadata.modified().map_or(0, |time| {
            let nanoseconds = |d: std::time::Duration| i128::try_from(d.as_nanos()).unwrap_or(0);
            match time.duration_since(UNIX_EPOCH) {
                Ok(after) => nanoseconds(after),
                Err(before) => -nanoseconds(before.duration()),
            }
        });
        Self {
            length: metadata.len(),
            modified,
            place,
        }
    }

    pub(super) fn etag(&self) -> String {
        format!("{}-{}", self.modified, self.length)
    }
}

/// A file that the walk met.
pub(super) struct StoredFile {
    pub(super) path: PathBuf,
    pub(super) root: Arc<Root>,
    pub(super) facts: Facts,
}

#[async_trait]
impl Open for StoredFile {
    async fn open(&self) -> Result<Opened> {
        let (path, root) = (self.path.clone(), Arc::clone(&self.root));
        let found = self.facts.place;
        let opened = tokio::task::spawn_blocking(move || open(path, &root, found));
        let body = opened.await.map_err(|error| ended(&error))??;
        let (etag, size) = (body.facts.etag(), body.facts.length);
        Ok(Opened::new(Box::new(body))
            .with_etag(Some(etag))
            .with_size(Some(size)))
    }
}

fn open(path: PathBuf, root: &Root, found: (u64, u64)) -> Result<Body> {
    let fail = |error: io::Error| classify(&error, &path);
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // A link put in the file's place is not followed, and a pipe not waited for.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(&path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let facts = Facts::of(&metadata);
    // A folder on the way may have become a link since the walk passed it.
    let real = std::fs::canonicalize(&path).map_err(fail)?;
    if !metadata.is_file() || facts.place != found || !real.starts_with(&root.path) {
        return Err(changed(&path));
    }
    Ok(Body {
        file: Some(file),
        path,
        facts,
        read: 0,
    })
}

/// The content of an opened file.
struct Body {
    /// Away while a chunk is read.
    file: Option<File>,
    path: PathBuf,
    facts: Facts,
    read: u64,
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(file) = self.file.take() else {
            return Err(Error::new(
                ErrorKind::Other,
                ORIGIN,
                format!("{}: an earlier read did not end", shown(&self.path)),
            ));
        };
        // One byte more than is left, so that growth shows itself.
        let most = (self.facts.length - self.read).saturating_add(1).min(CHUNK);
        let chunk = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
            let read = (&file).take(most).read_to_end(&mut chunk);
            (file, read.map(|_| chunk))
        });
        let (file, chunk) = chunk.await.map_err(|error| ended(&error))?;
        let chunk = chunk.map_err(|error| classify(&error, &self.path))?;
        self.read += chunk.len() as u64;
        if self.read > self.facts.length {
            return Err(changed(&self.path));
        }
        if !chunk.is_empty() {
            self.file = Some(file);
            return Ok(Some(chunk.into()));
        }
        let (path, facts, read) = (self.path.clone(), self.facts, self.read);
        let same = tokio::task::spawn_blocking(move || same(&file, &path, facts, read));
        same.await.map_err(|error| ended(&error))??;
        Ok(None)
    }
}

/// At the end of the file: is it still the one that was opened, and at its path?
fn same(file: &File, path: &Path, facts: Facts, read: u64) -> Result<()> {
    let now = file.metadata().map_err(|error| classify(&error, path))?;
    let there = std::fs::symlink_metadata(path).map(|metadata| Facts::of(&metadata));
    if read == facts.length && Facts::of(&now) == facts && there.ok() == Some(facts) {
        Ok(())
    } else {
        Err(changed(path))
    }
}

fn changed(path: &Path) -> Error {
    Error::new(
        ErrorKind::Changed,
        ORIGIN,
        format!(
            "{} changed while it was read; it is left for the next run",
            shown(path)
        ),
    )
}

fn ended(error: &tokio::task::JoinError) -> Error {
    Error::new(
        ErrorKind::Cancelled,
        ORIGIN,
        format!("the reading task ended: {error}"),
    )
}
