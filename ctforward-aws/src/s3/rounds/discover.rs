//! Which accounts and regions there are, by listing folders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::key::{Folder, Kind, Level};
use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind, Result};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::again::Again;
use super::stats::Shared;
use crate::error::ORIGIN;
use crate::s3::page::{Lister, Page};
use crate::s3::scope::Scope;
use crate::s3::stats::count;
use crate::s3::walk::Listing;

/// What there is to list.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    /// Folders of regions, each ending in `/`.
    pub(super) folders: BTreeSet<String>,
    /// Folders above them that could not be listed.
    pub(super) unlisted: BTreeMap<String, Error>,
    /// Requests that it took.
    pub(super) requests: u64,
}

/// What to do with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Its folders are to be looked at.
    Enter,
    /// Log files lie below it.
    List,
    /// It is not asked for, or of another service.
    Leave,
    /// It is not of the key layout.
    Outside,
}

/// Digests hold no records and would double the requests: they must be asked for.
pub(super) fn judge(scope: &Scope, folder: &str) -> Judged {
    let place = Folder::parse(folder);
    if !scope.enters(&place) || scope.kinds.is_empty() && place.kind == Some(Kind::Digest) {
        return Judged::Leave;
    }
    match place.level {
        Level::Root | Level::Organisation | Level::Account | Level::Kind => Judged::Enter,
        Level::Region => Judged::List,
        _ => Judged::Outside,
    }
}

/// Means of a discovery.
pub(super) struct Explorer<'e> {
    pub(super) lister: &'e Arc<Lister>,
    pub(super) scope: &'e Scope,
    pub(super) shared: &'e Shared,
    /// So many folders of regions are held at most.
    pub(super) most: usize,
    pub(super) pause: Duration,
}

struct Visit {
    listing: Listing,
    attempts: u32,
}

impl Explorer<'_> {
    /// Looks below `roots`, several folders at the same time. A folder that cannot be
    /// listed is tried again, then left and named; the others are listed.
    pub(super) async fn look(&self, roots: impl IntoIterator<Item = String>) -> Result<Discovery> {
        let mut found = Discovery::default();
        // Depth first: at most a page of folders waits here for each level of a path.
        let mut open = Vec::new();
        for root in roots {
            self.meet(root, &mut open, &mut found)?;
        }
        let mut again = Again::new(self.pause);
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.lister.parallel
                && let Some(visit) = again.due().or_else(|| open.pop())
            {
                let lister = Arc::clone(self.lister);
                found.requests += 1;
                let page = async move {
                    let page = visit.listing.next_page(&lister).await;
                    (visit, page)
                };
                running.spawn(page.in_current_span());
            }
            let came = match again.next() {
                None => match running.join_next().await {
                    None => return Ok(found),
                    Some(came) => came,
                },
                Some(due) => tokio::select! {
                    biased;
                    Some(came) = running.join_next() => came,
                    () = tokio::time::sleep_until(due) => continue,
                },
            };
            match came {
                Ok((visit, Ok(page))) => self.take(visit, page, &mut open, &mut found)?,
                Ok((mut visit, Err(error))) => {
                    visit.attempts += 1;
                    let attempts = visit.attempts;
                    if let Err(visit) = again.keep(visit, attempts, &error) {
                        let folder = visit.listing.prefix().to_owned();
                        tracing::warn!(folder = %printable(&folder), %error, "a folder is not listed");
                        found.unlisted.insert(folder, error);
                    }
                }
                Err(error) => {
                    let message = "a listing of folders was ended by a fault in the program";
                    return Err(Error::new(ErrorKind::Other, ORIGIN, message).with_source(error));
                }
            }
        }
    }

    fn take(
        &self,
        mut visit: Visit,
        page: Page,
        open: &mut Vec<Visit>,
        found: &mut Discovery,
    ) -> Result<()> {
        let more = visit.listing.advance(&page);
        count(&self.shared.outside, page.objects.len());
        if more {
            visit.attempts = 0;
            open.push(visit);
        }
        for folder in page.folders {
            self.meet(folder, open, found)?;
        }
        Ok(())
    }

    fn meet(&self, folder: String, open: &mut Vec<Visit>, found: &mut Discovery) -> Result<()> {
        self.lister.stats.entered(&folder);
        match judge(self.scope, &folder) {
            Judged::Enter => open.push(Visit {
                listing: Listing::new(folder, true, None),
                attempts: 0,
            }),
            Judged::List => {
                found.folders.insert(folder);
                if found.folders.len() > self.most {
                    return Err(Error::new(
                        ErrorKind::Config,
                        ORIGIN,
                        format!(
                            "there are more than {} folders of accounts and regions below the \
                             prefix; name accounts or regions, or raise that limit",
                            self.most
                        ),
                    ));
                }
            }
            Judged::Outside => count(&self.shared.outside, 1),
            Judged::Leave => count(&self.lister.stats.0.pruned_folders, 1),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_judged_by_their_place() {
        let all = Scope::default();
        let cases = [
            ("AWSLogs/", Judged::Enter),
            ("AWSLogs/o-a1b2c3d4e5/", Judged::Enter),
            ("x/AWSLogs/111122223333/", Judged::Enter),
            ("AWSLogs/111122223333/CloudTrail/", Judged::Enter),
            ("AWSLogs/111122223333/CloudTrail-New/", Judged::Enter),
            ("AWSLogs/111122223333/CloudTrail-Digest/", Judged::Leave),
            ("AWSLogs/111122223333/Config/", Judged::Leave),
            ("AWSLogs/111122223333/CloudTrail-Lake/", Judged::Leave),
            ("AWSLogs/111122223333/CloudTrail/us-east-1/", Judged::List),
            ("AWSLogs/111122223333/CloudTrail/x/", Judged::Outside),
            ("AWSLogs/not-an-account/", Judged::Outside),
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2026/",
                Judged::Outside,
            ),
        ];
        for (folder, judged) in cases {
            assert_eq!(judge(&all, folder), judged, "{folder}");
        }
        let narrow = Scope {
            kinds: ["CloudTrail-Digest".to_owned()].into(),
            ..Scope::default()
        };
        let digest = "AWSLogs/111122223333/CloudTrail-Digest/";
        assert_eq!(judge(&narrow, digest), Judged::Enter);
        let other = "AWSLogs/111122223333/CloudTrail/";
        assert_eq!(judge(&narrow, other), Judged::Leave);
    }
}
