//! One round after the other: what is listed, from which day on, and what of it is new.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ctforward_core::key::Folder;
use ctforward_core::ledger::Known;
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Object, ObjectId, Result};
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::again::Again;
use super::discover::{Discovery, Explorer};
use super::estimate::{RoundsEstimate, Terms};
use super::flight::Ticket;
use super::stats::Shared;
use crate::error::ORIGIN;
use crate::s3::page::{Lister, Page};
use crate::s3::scope::{Scope, Want, day, folder_of};
use crate::s3::stats::count;
use crate::s3::walk::Listing;

/// The time of day; injected for tests.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Settings of the rounds.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) interval: Duration,
    pub(super) refresh: Duration,
    pub(super) recent_days: u16,
    pub(super) deep_days: u16,
    pub(super) most_folders: usize,
    pub(super) list_budget: Option<u64>,
    pub(super) retry_pause: Duration,
    pub(super) clock: Clock,
}

/// What the listings of a round share.
pub(super) struct Parts {
    pub(super) lister: Arc<Lister>,
    pub(super) scope: Scope,
    pub(super) known: Option<Arc<dyn Known>>,
    pub(super) shared: Arc<Shared>,
}

/// A file that is to be handed on.
pub(super) struct Queued {
    pub(super) object: Object,
    pub(super) ticket: Ticket,
}

pub(super) enum Message {
    Page(Vec<Queued>),
    Failed(Error, Box<Engine>),
    Ended,
}

/// What is known of a folder of files.
#[derive(Clone, Copy, Default)]
struct Listed {
    /// The day in which it was last listed to its end.
    recent: Option<Date>,
    /// The same, far back.
    deep: Option<Date>,
}

/// All that goes from round to round.
pub(super) struct Engine {
    pub(super) plan: Plan,
    pub(super) parts: Arc<Parts>,
    /// Where discovery begins.
    pub(super) root: String,
    /// Rounds to go; `None`: without end.
    pub(super) left: Option<u64>,
    folders: BTreeMap<String, Listed>,
    unlisted: BTreeSet<String>,
    discovered: Option<Instant>,
    /// Requests of the last whole discovery.
    discovery: u64,
}

/// The listing of one folder in one round.
struct Work {
    folder: Arc<str>,
    listing: Listing,
    /// No key up to this one is wanted.
    after: Option<String>,
    day: Date,
    deep: bool,
    attempts: u32,
}

enum Came {
    Whole(Work),
    Failed(Work, Error),
    /// Nobody listens any more.
    Closed,
}

/// Nobody listens any more.
struct Closed;

impl Engine {
    pub(super) fn new(plan: Plan, parts: Parts, root: String, left: Option<u64>) -> Self {
        Self {
            plan,
            parts: Arc::new(parts),
            root,
            left,
            folders: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            discovered: None,
            discovery: 0,
        }
    }

    /// Round after round, until nobody listens or no round is left.
    pub(super) async fn run(mut self: Box<Self>, send: mpsc::Sender<Message>) {
        loop {
            let began = Instant::now();
            let last = match self.look_for_new().await {
                Err(error) => Message::Failed(error, self),
                Ok(()) => {
                    let Ok(failed) = self.round(&send).await else {
                        return;
                    };
                    self.ended(began);
                    match self.left.as_mut().map(|left| {
                        *left = left.saturating_sub(1);
                        *left
                    }) {
                        None | Some(1..) => {
                            if self.wait(began, &send).await.is_err() {
                                return;
                            }
                            continue;
                        }
                        // A round that did not list everything is no last one.
                        Some(0) => match failed {
                            None => Message::Ended,
                            Some(error) => {
                                self.left = Some(1);
                                Message::Failed(error, self)
                            }
                        },
                    }
                }
            };
            // An error here means that nobody listens any more.
            let _ = send.send(last).await;
            return;
        }
    }

