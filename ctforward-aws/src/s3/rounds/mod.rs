//! Log files of a bucket that sends no notifications, found by listing it again and again.

mod again;
mod builder;
mod discover;
mod estimate;
mod flight;
mod round;
mod stats;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Intake, LogFile, Result, Source};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::builder::S3SourceBuilder;
use super::reader::S3Reader;
use super::stats::count;
use crate::error::ORIGIN;

pub use builder::RoundsBuilder;
pub use estimate::RoundsEstimate;
pub use stats::{RoundsHandle, RoundsStats};

use round::{Engine, Message, Queued};
use stats::Shared;

/// The log files of a bucket that sends no notifications: listed round after round.
///
/// Made by [`Rounds::builder`]. Each round lists, for every account, kind and region,
/// the last two UTC days again, and the first round of a day the last 35, because
/// CloudTrail retries a delivery that failed for 30 days and puts the file where it
/// would have been. It never goes on from a *last key*: names end in random letters,
/// and late files exist. So a bucket needs a ledger: the source hands on what is not
/// known to be finished, and the pipeline's claim has the last word.
///
/// # Which files are handed on
/// - What waits or was handed on is not handed on again until its receipt was
///   accepted, released or dropped; what was not accepted comes with the next round,
///   which looks as far back for it as the first of a day.
/// - What the [`Known`](ctforward_core::ledger::Known) of
///   [`RoundsBuilder::known`] calls finished, with the ETag and size that are listed
///   now, is left out and counted in [`RoundsStats::finished`], so that a pipeline's
///   books do not count it in each round. A bounded set of these answers is kept in
///   memory; where it is too small, the ledger is asked again.
/// - A file rewritten under its key has another ETag and comes again.
///
/// # Which folders
/// `[prefix/]AWSLogs/[o-…/]<account>/<kind>/<region>/YYYY/MM/DD/`. Accounts, kinds and
/// regions are found by listing folders, several at the same time, and looked for
/// again each hour; what is found anew is listed 35 days back. Digests are left out
/// unless they are among the kinds asked for. What lies outside the layout is not
/// looked at: [`RoundsStats::outside`] counts what of it was met.
///
/// # Errors and going on
/// A listing that fails is tried again after a pause, while the others go on, and
/// after five attempts again in the next round, from the day of its last success on.
/// [`RoundsStats::failing`] and [`RoundsStats::denied`] show it; `next` fails only
/// where discovery cannot begin, or the budget does not allow it.
///
/// # Memory
/// The names of the folders, the keys under way, the set of finished files, and a
/// page for each listing under way; never all keys.
///
/// # Example
/// ```no_run
/// # use std::{sync::Arc, time::Duration};
/// # use ctforward_aws::S3Source;
/// # use ctforward_aws::s3::Rounds;
/// # use ctforward_core::ledger::MemoryLedger;
/// # async fn start(client: aws_sdk_s3::Client) -> ctforward_core::Result<()> {
/// let ledger = Arc::new(MemoryLedger::new());
/// let bucket = S3Source::builder(client, "trail").parallel_listings(16);
/// let mut rounds = Rounds::builder(bucket)
///     .interval(Duration::from_secs(900))
///     .list_budget(1_000_000)
///     .known(ledger)
///     .build()?;
/// println!("{}", rounds.estimate().await?);
/// let stats = rounds.stats();
/// # let _ = stats;
/// # Ok(())
/// # }
/// ```
pub struct Rounds {
    reader: S3Reader,
    shared: Arc<Shared>,
    state: State,
    page: std::vec::IntoIter<Queued>,
}

enum State {
    /// Not started, or stopped by an error.
    Paused(Box<Engine>),
    Running {
        pages: mpsc::Receiver<Message>,
        _task: AbortOnDropHandle<()>,
    },
    Exhausted,
    /// The task ended without a word (it panicked, or its runtime is gone).
    Lost,
}

impl Rounds {
    /// A source that lists the bucket of `source` in rounds.
    ///
    /// Of its settings, `prefix` is the trail's own (what comes before `AWSLogs/`) or
    /// a folder of the layout down to the region, `since` holds for every round,
    /// `parallel_listings` bounds the requests under way, and `until` is refused.
    pub fn builder(source: S3SourceBuilder) -> RoundsBuilder {
        RoundsBuilder::new(source)
    }

    fn new(engine: Engine, reader: S3Reader, shared: Arc<Shared>) -> Self {
        Self {
            reader,
            shared,
            state: State::Paused(Box::new(engine)),
            page: Vec::new().into_iter(),
        }
    }

    /// Finds the accounts and regions, where that was not done, and says how many LIST
    /// requests a day they take.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where that is more than the budget, or there are
    /// more folders than are held; what kept the root from being listed.
    ///
    /// # Cancel safety
    /// A dropped call has found nothing; call it again.
    pub async fn estimate(&mut self) -> Result<RoundsEstimate> {
        let known = self.shared.detail().estimate;
        if let State::Paused(engine) = &mut self.state
            && known.is_none()
        {
            engine.look_for_new().await?;
        }
        Ok(self.shared.detail().estimate.unwrap_or_default())
    }

    /// A handle that reads the counts, also after the source was given away.
    #[must_use]
    pub fn stats(&self) -> RoundsHandle {
        RoundsHandle(Arc::clone(&self.shared))
    }

    fn start(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|e| {
            Error::new(ErrorKind::Config, ORIGIN, "listing needs a Tokio runtime").with_source(e)
        })?;
        let State::Paused(engine) = std::mem::replace(&mut self.state, State::Lost) else {
            return Ok(());
        };
        // One page waits here, and one with each listing under way.
        let (send, pages) = mpsc::channel(1);
        let task = engine.run(send).in_current_span();
        self.state = State::Running {
            pages,
            _task: AbortOnDropHandle::new(runtime.spawn(task)),
        };
        Ok(())
    }

    fn intake(&self, queued: Queued) -> Intake {
        let Queued { object, ticket } = queued;
        let receipt = Box::new(ticket.hand_on());
        if object.id.key.ends_with('/') && object.size == Some(0) {
            return Intake::Skip {
                object: object.id,
                why: "folder object",
                receipt,
            };
        }
        count(&self.shared.files, 1);
        let open = self.reader.open_later(object.id.clone());
        Intake::File(LogFile::new(object, open, receipt))
    }
}

#[async_trait]
impl Source for Rounds {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            if let Some(queued) = self.page.next() {
                return Ok(Some(self.intake(queued)));
            }
            // The only wait is on the channel, which loses nothing when cancelled.
            let message = match &mut self.state {
                State::Running { pages, .. } => pages.recv().await,
                State::Exhausted => return Ok(None),
                State::Lost => {
                    let message = "the listing task ended without a word";
                    return Err(Error::new(ErrorKind::Other, ORIGIN, message));
                }
                State::Paused(_) => {
                    self.start()?;
                    continue;
                }
            };
            match message {
                Some(Message::Page(page)) => self.page = page.into_iter(),
                Some(Message::Failed(error, engine)) => {
                    self.state = State::Paused(engine);
                    return Err(error);
                }
                Some(Message::Ended) => self.state = State::Exhausted,
                None => self.state = State::Lost,
            }
        }
    }
}

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rounds")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
