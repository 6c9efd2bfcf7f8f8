//! A queue of files and messages in memory: what is released comes again, and each
//! opening and each receipt is logged.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::source::{Chunks, LogFile, Opened};
use ctforward_core::{
    Batch, BatchLimits, Delivery, Error, ErrorKind, Intake, Object, ObjectId, Open, Receipt,
    Result, Retry, Sink, Source,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::parts::Log;

/// One object of a [`Feed`].
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) bucket: &'static str,
    pub(crate) key: String,
    pub(crate) stored: Bytes,
    pub(crate) named: bool,
    /// What the source says of it before it is opened.
    pub(crate) announced: (Option<&'static str>, Option<u64>),
    pub(crate) etag: &'static str,
    /// Each opening fails so, one after the other.
    pub(crate) fails: Arc<Mutex<VecDeque<ErrorKind>>>,
    /// How long its receipt can be held.
    pub(crate) hold: Option<Duration>,
}

pub(crate) fn file(key: &str, stored: impl Into<Vec<u8>>) -> File {
    File {
        bucket: "bucket",
        key: key.to_owned(),
        stored: stored.into().into(),
        named: false,
        announced: (None, None),
        etag: "e1",
        fails: Arc::default(),
        hold: None,
    }
}

impl File {
    pub(crate) fn fails(mut self, kinds: impl IntoIterator<Item = ErrorKind>) -> Self {
        self.fails = Arc::new(Mutex::new(kinds.into_iter().collect()));
        self
    }

    pub(crate) fn named(mut self) -> Self {
        self.named = true;
        self
    }
}

/// What a [`Feed`] hands over.
#[derive(Clone)]
pub(crate) enum Thing {
    File(File),
    /// Something that is rightly no file, and why.
    Skip(&'static str),
    /// A message that nobody understands.
    Foreign(&'static [u8]),
    /// Nothing comes for so long.
    Wait(Duration),
}

/// Hands things over in their order.
pub(crate) struct Feed {
    queue: Arc<Queue>,
    log: Log,
    waits: Option<Instant>,
    /// What is released comes again, until all of it was accepted.
    pub(crate) returns: bool,
    /// Never exhausted.
    pub(crate) endless: bool,
}

#[derive(Default)]
struct Queue {
    things: Mutex<VecDeque<(Instant, Thing)>>,
    /// Handed over, and neither accepted nor come back.
    out: Mutex<usize>,
    changed: Notify,
}

impl Feed {
    pub(crate) fn new(things: impl IntoIterator<Item = Thing>, log: &Log) -> Self {
        let now = Instant::now();
        let queue = Queue {
            things: Mutex::new(things.into_iter().map(|thing| (now, thing)).collect()),
            ..Queue::default()
        };
        Self {
            queue: Arc::new(queue),
            log: log.clone(),
            waits: None,
            returns: false,
            endless: false,
        }
    }

    pub(crate) fn of(files: impl IntoIterator<Item = File>, log: &Log) -> Self {
        Self::new(files.into_iter().map(Thing::File), log)
    }

    fn slip(&self, name: String, thing: Thing, hold: Option<Duration>) -> Box<dyn Receipt> {
        *self.queue.out.lock().unwrap() += 1;
        Box::new(Slip {
            name,
            thing: self.returns.then_some(thing),
            until: hold.map(|hold| Instant::now() + hold),
            queue: Arc::clone(&self.queue),
            log: self.log.clone(),
            told: false,
        })
    }

    /// The next thing that is due, or when to look again, if ever.
    fn due(&self) -> Result<Thing, Option<Instant>> {
        let mut things = self.queue.things.lock().unwrap();
        let now = Instant::now();
        match things.iter().position(|(due, _)| *due <= now) {
            Some(place) => things.remove(place).map(|(_, thing)| thing).ok_or(None),
            None => Err(things.iter().map(|(due, _)| *due).min()),
        }
    }
}

#[async_trait]
impl Source for Feed {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            if let Some(until) = self.waits {
                tokio::time::sleep_until(until).await;
                self.waits = None;
            }
            let thing = match self.due() {
                Ok(thing) => thing,
                Err(at) => {
                    let out = *self.queue.out.lock().unwrap();
                    if at.is_none() && !self.endless && (out == 0 || !self.returns) {
                        return Ok(None);
                    }
                    let at = at.unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400));
                    tokio::select! {
                        () = self.queue.changed.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                    continue;
                }
            };
            return Ok(Some(match thing.clone() {
                Thing::Wait(pause) => {
                    self.waits = Some(Instant::now() + pause);
                    continue;
                }
                Thing::Skip(why) => Intake::Skip {
                    object: ObjectId::new("message", why),
                    why,
                    receipt: self.slip(format!("skip {why}"), thing, None),
                },
                Thing::Foreign(bytes) => Intake::Foreign {
                    bytes: Bytes::from_static(bytes),
                    reason: Error::new(ErrorKind::Malformed, "queue", "no notification"),
                    receipt: self.slip("foreign".to_owned(), thing, None),
                },
                Thing::File(file) => {
                    let mut object = Object::new(ObjectId::new(file.bucket, file.key.clone()));
                    object.etag = file.announced.0.map(str::to_owned);
                    object.size = file.announced.1;
                    let receipt = self.slip(file.key.clone(), thing, file.hold);
                    let (named, log) = (file.named, self.log.clone());
                    let file = LogFile::new(object, Arc::new(Opening { file, log }), receipt);
                    Intake::File(if named { file.named() } else { file })
                }
            }));
        }
    }
}

