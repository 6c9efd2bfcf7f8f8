//! The source: a walk in a task of its own, and the pages it hands over.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use ctforward_core::source::NoReceipt;
use ctforward_core::{Error, ErrorKind, Intake, LogFile, Object, ObjectId, Result, Source};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::builder::S3SourceBuilder;
use super::page::{Found, Lister};
use super::reader::S3Reader;
use super::stats::{StatsHandle, count};
use super::walk::Walk;
use crate::error::ORIGIN;

/// The log files of a bucket, found by listing it.
///
/// Made by [`S3Source::builder`]. A background task lists page by page; it starts
/// with the first [`next`](Source::next) and is aborted when the source is dropped.
/// The listing is never held as a whole: besides the page in hand, two pages wait
/// at most, and one for each further listing that runs at the same time.
///
/// # Errors and going on
/// A page that fails after the SDK's own retries is an error of `next`. Asking
/// again asks for the same page again: none is lost, and none comes twice. The
/// source says that it is exhausted only after every listing it began was read
/// to its end; a listing of one region that fails is never passed over.
///
/// # Which keys
/// Without `accounts`, `regions`, `kinds`, `since` and `until`, every object below
/// the prefix is handed over, whatever its name. With any of them the folders of
/// CloudTrail's key layout are walked, see [`S3SourceBuilder`].
pub struct S3Source {
    lister: Arc<Lister>,
    reader: S3Reader,
    state: State,
    page: std::vec::IntoIter<Found>,
}

enum State {
    /// Not started, or stopped by an error: goes on where it is.
    Paused(Box<Walk>),
    Running {
        pages: mpsc::Receiver<Message>,
        _task: AbortOnDropHandle<()>,
    },
    Exhausted,
    /// The task ended without a word (it panicked, or its runtime is gone).
    Lost,
}

enum Message {
    Page(Vec<Found>),
    Failed(Error, Box<Walk>),
    Exhausted,
}

impl S3Source {
    /// A source that lists `bucket` with `client`.
    ///
    /// The client decides region, credentials, endpoint and retries.
    pub fn builder(client: Client, bucket: impl Into<String>) -> S3SourceBuilder {
        S3SourceBuilder::new(client, bucket.into())
    }

    pub(crate) fn new(lister: Lister, reader: S3Reader, walk: Walk) -> Self {
        Self {
            lister: Arc::new(lister),
            reader,
            state: State::Paused(Box::new(walk)),
            page: Vec::new().into_iter(),
        }
    }

    /// A handle that reads the listing's counts, also after the source was given away.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        self.lister.stats.clone()
    }

    fn intake(&self, found: Found) -> Intake {
        let stats = &self.lister.stats.0;
        let id = ObjectId::new(&self.lister.bucket, found.key);
        if id.key.ends_with('/') && found.size == Some(0) {
            count(&stats.folder_objects, 1);
            return Intake::Skip {
                object: id,
                why: "folder object",
                receipt: Box::new(NoReceipt),
            };
        }
        count(&stats.files, 1);
        let open = self.reader.open_later(id.clone());
        let mut object = Object::new(id);
        object.etag = found.etag;
        object.size = found.size;
        object.storage_class = found.class;
        Intake::File(LogFile::new(object, open, Box::new(NoReceipt)))
    }
}

#[async_trait]
impl Source for S3Source {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            if let Some(found) = self.page.next() {
                return Ok(Some(self.intake(found)));
            }
            // The only wait is on the channel, which loses nothing when cancelled.
            let message = match &mut self.state {
                State::Running { pages, .. } => pages.recv().await,
                State::Exhausted => return Ok(None),
                State::Lost => return Err(lost()),
                State::Paused(_) => {
                    self.start()?;
                    continue;
                }
            };
            match message {
                Some(Message::Page(page)) => self.page = page.into_iter(),
                Some(Message::Failed(error, walk)) => {
                    self.state = State::Paused(walk);
                    return Err(error);
                }
                Some(Message::Exhausted) => self.state = State::Exhausted,
                None => self.state = State::Lost,
            }
        }
    }
}

impl S3Source {
    fn start(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Config, ORIGIN, "listing needs a Tokio runtime").with_source(e)
        })?;
        let State::Paused(walk) = std::mem::replace(&mut self.state, State::Lost) else {
            return Ok(());
        };
        // One page waits here while the task asks for the next ones.
        let (send, pages) = mpsc::channel(1);
        let list = list(walk, Arc::clone(&self.lister), send).in_current_span();
        self.state = State::Running {
            pages,
            _task: AbortOnDropHandle::new(runtime.spawn(list)),
        };
        Ok(())
    }
}

/// Lists until the end, an error, or until nobody listens.
async fn list(mut walk: Box<Walk>, lister: Arc<Lister>, send: mpsc::Sender<Message>) {
    let mut running = JoinSet::new();
    let mut failed = None;
    loop {
        while failed.is_none()
            && running.len() < lister.parallel
            && let Some(listing) = walk.begin()
        {
            let lister = Arc::clone(&lister);
            let page = async move {
                let page = listing.next_page(&lister).await;
                (listing, page)
            };
            running.spawn(page.in_current_span());
        }
        match running.join_next().await {
            Some(Ok((listing, Ok(page)))) => {
                let found = walk.take(listing, page);
                if !found.is_empty() && send.send(Message::Page(found)).await.is_err() {
                    return;
                }
            }
            // What else is under way is waited for: its pages are handed over, and
            // whoever receives the error receives a walk without holes.
            Some(Ok((listing, Err(error)))) => {
                tracing::debug!(%error, "a page of the listing failed");
                walk.put_back(listing);
                failed.get_or_insert(error);
            }
            // It panicked and took its listing along: ending here without a word is
            // what the receiver reports as an error.
            Some(Err(_)) => return,
            None => break,
        }
    }
    let last = match failed {
        Some(error) => Message::Failed(error, walk),
        None => Message::Exhausted,
    };
    // An error here means that nobody listens any more.
    let _ = send.send(last).await;
}

fn lost() -> Error {
    Error::new(
        ErrorKind::Other,
        ORIGIN,
        "the listing task ended before the listing did",
    )
}

impl fmt::Debug for S3Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Source")
            .field("bucket", &self.lister.bucket)
            .field("stats", &self.lister.stats.get())
            .finish_non_exhaustive()
    }
}
