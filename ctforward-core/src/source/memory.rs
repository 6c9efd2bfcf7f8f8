use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Chunks, Intake, LogFile, Open, Opened, Receipt, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::object::{Object, ObjectId};

/// Log files in memory, for tests and examples.
pub struct MemorySource {
    files: VecDeque<(ObjectId, Bytes)>,
    chunk: usize,
    receipts: Receipts,
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySource")
            .field("left", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl MemorySource {
    /// These files, in this order.
    pub fn new(files: impl IntoIterator<Item = (ObjectId, Bytes)>) -> Self {
        Self {
            files: files.into_iter().collect(),
            chunk: 64 * 1024,
            receipts: Receipts::default(),
        }
    }

    /// The same source, with bodies in chunks of so many bytes (default 64 KiB).
    #[must_use]
    pub fn with_chunk(mut self, bytes: usize) -> Self {
        self.chunk = bytes.max(1);
        self
    }

    /// What becomes of the files, to be looked at while and after a pipeline runs.
    #[must_use]
    pub fn receipts(&self) -> Receipts {
        self.receipts.clone()
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn next(&mut self) -> Result<Option<Intake>> {
        let Some((id, bytes)) = self.files.pop_front() else {
            return Ok(None);
        };
        let receipt = MemoryReceipt {
            id: id.clone(),
            receipts: self.receipts.clone(),
        };
        let body = Body {
            rest: bytes,
            chunk: self.chunk,
        };
        let object = Object::new(id).with_size(body.rest.len() as u64);
        Ok(Some(Intake::File(LogFile::new(
            object,
            Arc::new(body),
            Box::new(receipt),
        ))))
    }
}

#[derive(Clone)]
struct Body {
    rest: Bytes,
    chunk: usize,
}

#[async_trait]
impl Open for Body {
    async fn open(&self) -> Result<Opened> {
        let size = self.rest.len() as u64;
        Ok(Opened::new(Box::new(self.clone())).with_size(Some(size)))
    }
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let length = self.chunk.min(self.rest.len());
        Ok(Some(self.rest.split_to(length)))
    }
}

/// What became of the files of a [`MemorySource`].
#[derive(Clone, Debug, Default)]
pub struct Receipts(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    accepted: Vec<ObjectId>,
    released: Vec<(ObjectId, ErrorKind)>,
}

impl Receipts {
    /// Files that need not come again.
    #[must_use]
    pub fn accepted(&self) -> Vec<ObjectId> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.accepted.clone()
    }

    /// Files that should come again, and why.
    #[must_use]
    pub fn released(&self) -> Vec<(ObjectId, ErrorKind)> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.released.clone()
    }
}

struct MemoryReceipt {
    id: ObjectId,
    receipts: Receipts,
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn accept(self: Box<Self>) -> Result<()> {
        let mut told = self
            .receipts
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        told.accepted.push(self.id.clone());
        Ok(())
    }

    async fn release(self: Box<Self>, why: &Error, _after: Option<Duration>) -> Result<()> {
        let mut told = self
            .receipts
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        told.released.push((self.id.clone(), why.kind()));
        Ok(())
    }
}
