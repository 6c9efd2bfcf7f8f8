//! Reading the live entries, one after the other.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::folder::failed;
use super::line::{self, Id, Line, Nonce};
use super::scan::Lines;
use super::writer::lock;
use super::{Filter, Shared, ended};
use crate::error::Result;
use crate::quarantine::QuarantineEntry;

/// Entries that may be read ahead of whoever takes them.
const AHEAD: usize = 2;

/// A live entry of a quarantine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// Its identity.
    pub id: [u8; 32],
    /// The entry, with the highest attempt under which it was put.
    pub entry: QuarantineEntry,
    /// The puts by which it is live.
    pub(super) puts: Vec<Nonce>,
}

impl Stored {
    /// Its identity in hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        line::hex(&self.id)
    }
}

/// The live entries of a [`DirectoryQuarantine`](super::DirectoryQuarantine), read
/// as they are asked for.
///
/// Each comes once, as it was when the reading began or later; what is put
/// meanwhile need not come. Two entries are held at most.
pub struct Entries {
    shared: Arc<Shared>,
    filter: Filter,
    reading: Option<Reading>,
    damaged: u64,
    unknown: u64,
}

struct Reading {
    met: mpsc::Receiver<Met>,
    task: Option<tokio::task::JoinHandle<Result<()>>>,
}

enum Met {
    Entry(Box<Stored>),
    Damaged,
    Unknown,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("filter", &self.filter)
            .field("damaged", &self.damaged)
            .field("unknown", &self.unknown)
            .finish_non_exhaustive()
    }
}

impl Entries {
    pub(super) fn new(shared: Arc<Shared>, filter: Filter) -> Self {
        Self {
            shared,
            filter,
            reading: None,
            damaged: 0,
            unknown: 0,
        }
    }

    /// The next entry, or `None` behind the last.
    ///
    /// # Cancel safety
    /// A dropped call loses no entry.
    ///
    /// # Errors
    /// What kept a segment from being read. Nothing follows.
    pub async fn next(&mut self) -> Result<Option<Stored>> {
        let reading = self.reading.get_or_insert_with(|| {
            let (send, met) = mpsc::channel(AHEAD);
            let (shared, filter) = (Arc::clone(&self.shared), self.filter.clone());
            let task = tokio::task::spawn_blocking(move || read_all(&shared, &filter, &send));
            Reading {
                met,
                task: Some(task),
            }
        });
        while let Some(met) = reading.met.recv().await {
            match met {
                Met::Entry(stored) => return Ok(Some(*stored)),
                Met::Damaged => self.damaged += 1,
                Met::Unknown => self.unknown += 1,
            }
        }
        let Some(task) = &mut reading.task else {
            return Ok(None);
        };
        let done = task.await;
        reading.task = None;
        match done {
            Ok(done) => done.map(|()| None),
            Err(error) => Err(ended().with_source(error)),
        }
    }

    /// Lines met so far that are not what was written: something may be missing.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Lines met so far that a later version wrote.
    #[must_use]
    pub fn unknown(&self) -> u64 {
        self.unknown
    }
}

fn read_all(shared: &Shared, filter: &Filter, send: &mpsc::Sender<Met>) -> Result<()> {
    let mut done: HashSet<Id> = HashSet::new();
    let mut read: HashSet<String> = HashSet::new();
    for _ in 0..8 {
        let segments = {
            let mut writer = lock(&shared.writer);
            writer.refresh(&shared.index)?;
            writer.read_so_far()
        };
        let mut gone = false;
        for (name, end) in segments {
            if read.contains(&name) {
                continue;
            }
            let Some(file) = shared.folder.open_segment(&name)? else {
                gone = true;
                continue;
            };
            let going_on = read_segment(shared, file, end, filter, &mut done, send);
            if !going_on.map_err(|error| failed(&error, &shared.folder.path.join(&name)))? {
                return Ok(());
            }
            read.insert(name);
        }
        // Where a compaction took a segment away, its entries lie in a new one.
        if !gone {
            break;
        }
    }
    Ok(())
}

/// Hands over the entries of a segment; `false` where nobody takes them.
fn read_segment(
    shared: &Shared,
    file: File,
    end: u64,
    filter: &Filter,
    done: &mut HashSet<Id>,
    send: &mpsc::Sender<Met>,
) -> io::Result<bool> {
    let mut lines = Lines::new(file, 0, end)?;
    while let Some(text) = lines.next()? {
        let met = match line::read(text) {
            Line::Tombstone { .. } => continue,
            Line::Unknown => Met::Unknown,
            Line::Damaged => Met::Damaged,
            Line::Put { id, put } => {
                let puts = {
                    let index = lock(&shared.index);
                    if !index.is_best(&id, put.nonce) {
                        continue;
                    }
                    index.puts(&id)
                };
                if done.contains(&id) {
                    continue;
                }
                match line::entry(text) {
                    None => Met::Damaged,
                    Some(mut entry) => {
                        done.insert(id);
                        let tried = puts.iter().map(|put| put.attempt).max();
                        entry.attempt = tried.unwrap_or(entry.attempt);
                        if !filter.takes(&line::hex(&id), &entry) {
                            continue;
                        }
                        let puts = puts.into_iter().map(|put| put.nonce).collect();
                        Met::Entry(Box::new(Stored { id, entry, puts }))
                    }
                }
            }
        };
        if send.blocking_send(met).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
