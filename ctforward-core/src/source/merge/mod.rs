//! Several sources at once, none of which keeps another waiting.

#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Intake, Source};
use crate::deliver::RetryPolicy;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::pipeline::unharmed;

pub use watch::{SourceStatus, SourceWatch};

/// Several sources beside each other, for what runs for ever.
///
/// - Whichever source has something first is heard first; none is asked twice
///   while another one's file waits.
/// - A source that fails, in whichever way, pauses by itself, each time for longer
///   and with jitter, and is asked again for ever. Its [`SourceWatch`] shows the
///   error, and the others go on.
/// - A source that is exhausted ends alone; all of them exhausted ends this one.
/// - A source that panicked ends too, but is never taken for exhausted: its watch shows
///   it ([`SourceStatus::broke`]), and once the others have ended, this one answers an
///   error, for good.
///
/// Each source is asked in a task of its own that goes on while `next` is not
/// called, so a slow listing is not begun anew with each file of its neighbour. At
/// most one file of each source waits to be taken; dropping this gives it back.
///
/// Needs the runtime of tokio.
pub struct Merge {
    /// Sources that are to be asked.
    idle: Vec<Member>,
    asked: JoinSet<(Member, Result<Result<Option<Intake>>>)>,
    retry: RetryPolicy,
    rng: fastrand::Rng,
    broken: bool,
}

struct Member {
    watch: SourceWatch,
    source: Box<dyn Source>,
    /// Failures in a row.
    failures: u32,
    /// Before it is asked again.
    pause: Option<Duration>,
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("sources", &(self.idle.len() + self.asked.len()))
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Merge {
    /// These sources, each with what shows how it is.
    pub fn new(sources: impl IntoIterator<Item = (SourceWatch, Box<dyn Source>)>) -> Self {
        let member = |(watch, source)| Member {
            watch,
            source,
            failures: 0,
            pause: None,
        };
        Self {
            idle: sources.into_iter().map(member).collect(),
            asked: JoinSet::new(),
            retry: RetryPolicy::default()
                .with_pauses(Duration::from_millis(500), Duration::from_secs(60)),
            rng: fastrand::Rng::new(),
            broken: false,
        }
    }

    /// The same with other pauses of sources that fail (by default up to half a
    /// second, doubled up to a minute). It never gives up, whatever the policy says.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.rng = policy.rng();
        self.retry = policy;
        self
    }

    fn ask(&mut self) {
        for mut member in self.idle.drain(..) {
            self.asked.spawn(async move {
                if let Some(pause) = member.pause.take() {
                    sleep(pause).await;
                }
                let next = unharmed(member.source.next()).await;
                (member, next)
            });
        }
    }

    /// A source failed: it is asked again, later.
    fn failed(&mut self, mut member: Member, error: &Error) {
        member.watch.failed(error);
        member.failures = member.failures.saturating_add(1);
        let own = self.retry.pause(member.failures, &mut self.rng);
        let pause = match error.retry() {
            // Never shortened; and those told the same do not all come at once.
            Retry::After(told) => told.saturating_add(own / 10),
            _ => own,
        };
        let name = member.watch.status().name;
        tracing::warn!(source = %name, %error, ?pause, "a source is asked again");
        member.pause = Some(pause);
        self.idle.push(member);
    }

    /// A source will never be asked again, and what it still had is not known.
    fn broke(&mut self, watch: Option<&SourceWatch>, fault: &Error) {
        self.broken = true;
        tracing::error!(%fault, "a source ends");
        if let Some(watch) = watch {
            watch.broke(fault);
        }
    }
}

#[async_trait]
impl Source for Merge {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            self.ask();
            let Some(answered) = self.asked.join_next().await else {
                return if self.broken { Err(fault()) } else { Ok(None) };
            };
            // Nothing is awaited from here on: what was answered is not lost.
            match answered {
                Ok((mut member, Ok(Ok(Some(intake))))) => {
                    member.failures = 0;
                    member.watch.handed_over();
                    self.idle.push(member);
                    return Ok(Some(intake));
                }
                Ok((member, Ok(Ok(None)))) => member.watch.ended(),
                Ok((member, Ok(Err(error)))) => self.failed(member, &error),
                Ok((member, Err(fault))) => self.broke(Some(&member.watch), &fault),
                // Only where the runtime ends.
                Err(_) => self.broke(None, &fault()),
            }
        }
    }
}

fn fault() -> Error {
    let message = "a source ended by a fault in the program";
    Error::new(ErrorKind::Other, "merge", message)
}
