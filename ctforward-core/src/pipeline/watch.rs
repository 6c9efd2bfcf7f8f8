use std::fmt;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::report::{End, FileCounts, Report};
use super::run::Run;

/// Looks at the books of a running pipeline; keeps nothing of it alive.
#[derive(Clone)]
pub struct Watch {
    run: Weak<Run>,
    since: Instant,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn of(run: &Arc<Run>) -> Self {
        Self {
            run: Arc::downgrade(run),
            since: Instant::now(),
        }
    }

    /// The books of the files decided so far, balanced as at the end; `None` where
    /// the pipeline is gone. Its `failures` are left out, and its `seconds` count
    /// from when this watch was made.
    ///
    /// It copies the table of accounts and regions: for once a second, not more.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let run = self.run.upgrade()?;
        let conflicting = run.batcher.conflicting();
        let state = run.state();
        let of = &state.report;
        let done = of.files;
        let files = FileCounts {
            seen: done.delivered + done.skipped + done.quarantined + done.failed,
            ..done
        };
        let filtered = state.filtered.iter();
        Some(Report {
            files,
            records: of.records,
            bytes: of.bytes,
            filtered_by: filtered.map(|(rule, n)| (rule.to_string(), *n)).collect(),
            skipped_because: of.skipped_because.clone(),
            without_time: of.without_time,
            conflicting,
            freshness: state.freshness.clone(),
            last_seen: state.last_seen.clone(),
            limit_reached: of.limit_reached,
            seconds: self.since.elapsed().as_secs_f64(),
            failures: Vec::new(),
            end: End::Running,
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use crate::pipeline::End;
    use crate::sink::MemorySink;
    use crate::source::{MemorySource, Merge, Source, SourceWatch};
    use crate::{Intake, ObjectId, Pipeline};

    /// Never has anything.
    struct Quiet;

    #[async_trait::async_trait]
    impl Source for Quiet {
        async fn next(&mut self) -> crate::Result<Option<Intake>> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_books_are_seen_while_it_runs_and_nothing_is_kept_alive() {
        let log = r#"{"Records":[{"eventName":"GetObject"},{"eventName":"PutObject"}]}"#;
        let files = MemorySource::new([(ObjectId::new("bucket", "log.json"), log.into())]);
        let sources: [(_, Box<dyn Source>); 2] = [
            (SourceWatch::new("files"), Box::new(files)),
            (SourceWatch::new("quiet"), Box::new(Quiet)),
        ];
        let pipeline = Pipeline::builder(Merge::new(sources), MemorySink::new())
            .build()
            .unwrap();
        let watch = pipeline.watch();
        let stop = CancellationToken::new();
        let run = tokio::spawn(pipeline.run(stop.clone()));
        let report = loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let report = watch.report().unwrap();
            assert!(report.balanced());
            if report.files.delivered == 1 {
                break report;
            }
        };
        assert!(matches!(report.end, End::Running));
        assert_eq!(report.records.accepted, 2);
        stop.cancel();
        run.await.unwrap();
        assert!(watch.report().is_none());
    }
}
