//! Sending again what lies in quarantine, while everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::deliver::{PacePolicy, PaceSink, Pacer, RefusalGuard, RetryPolicy};
use ctforward_core::pipeline::{End, PipelineLimits};
use ctforward_core::quarantine::{
    DirectoryQuarantine, Filter, Reason, Redrive, Reopen, reopen_folder,
};
use ctforward_core::read::ReadLimits;
use ctforward_core::stage::Redaction;
use ctforward_core::{Error, ErrorKind, Object, Open, Pipeline, Result, Sink};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::sources::Readers;
use crate::status::Redriven;

/// Without an accepted record for so long, a redrive is given up; its entries stay.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends entries of the quarantine again, one redrive at a time.
pub struct Redriver {
    pub quarantine: DirectoryQuarantine,
    pub sink: Arc<dyn Sink>,
    /// The pacer of the daemon's own pipeline: a redrive waits in its queue.
    pub pacer: Pacer,
    pub readers: Arc<Readers>,
    pub redaction: Option<Arc<Redaction>>,
    /// The redrive's share of what the daemon may hold and do at once.
    pub limits: PipelineLimits,
    pub read_limits: ReadLimits,
    pub max_record_bytes: usize,
    pub stop: CancellationToken,
    pub turn: Mutex<()>,
}

impl Redriver {
    /// Sends what there is of `reason`, or everything.
    pub async fn run(&self, reason: Option<String>) -> Result<Redriven> {
        let wanted = match &reason {
            None => Filter::new(),
            Some(name) => match Reason::named(name) {
                Some(reason) => Filter::new().reasons([reason]),
                None => {
                    let message = "there is no such reason";
                    return Err(Error::new(ErrorKind::Config, ORIGIN, message));
                }
            },
        };
        let _turn = self.turn.lock().await;
        if let Some(why) = self.pacer.why() {
            let message = format!(
                "the endpoint takes nothing at the moment: {}",
                why.message()
            );
            return Err(Error::new(ErrorKind::Unavailable, ORIGIN, message));
        }
        let source = Redrive::new(
            &self.quarantine,
            wanted.clone(),
            Objects(Arc::clone(&self.readers)),
        )
        .max_record_bytes(self.max_record_bytes as u64)
        // Only originals are kept: they are sent as the daemon sends now.
        .redacted(self.redaction.is_some());
        let counts = source.counts();
        let sink = PaceSink::new(Arc::clone(&self.sink), self.pacer.clone());
        let mut builder = Pipeline::builder(source, sink)
            .quarantine(self.quarantine.clone())
            .limits(self.limits)
            .read_limits(self.read_limits)
            // It is in quarantine already; one that is refused again keeps no other back.
            .refusal_guard(RefusalGuard::trusting())
            .pace(PacePolicy::default().with_ceiling(self.limits.deliveries))
            .retry(RetryPolicy::default().with_give_up_after(Some(PATIENCE)));
        if let Some(redaction) = &self.redaction {
            builder = builder.redactor(Arc::clone(redaction));
        }
        let report = builder.build()?.run(self.stop.child_token()).await;
        let mut remaining = 0;
        let mut entries = self.quarantine.entries(wanted);
        while entries.next().await?.is_some() {
            remaining += 1;
        }
        let mut notes = Vec::new();
        match &report.end {
            End::Failed(error) => notes.push(error.to_string()),
            End::Stopped => notes.push("the daemon ends".to_owned()),
            _ => {}
        }
        if counts.withheld() > 0 {
            let withheld = counts.withheld();
            notes.push(format!(
                "{withheld} are withheld: records were redacted when they were put aside, and are not now"
            ));
        }
        if counts.messages() > 0 {
            let messages = counts.messages();
            notes.push(format!("{messages} are messages, which are not sent"));
        }
        if let Some((object, error)) = report.failures.first() {
            notes.push(format!("{object}: {error}"));
        }
        tracing::info!(
            taken = counts.taken(),
            accepted = counts.accepted(),
            remaining,
            "a redrive ended"
        );
        Ok(Redriven {
            taken: counts.taken(),
            accepted: counts.accepted(),
            remaining,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    }
}

const ORIGIN: &str = "redrive";

/// Files of folders, and objects of the buckets that a source names.
struct Objects(Arc<Readers>);

#[async_trait]
impl Reopen for Objects {
    async fn reopen(&self, object: &Object) -> Result<Arc<dyn Open>> {
        if let Some(open) = reopen_folder(object) {
            return Ok(open);
        }
        match self.0.by_bucket.get(&object.id.bucket) {
            Some(reader) => Ok(reader.open_later(object.id.clone())),
            None => {
                let message = format!("no source reads from the bucket of {}", object.id);
                Err(Error::new(ErrorKind::Config, ORIGIN, message))
            }
        }
    }
}
