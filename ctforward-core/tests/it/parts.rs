//! Scripted parts around a pipeline: they record what was asked of them, in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::quarantine::QuarantineEntry;
use ctforward_core::source::{Chunks, LogFile, Opened};
use ctforward_core::{
    Batch, BatchLimits, Delivery, Error, ErrorKind, Intake, Object, ObjectId, Open, Quarantine,
    Receipt, Result, Retry, Sink, Source,
};

/// What happened, in order, over all parts of one pipeline.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.lines()
            .iter()
            .filter(|l| l.starts_with(prefix))
            .count()
    }

    pub(crate) fn first(&self, prefix: &str) -> Option<usize> {
        self.lines().iter().position(|l| l.starts_with(prefix))
    }
}

/// One file of a scripted source.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) stored: Bytes,
    pub(crate) named: bool,
    /// Errors that opening answers before it works.
    pub(crate) open_errors: Vec<(ErrorKind, Retry)>,
    /// The body breaks off here, so many times.
    pub(crate) breaks: (usize, usize),
    /// The ETag of each opening; the last one stays.
    pub(crate) etags: Vec<&'static str>,
}

pub(crate) fn item(key: &str, stored: impl Into<Vec<u8>>) -> Item {
    Item {
        key: key.to_owned(),
        stored: Bytes::from(stored.into()),
        named: false,
        open_errors: Vec::new(),
        breaks: (0, 0),
        etags: vec!["e1"],
    }
}

pub(crate) struct Script {
    items: VecDeque<Item>,
    log: Log,
    /// Errors that `next` answers before it works.
    pub(crate) errors: Vec<(ErrorKind, Retry)>,
    /// Never exhausted: waits for ever behind the last item.
    pub(crate) endless: bool,
    /// Waits so long before each item.
    pub(crate) pace: Option<Duration>,
}

impl Script {
    pub(crate) fn new(items: impl IntoIterator<Item = Item>, log: &Log) -> Self {
        Self {
            items: items.into_iter().collect(),
            log: log.clone(),
            errors: Vec::new(),
            endless: false,
            pace: None,
        }
    }
}

#[async_trait]
impl Source for Script {
    async fn next(&mut self) -> Result<Option<Intake>> {
        if !self.errors.is_empty() {
            let (kind, retry) = self.errors.remove(0);
            return Err(Error::new(kind, "script", "scripted").with_retry(retry));
        }
        if let Some(pace) = self.pace.filter(|_| !self.items.is_empty()) {
            tokio::time::sleep(pace).await;
        }
        let Some(item) = self.items.pop_front() else {
            if self.endless {
                std::future::pending::<()>().await;
            }
            return Ok(None);
        };
        let object = Object::new(ObjectId::new("bucket", item.key.clone()));
        let receipt = Slip {
            key: item.key.clone(),
            log: self.log.clone(),
            done: false,
        };
        let named = item.named;
        let open = Opening {
            item,
            opened: AtomicUsize::new(0),
        };
        let file = LogFile::new(object, Arc::new(open), Box::new(receipt));
        Ok(Some(Intake::File(if named { file.named() } else { file })))
    }
}

struct Opening {
    item: Item,
    opened: AtomicUsize,
}

#[async_trait]
impl Open for Opening {
    async fn open(&self) -> Result<Opened> {
        let call = self.opened.fetch_add(1, Ordering::SeqCst);
        if let Some((kind, retry)) = self.item.open_errors.get(call) {
            return Err(Error::new(*kind, "script", "scripted").with_retry(*retry));
        }
        let call = call - self.item.open_errors.len();
        let breaks = (call < self.item.breaks.1).then_some(self.item.breaks.0);
        let etag = self.item.etags.get(call).or(self.item.etags.last());
        let size = self.item.stored.len() as u64;
        let chunks = Body {
            rest: self.item.stored.clone(),
            left: breaks,
        };
        Ok(Opened::new(Box::new(chunks))
            .with_etag(etag.map(|e| (*e).to_owned()))
            .with_size(Some(size)))
    }
}

struct Body {
    rest: Bytes,
    left: Option<usize>,
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.left == Some(0) {
            return Err(Error::new(ErrorKind::Unavailable, "script", "broke off")
                .with_retry(Retry::Backoff));
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let most = self.left.unwrap_or(usize::MAX).min(8192);
        let chunk = self.rest.split_to(self.rest.len().min(most));
        self.left = self.left.map(|left| left - chunk.len());
        Ok(Some(chunk))
    }
}

struct Slip {
    key: String,
    log: Log,
    done: bool,
}

#[async_trait]
impl Receipt for Slip {
    async fn accept(mut self: Box<Self>) -> Result<()> {
        self.done = true;
        self.log.say(format!("accept {}", self.key));
        Ok(())
    }

    async fn release(mut self: Box<Self>, why: &Error, after: Option<Duration>) -> Result<()> {
        self.done = true;
        let after = after.map_or(String::new(), |a| format!(" after {a:?}"));
        self.log.say(format!(
            "release {} {}{after}",
            self.key,
            why.kind().as_str()
        ));
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.done {
            self.log.say(format!("dropped {}", self.key));
        }
    }
}

/// A sink that answers as a closure says and keeps what it accepted.
pub(crate) struct Answering<F> {
    pub(crate) limits: BatchLimits,
    pub(crate) log: Log,
    pub(crate) taken: Arc<Mutex<Vec<String>>>,
    calls: AtomicUsize,
    answer: F,
}

/// `answer` is asked with the number of the call; `None` takes the batch.
pub(crate) fn answering<F>(log: &Log, answer: F) -> Answering<F>
where
    F: Fn(usize, &Batch) -> Option<Result<Delivery>> + Send + Sync,
{
    Answering {
        limits: BatchLimits::new(100_000),
        log: log.clone(),
        taken: Arc::default(),
        calls: AtomicUsize::new(0),
        answer,
    }
}

#[async_trait]
impl<F> Sink for Answering<F>
where
    F: Fn(usize, &Batch) -> Option<Result<Delivery>> + Send + Sync,
{
    fn limits(&self) -> BatchLimits {
        self.limits
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        assert!(
            batch.bytes()
                <= self
                    .limits
                    .bytes
                    .max(batch.body().len().min(self.limits.bytes))
        );
        assert!(batch.len() <= self.limits.records);
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let answer = (self.answer)(call, batch);
        let delivery = match answer {
            None => Delivery::accepted(),
            Some(answer) => answer?,
        };
        let mut taken = self.taken.lock().unwrap();
        for (index, record) in batch.records().enumerate() {
            let named = delivery.again.contains(&index)
                || delivery.rejected.iter().any(|r| r.index == index);
            if !named {
                taken.push(String::from_utf8(record.to_vec()).unwrap());
            }
        }
        self.log.say(format!("sink {}", batch.len()));
        Ok(delivery)
    }
}

/// A quarantine that logs each entry, and fails where told to.
pub(crate) struct Cell {
    pub(crate) log: Log,
    pub(crate) entries: Arc<Mutex<Vec<QuarantineEntry>>>,
    pub(crate) fails: bool,
}

impl Cell {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            entries: Arc::default(),
            fails: false,
        }
    }
}

#[async_trait]
impl Quarantine for Cell {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        if self.fails {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "cell",
                "the disk is full",
            ));
        }
        self.log.say(format!(
            "quarantine {} {}",
            entry.object.id.key, entry.reason
        ));
        self.entries.lock().unwrap().push(entry.clone());
        Ok(())
    }
}
