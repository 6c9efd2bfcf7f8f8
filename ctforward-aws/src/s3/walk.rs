//! The way through a bucket: which listing comes next, and what of its page is wanted.
//!
//! A [`Walk`] is plain data. It asks for one page at a time and takes each page
//! as a whole or not at all, so a failed page is asked for again and no page is
//! lost or doubled, wherever the run is interrupted.

use std::sync::Arc;

use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Result};

use super::page::{Found, Lister, Page, Request, broken};
use super::scope::{Scope, Step, Want};
use super::stats::{StatsHandle, count};
use crate::error::ORIGIN;

/// One listing that is not finished.
#[derive(Debug)]
pub(crate) struct Listing {
    prefix: String,
    /// Whether it groups by folders, which are then judged one by one.
    folders: bool,
    start_after: Option<String>,
    /// The first key that is certainly too young: the listing ends there.
    stop_at: Option<String>,
    token: Option<String>,
    /// The last key of the page before.
    last: Option<String>,
}

impl Listing {
    /// A listing of everything below `prefix` that sorts behind `start_after`, or of
    /// its folders.
    pub(crate) fn new(prefix: String, folders: bool, start_after: Option<String>) -> Self {
        Self {
            prefix,
            folders,
            start_after,
            stop_at: None,
            token: None,
            last: None,
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Takes note of a page that came; whether there is another.
    pub(crate) fn advance(&mut self, page: &Page) -> bool {
        self.last = last_of(page).map(str::to_owned);
        self.token.clone_from(&page.token);
        self.token.is_some()
    }

    /// Its next page. Nothing of the listing changes: after an error, or when
    /// cancelled, the same page can be asked for again.
    pub(crate) async fn next_page(&self, lister: &Lister) -> Result<Page> {
        let page = lister.page(self.request()).await?;
        check(self, &page)?;
        Ok(page)
    }

    fn request(&self) -> Request<'_> {
        Request {
            prefix: &self.prefix,
            folders: self.folders,
            start_after: self.start_after.as_deref(),
            token: self.token.as_deref(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Walk {
    scope: Arc<Scope>,
    /// Depth first: at most one page of folders for each level of a path waits
    /// here, for each listing that runs at the same time.
    open: Vec<Listing>,
    stats: StatsHandle,
}

impl Walk {
    pub(crate) fn new(scope: Arc<Scope>, prefix: String, stats: StatsHandle) -> Self {
        let mut walk = Self {
            scope,
            open: Vec::new(),
            stats,
        };
        let folder = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
        let step = walk.scope.step(folder);
        walk.stats.entered(folder);
        walk.enter(step, prefix);
        walk
    }

    fn enter(&mut self, step: Step, prefix: String) {
        let (folders, start_after, stop_at) = match step {
            Step::Prune => {
                count(&self.stats.0.pruned_folders, 1);
                tracing::debug!(folder = %printable(&prefix), "a folder is left out");
                return;
            }
            Step::Folders => (true, None, None),
            Step::Flat {
                start_after,
                stop_at,
            } => (false, start_after, stop_at),
        };
        self.open.push(Listing {
            stop_at,
            ..Listing::new(prefix, folders, start_after)
        });
    }

    /// A listing whose next page is wanted. It is the caller's until it comes back,
    /// with its page to [`take`](Self::take) or without to [`put_back`](Self::put_back).
    pub(crate) fn begin(&mut self) -> Option<Listing> {
        self.open.pop()
    }

    pub(crate) fn put_back(&mut self, listing: Listing) {
        self.open.push(listing);
    }

    /// The wanted objects of a listing's page; what it leads to is noted.
    pub(crate) fn take(&mut self, mut listing: Listing, page: Page) -> Vec<Found> {
        count(&self.stats.0.keys, page.objects.len());
        let before = listing.last.take();
        listing.last = last_of(&page).map(str::to_owned);
        let past = |key: &str| listing.stop_at.as_deref().is_some_and(|stop| key >= stop);
        let ended = page.objects.last().is_some_and(|found| past(&found.key));

        let mut objects = page.objects;
        objects.retain(|found| !past(&found.key) && self.wanted(&found.key));

        listing.token = page.token;
        if listing.token.is_some() && !ended {
            self.open.push(listing);
        }
        // The last folder first onto the stack, so that they come in order.
        for folder in page.folders.into_iter().rev() {
            // Some servers show the folder at a page's end again on the next.
            if before.as_deref() != Some(folder.as_str()) {
                self.stats.entered(&folder);
                self.enter(self.scope.step(&folder), folder);
            }
        }
        objects
    }

    fn wanted(&self, key: &str) -> bool {
        let stats = &self.stats.0;
        match self.scope.want(key) {
            Want::Yes => true,
            Want::WithoutTime => {
                count(&stats.without_time, 1);
                true
            }
            Want::OutOfTime => {
                count(&stats.out_of_time, 1);
                false
            }
        }
    }
}

fn last_of(page: &Page) -> Option<&str> {
    let object = page.objects.last().map(|found| found.key.as_str());
    let folder = page.folders.last().map(String::as_str);
    object.max(folder)
}

/// Whether the page can be an answer to what was asked. What is noticed here
/// would otherwise be a listing without end, or one that ends too early.
fn check(listing: &Listing, page: &Page) -> Result<()> {
    let below = |key: &str| key.starts_with(&listing.prefix);
    if !page.objects.iter().all(|found| below(&found.key)) {
        return Err(broken("a listing has a key that was not asked for"));
    }
    let deeper = |folder: &String| {
        below(folder) && folder.len() > listing.prefix.len() && folder.ends_with('/')
    };
    if !page.folders.iter().all(deeper) {
        return Err(broken("a listing has a folder that was not asked for"));
    }
    if page.token.is_some() && page.token == listing.token {
        return Err(broken("a listing does not go on"));
    }
    if listing.stop_at.is_some() {
        let mut before = listing.last.as_deref();
        for found in &page.objects {
            if before.is_some_and(|before| before >= found.key.as_str()) {
                // Stopping at the first young key would lose what comes behind it.
                return Err(Error::new(
                    ErrorKind::Config,
                    ORIGIN,
                    "this server does not list keys in their order, so `until` cannot be \
                     relied on; list without it",
                ));
            }
            before = Some(&found.key);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