    async fn wait(&self, began: Instant, send: &mpsc::Sender<Message>) -> Result<(), Closed> {
        tokio::select! {
            biased;
            () = send.closed() => Err(Closed),
            () = self.parts.shared.wake.notified() => Ok(()),
            () = tokio::time::sleep_until(began + self.plan.interval) => Ok(()),
        }
    }

    fn ended(&self, began: Instant) {
        let mut detail = self.parts.shared.detail();
        detail.rounds += 1;
        detail.last_round = Some((self.plan.clock)());
        detail.last_round_took = began.elapsed();
    }

    /// Looks for accounts and regions, where it is time to.
    ///
    /// # Errors
    /// Where nothing is known yet and nothing can be; later, what is known stays.
    pub(super) async fn look_for_new(&mut self) -> Result<()> {
        let Some(discovered) = self.discovered else {
            let found = self.look(BTreeSet::from([self.root.clone()])).await?;
            if let Some(error) = found.unlisted.get(&self.root) {
                return Err(error.duplicate());
            }
            self.discovery = found.requests;
            let names = found.folders.iter().map(String::as_str);
            self.check(&self.estimate(names, found.unlisted.len()))?;
            self.merge(found, true);
            return Ok(());
        };
        let whole = discovered.elapsed() >= self.plan.refresh;
        let roots = if whole {
            BTreeSet::from([self.root.clone()])
        } else if self.unlisted.is_empty() {
            return Ok(());
        } else {
            self.unlisted.clone()
        };
        match self.look(roots).await {
            Ok(found) => self.merge(found, whole),
            Err(error) => {
                tracing::warn!(%error, "the list of accounts and regions stays as it was");
                self.parts.shared.failed((self.plan.clock)(), &error);
                self.discovered = Some(Instant::now());
            }
        }
        Ok(())
    }

    async fn look(&self, roots: BTreeSet<String>) -> Result<Discovery> {
        self.today();
        let explorer = Explorer {
            lister: &self.parts.lister,
            scope: &self.parts.scope,
            shared: &self.parts.shared,
            most: self.plan.most_folders,
            pause: self.plan.retry_pause,
        };
        explorer.look(roots).await
    }

    fn merge(&mut self, found: Discovery, whole: bool) {
        let shared = Arc::clone(&self.parts.shared);
        if let Some(error) = found.unlisted.values().next() {
            shared.failed((self.plan.clock)(), error);
        }
        if whole {
            self.discovered = Some(Instant::now());
            self.discovery = found.requests;
            // What could not be looked at may still be there.
            if found.unlisted.is_empty() {
                self.folders
                    .retain(|folder, _| found.folders.contains(folder));
            }
        }
        for folder in found.folders {
            self.folders.entry(folder).or_default();
        }
        let kinds = found.unlisted.into_iter();
        let unlisted: BTreeMap<_, _> = kinds.map(|(name, error)| (name, error.kind())).collect();
        self.unlisted = unlisted.keys().cloned().collect();
        let names = self.folders.keys().map(String::as_str);
        let estimate = self.estimate(names, unlisted.len());
        let over = self.check(&estimate);
        if let Err(error) = &over {
            tracing::warn!(%error, "the rounds go on");
        }
        let mut detail = shared.detail();
        detail.over_budget = over.is_err();
        detail.estimate = Some(estimate);
        detail.folders = self.folders.len();
        detail
            .failing
            .retain(|folder, _| self.folders.contains_key(folder));
        detail.unlisted = unlisted;
    }

