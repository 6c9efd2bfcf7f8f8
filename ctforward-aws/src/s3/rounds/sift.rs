//! What of a page is handed on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ctforward_core::ledger::Known;
use ctforward_core::{Object, ObjectId};

use super::flight::Ticket;
use super::stats::Shared;
use crate::s3::page::{Lister, Page};
use crate::s3::scope::{Scope, Want};
use crate::s3::stats::count;

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

impl Parts {
    /// What of a page is wanted, not under way and not known to be finished.
    pub(super) async fn sift(
        &self,
        page: Page,
        folder: &Arc<str>,
        after: Option<&str>,
    ) -> Vec<Queued> {
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
