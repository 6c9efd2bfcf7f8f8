//! Standard error while a progress bar may be on it, and the progress bar.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ObjectId;
use ctforward_core::pipeline::Progress;
use ctforward_core::quarantine::{Kept, Quarantine, QuarantineEntry};
use ctforward_core::text::printable;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::books::grouped;

/// Standard error, with a progress bar where it is a terminal.
#[derive(Clone, Debug)]
pub struct Console {
    bar: ProgressBar,
}

impl Console {
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        if std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// One line on standard error; what it holds from outside was made printable.
    pub fn line(&self, line: &str) {
        // Where nobody reads standard error any more, the work goes on.
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }

    /// Shows how far a pipeline is, until dropped.
    pub fn follow(&self, progress: Arc<Progress>) -> Following {
        let bar = self.bar.clone();
        let task = tokio::spawn(async move {
            let mut known = false;
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if progress.is_exhausted() && !known {
                    known = true;
                    bar.set_length(progress.files_seen());
                    let style = "{bar:30} {pos}/{len} files, {msg}";
                    if let Ok(style) = ProgressStyle::with_template(style) {
                        bar.set_style(style);
                    }
                }
                bar.set_position(progress.files_decided());
                let seconds = bar.elapsed().as_secs_f64().max(0.001);
                #[allow(clippy::cast_precision_loss, reason = "a rate for people to look at")]
                let rate = progress.bytes_inflated() as f64 / 1e6 / seconds;
                let records = grouped(progress.records_accepted());
                bar.set_message(if known {
                    format!("{records} records accepted, {rate:.1} MB/s")
                } else {
                    let files = grouped(progress.files_decided());
                    format!("{files} files, {records} records accepted, {rate:.1} MB/s")
                });
                bar.tick();
            }
        });
        Following {
            bar: self.bar.clone(),
            task,
        }
    }
}

pub struct Following {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

/// Names on standard error what could not be sent.
///
/// It keeps no copy, and need not: a folder or a bucket that was read keeps its
/// files, so each record stays where the line says it is.
#[derive(Clone, Debug)]
pub struct Naming {
    console: Console,
    dry_run: bool,
    count: Arc<AtomicU64>,
    /// Files named last.
    files: Arc<Mutex<VecDeque<ObjectId>>>,
}

/// How many records are named one by one. A file of nothing but bad records, made
/// to flood a disk with messages, has no more of them. What concerns a whole file
/// is always named, and so is the first bad record of each.
const NAMED: u64 = 10_000;

/// More than are read at the same time.
const LAST_FILES: usize = 512;

impl Naming {
    pub fn new(console: Console, dry_run: bool) -> Self {
        Self {
            console,
            dry_run,
            count: Arc::default(),
            files: Arc::default(),
        }
    }

    /// How many things were told to it.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Quarantine for Naming {
    async fn put(&self, entry: &QuarantineEntry) -> ctforward_core::Result<()> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let whole = matches!(entry.kept, Kept::Reference { length: 0, .. });
        let new = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let new = !files.contains(&entry.object.id);
            if new {
                files.truncate(LAST_FILES - 1);
                files.push_front(entry.object.id.clone());
            }
            new
        };
        if before == NAMED {
            self.console
                .line("from here on only the first record of each file is named; the report has the counts");
        }
        if before >= NAMED && !whole && !new {
            return Ok(());
        }
        let what = if self.dry_run {
            "would not be sent"
        } else {
            "not sent"
        };
        let place = match (entry.offset, &entry.kept) {
            (Some(offset), Kept::Bytes(bytes)) => {
                format!(" record at byte {offset}, {} bytes", bytes.len())
            }
            (Some(offset), Kept::Reference { length: 0, .. }) => {
                format!(" from byte {offset} on")
            }
            (Some(offset), Kept::Reference { length, .. }) => {
                format!(" record at byte {offset}, {length} bytes")
            }
            _ => " whole file".to_owned(),
        };
        let (id, reason) = (&entry.object.id, entry.reason);
        self.console.line(&format!(
            "{what}: {id}:{place}: {reason}: {}",
            printable(&entry.detail)
        ));
        Ok(())
    }
}