    fn estimate<'f>(
        &self,
        folders: impl Iterator<Item = &'f str>,
        unlisted: usize,
    ) -> RoundsEstimate {
        let (mut accounts, mut regions) = (BTreeSet::new(), BTreeSet::new());
        let mut count = 0;
        for place in folders.map(Folder::parse) {
            accounts.extend(place.account);
            regions.extend(place.region);
            count += 1;
        }
        let found = RoundsEstimate {
            accounts: accounts.len() as u64,
            regions: regions.len() as u64,
            folders: count,
            unlisted: unlisted as u64,
            ..RoundsEstimate::default()
        };
        found.complete(&Terms {
            interval: self.plan.interval,
            refresh: self.plan.refresh,
            discovery: self.discovery,
            page_size: u64::try_from(self.parts.lister.page_size).unwrap_or(1),
            recent_days: u64::from(self.plan.recent_days),
            deep_days: u64::from(self.plan.deep_days),
        })
    }

    fn check(&self, estimate: &RoundsEstimate) -> Result<()> {
        match self.plan.list_budget {
            Some(budget) if estimate.requests_a_day > budget => Err(Error::new(
                ErrorKind::Config,
                ORIGIN,
                format!(
                    "{estimate}; the budget is {budget}: choose a longer interval, fewer \
                     accounts, regions or kinds, or a larger budget"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// The UTC day by the clock.
    fn today(&self) -> Date {
        let today = day((self.plan.clock)());
        self.parts.shared.begins(today);
        today
    }

    /// Lists every folder once, several at the same time; the last failure, if there
    /// was one after which a folder was given up for this round.
    async fn round(&mut self, send: &mpsc::Sender<Message>) -> Result<Option<Error>, Closed> {
        let mut cursor: Option<String> = None;
        let mut again = Again::new(self.plan.retry_pause);
        let mut running = JoinSet::new();
        let mut failed = None;
        loop {
            while running.len() < self.parts.lister.parallel
                && let Some(work) = again.due().or_else(|| self.next(&mut cursor))
            {
                let list = list(work, Arc::clone(&self.parts), send.clone());
                running.spawn(list.in_current_span());
            }
            let came = match again.next() {
                None => match running.join_next().await {
                    None => break,
                    Some(came) => came,
                },
                Some(due) => tokio::select! {
                    biased;
                    Some(came) = running.join_next() => came,
                    () = tokio::time::sleep_until(due) => continue,
                },
            };
            match came {
                Ok(Came::Whole(work)) => self.listed(&work),
                Ok(Came::Failed(mut work, error)) => {
                    work.attempts += 1;
                    let attempts = work.attempts;
                    self.failing(&work, &error);
                    if again.keep(work, attempts, &error).is_err() {
                        failed = Some(error);
                    }
                }
                // It panicked and took its listing along: ending here without a word
                // is what the receiver reports as an error.
                Ok(Came::Closed) | Err(_) => return Err(Closed),
            }
        }
        let unlisted = || {
            let message = "not every account or region could be looked at";
            Error::new(ErrorKind::Unavailable, ORIGIN, message)
        };
        Ok(failed.or_else(|| (!self.unlisted.is_empty()).then(unlisted)))
    }

    /// The listing of the folder behind `cursor`.
    fn next(&mut self, cursor: &mut Option<String>) -> Option<Work> {
        let today = self.today();
        let behind = match cursor.as_deref() {
            Some(cursor) => Bound::Excluded(cursor),
            None => Bound::Unbounded,
        };
        let mut rest = self.folders.range_mut::<str, _>((behind, Bound::Unbounded));
        let (folder, listed) = rest.next()?;
        *cursor = Some(folder.clone());
        if self.parts.shared.flight.reopened(folder) {
            listed.deep = None;
        }
        let deep = listed.deep != Some(today);
        let back = |from: Date, days: i64| from.checked_sub(Span::new().days(days)).ok();
        let first = if deep {
            back(today, i64::from(self.plan.deep_days) - 1)
        } else {
            // Where it was not listed for days, from then on.
            let from = listed.recent.map_or(today, |recent| recent.min(today));
            back(from, i64::from(self.plan.recent_days) - 1)
        };
        // Keys of a day sort behind its name; the day before `since` is left out.
        let since = self.parts.scope.since.map(day);
        let first = first.max(since).and_then(folder_of);
        let after = first.map(|first| format!("{folder}{first}"));
        Some(Work {
            folder: folder.as_str().into(),
            listing: Listing::new(folder.clone(), false, after.clone()),
            after,
            day: today,
            deep,
            attempts: 0,
        })
    }

    fn listed(&mut self, work: &Work) {
        if let Some(listed) = self.folders.get_mut(work.listing.prefix()) {
            listed.recent = Some(work.day);
            if work.deep {
                listed.deep = Some(work.day);
            }
        }
        let mut detail = self.parts.shared.detail();
        detail.failing.remove(work.listing.prefix());
    }

    fn failing(&self, work: &Work, error: &Error) {
        let folder = work.listing.prefix();
        tracing::warn!(folder = %printable(folder), %error, "a folder was not listed to its end");
        let shared = &self.parts.shared;
        shared.failed((self.plan.clock)(), error);
        let mut detail = shared.detail();
        detail.failing.insert(folder.to_owned(), error.kind());
    }
}

/// Lists a folder from where it is.
async fn list(mut work: Work, parts: Arc<Parts>, send: mpsc::Sender<Message>) -> Came {
    loop {
        let page = match work.listing.next_page(&parts.lister).await {
            Ok(page) => page,
            Err(error) => return Came::Failed(work, error),
        };
        work.attempts = 0;
        let more = work.listing.advance(&page);
        let queued = parts.sift(page, &work.folder, work.after.as_deref()).await;
        if !queued.is_empty() && send.send(Message::Page(queued)).await.is_err() {
            return Came::Closed;
        }
        if !more {
            return Came::Whole(work);
        }
    }
}

impl Parts {
    /// What of a page is wanted, not under way and not known to be finished.
    async fn sift(&self, page: Page, folder: &Arc<str>, after: Option<&str>) -> Vec<Queued> {
        let shared = &self.shared;
        count(&self.lister.stats.0.keys, page.objects.len());
        let (mut queued, mut finished) = (Vec::new(), 0);
        for found in page.objects {
            if after.is_some_and(|after| found.key.as_str() <= after) {
                // A server that does not know `start-after`.
                continue;
            }
            if self.scope.want(&found.key) == Want::OutOfTime {
                count(&self.lister.stats.0.out_of_time, 1);
                continue;
            }
            let mut object = Object::new(ObjectId::new(&self.lister.bucket, found.key));
            object.etag = found.etag;
            object.size = found.size;
            object.storage_class = found.class;
            match shared.flight.take(&object, folder) {
                None => count(&shared.under_way_again, 1),
                Some(ticket) if ticket.is_finished() => finished += 1,
                Some(ticket) => queued.push(Queued { object, ticket }),
            }
        }
        let queued = match &self.known {
            Some(known) if !queued.is_empty() => self.ask(&**known, queued, &mut finished).await,
            _ => queued,
        };
        shared.finished.fetch_add(finished, Ordering::Relaxed);
        queued
    }

    /// What the ledger does not call finished; all of it where the ledger is in doubt.
    async fn ask(&self, known: &dyn Known, queued: Vec<Queued>, finished: &mut u64) -> Vec<Queued> {
        let (objects, tickets): (Vec<Object>, Vec<Ticket>) = queued
            .into_iter()
            .map(|one| (one.object, one.ticket))
            .unzip();
        let mut answers = match known.finished(&objects).await {
            Ok(answers) if answers.len() == objects.len() => answers,
            other => {
                if let Err(error) = other {
                    tracing::warn!(%error, "the ledger does not say what is finished");
                }
                count(&self.shared.unanswered, 1);
                Vec::new()
            }
        }
        .into_iter();
        let mut rest = Vec::new();
        for (object, ticket) in objects.into_iter().zip(tickets) {
            // Without an ETag nothing says that it is still the same file.
            if answers.next() == Some(true) && object.etag.is_some() {
                *finished += 1;
                ticket.finish();
            } else {
                rest.push(Queued { object, ticket });
            }
        }
        rest
    }
}
