//! Opening what is kept, and what was kept by reference.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::FRAGMENT;
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;
use crate::source::{Chunks, Open, Opened};

pub(super) const ORIGIN: &str = "redrive";

/// Takes note when the body was read to its end.
pub(super) struct Watched {
    pub(super) inner: Arc<dyn Open>,
    pub(super) read: Arc<AtomicBool>,
}

#[async_trait]
impl Open for Watched {
    async fn open(&self) -> Result<Opened> {
        let mut opened = self.inner.open().await?;
        opened.chunks = Box::new(WatchedChunks {
            inner: opened.chunks,
            read: Arc::clone(&self.read),
        });
        Ok(opened)
    }
}

struct WatchedChunks {
    inner: Box<dyn Chunks>,
    read: Arc<AtomicBool>,
}

#[async_trait]
impl Chunks for WatchedChunks {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let chunk = self.inner.next().await?;
        if chunk.is_none() {
            self.read.store(true, Ordering::Release);
        }
        Ok(chunk)
    }
}

/// One record, within a list of its own. What is known of its object stays: the
/// opened document has no ETag and no size.
pub(super) struct Fragment(pub(super) Bytes);

#[async_trait]
impl Open for Fragment {
    async fn open(&self) -> Result<Opened> {
        Ok(Opened::new(Box::new(pieces(self.0.clone()))))
    }
}

/// A list with this one record.
pub(super) fn pieces(record: Bytes) -> Pieces {
    let (before, behind) = FRAGMENT;
    let pieces = [
        Bytes::from_static(before),
        record,
        Bytes::from_static(behind),
    ];
    Pieces(pieces.into_iter())
}

pub(super) struct Pieces(std::array::IntoIter<Bytes, 3>);

#[async_trait]
impl Chunks for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.next())
    }
}

/// A copy of a whole file.
pub(super) struct Lying {
    pub(super) bytes: Bytes,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
}

#[async_trait]
impl Open for Lying {
    async fn open(&self) -> Result<Opened> {
        let body = Pieces([self.bytes.clone(), Bytes::new(), Bytes::new()].into_iter());
        Ok(Opened::new(Box::new(body))
            .with_etag(self.etag.clone())
            .with_size(self.size))
    }
}

/// A whole file, read from its object again.
pub(super) struct Whole {
    pub(super) inner: Arc<dyn Open>,
    pub(super) object: Object,
    /// Whether it may be another one by now.
    pub(super) changed: bool,
}

#[async_trait]
impl Open for Whole {
    async fn open(&self) -> Result<Opened> {
        let opened = self.inner.open().await.map_err(still_there)?;
        if !self.changed {
            same(&self.object, &opened)?;
        }
        Ok(opened)
    }
}

/// What is not to be had now is no other entry: the one that is kept stays as it is.
fn still_there(error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Archived => {
            Error::new(ErrorKind::Unavailable, ORIGIN, error.message().to_owned())
        }
        _ => error,
    }
}

/// An object that cannot be opened again.
pub(super) struct Failed(pub(super) Error);

#[async_trait]
impl Open for Failed {
    async fn open(&self) -> Result<Opened> {
        Err(self.0.duplicate())
    }
}

/// Whether an opened object is the one that went to quarantine, as far as its ETag says.
pub(super) fn same(object: &Object, opened: &Opened) -> Result<()> {
    match (&object.etag, &opened.etag) {
        (Some(then), Some(now)) if then != now => Err(changed(object, "it was rewritten since")),
        _ => Ok(()),
    }
}

pub(super) fn changed(object: &Object, how: &str) -> Error {
    Error::new(
        ErrorKind::Changed,
        ORIGIN,
        format!("{} is not what went to quarantine: {how}", object.id),
    )
}