struct Opening {
    file: File,
    log: Log,
}

#[async_trait]
impl Open for Opening {
    async fn open(&self) -> Result<Opened> {
        self.log.say(format!("open {}", self.file.key));
        // As long as a request takes, or files would be read without any other task running.
        tokio::task::yield_now().await;
        let fails = self.file.fails.lock().unwrap().pop_front();
        if let Some(kind) = fails {
            let passes = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
            let retry = if passes { Retry::Backoff } else { Retry::Never };
            return Err(Error::new(kind, "feed", "scripted").with_retry(retry));
        }
        let size = self.file.stored.len() as u64;
        Ok(Opened::new(Box::new(Body(self.file.stored.clone())))
            .with_etag(Some(self.file.etag.to_owned()))
            .with_size(Some(size)))
    }
}

struct Body(Bytes);

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let length = self.0.len().min(4096);
        Ok((length > 0).then(|| self.0.split_to(length)))
    }
}

struct Slip {
    name: String,
    thing: Option<Thing>,
    until: Option<Instant>,
    queue: Arc<Queue>,
    log: Log,
    told: bool,
}

impl Slip {
    fn tell(&mut self, what: String, again: Option<Duration>) {
        self.told = true;
        self.log.say(what);
        *self.queue.out.lock().unwrap() -= 1;
        if let (Some(thing), Some(after)) = (self.thing.take(), again) {
            let mut things = self.queue.things.lock().unwrap();
            things.push_back((Instant::now() + after, thing));
        }
        self.queue.changed.notify_one();
    }
}

#[async_trait]
impl Receipt for Slip {
    fn hold_until(&self) -> Option<Instant> {
        self.until
    }

    async fn accept(mut self: Box<Self>) -> Result<()> {
        self.tell(format!("accept {}", self.name), None);
        Ok(())
    }

    async fn release(mut self: Box<Self>, why: &Error, after: Option<Duration>) -> Result<()> {
        let seconds = after.map_or(String::new(), |after| format!(" after {}", after.as_secs()));
        let what = format!("release {} {}{seconds}", self.name, why.kind().as_str());
        self.tell(what, Some(after.unwrap_or(Duration::from_secs(1))));
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.told {
            self.tell(format!("dropped {}", self.name), Some(Duration::ZERO));
        }
    }
}

/// A sink that takes its time.
pub(crate) struct Slow<S>(pub(crate) S, pub(crate) Duration);

#[async_trait]
impl<S: Sink> Sink for Slow<S> {
    fn limits(&self) -> BatchLimits {
        self.0.limits()
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        tokio::time::sleep(self.1).await;
        self.0.deliver(batch).await
    }
}
