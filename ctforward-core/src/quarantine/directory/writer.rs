//! The one that appends: it reads what other processes appended, then writes, then syncs.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::folder::{Folder, failed, is_gone};
use super::index::Index;
use super::line::{self, Id, Line, Nonce, Put};
use super::scan::Lines;
use crate::error::{Error, ErrorKind, Result};
use crate::quarantine::{Kept, QuarantineEntry, Resolution};

/// Something to be appended.
pub(super) enum Change {
    Put(Box<QuarantineEntry>),
    Resolve {
        id: Id,
        /// The puts that are resolved; all that are known where `None`.
        puts: Option<Vec<Nonce>>,
        outcome: Resolution,
    },
}

/// Appends to the segment of this process.
pub(super) struct Writer {
    folder: Folder,
    segment_bytes: u64,
    current: Option<Segment>,
    /// Up to which byte each segment was read, and is known to be durable.
    read: BTreeMap<String, u64>,
    /// A segment that was read is gone, so that the index says too much.
    stale: bool,
}

struct Segment {
    name: String,
    /// Locked as long as it is open.
    file: File,
    length: u64,
}

impl Writer {
    pub(super) fn new(folder: Folder, segment_bytes: u64) -> Self {
        Self {
            folder,
            segment_bytes,
            current: None,
            read: BTreeMap::new(),
            stale: false,
        }
    }

    /// Which segments there are, and up to where they were read.
    pub(super) fn read_so_far(&self) -> Vec<(String, u64)> {
        let read = self.read.iter();
        read.map(|(name, end)| (name.clone(), *end)).collect()
    }

    /// Reads what was appended to any segment since the last time.
    ///
    /// What is read is made durable first: whoever wrote it may not have come to
    /// that yet, and what is in the index is taken for kept.
    pub(super) fn refresh(&mut self, index: &Mutex<Index>) -> Result<()> {
        let mut names = self.folder.segments()?;
        let gone = |name: &String| names.binary_search(name).is_err();
        self.stale |= self.read.keys().any(gone);
        let mut fresh = Index::default();
        if self.stale {
            // Compacted, or deleted by hand: what is still there must be found again.
            self.read.clear();
        }
        let mut again = 0;
        loop {
            let mut gone = false;
            let new = names.iter().any(|name| !self.read.contains_key(name));
            if new {
                self.folder
                    .sync()
                    .map_err(|error| self.folder.failed(&error))?;
            }
            for name in &names {
                let from = self.read.get(name).copied().unwrap_or(0);
                let end = if self.stale {
                    self.read_segment(name, from, &mut fresh)?
                } else {
                    self.read_segment(name, from, &mut lock(index))?
                };
                match end {
                    Some(end) => {
                        self.read.insert(name.clone(), end);
                    }
                    None => gone = true,
                }
            }
            again += 1;
            if !gone || again > 8 {
                break;
            }
            // A compaction ran meanwhile: what it took away lies in a new segment.
            names = self.folder.segments()?;
        }
        if self.stale {
            *lock(index) = fresh;
            self.stale = false;
        }
        Ok(())
    }

    /// Reads a segment from a byte on; up to where, or `None` if it is gone.
    fn read_segment(&self, name: &str, from: u64, index: &mut Index) -> Result<Option<u64>> {
        let Some(file) = self.folder.open_segment(name)? else {
            return Ok(None);
        };
        let fail = |error: io::Error| failed(&error, &self.folder.path.join(name));
        let length = file.metadata().map_err(fail)?.len();
        if length <= from {
            return Ok(Some(from));
        }
        self.folder.disk.sync(&file).map_err(fail)?;
        let mut lines = Lines::new(file, from, length).map_err(fail)?;
        while let Some(text) = lines.next().map_err(fail)? {
            match line::read(text) {
                Line::Put { id, put } => index.put(id, put),
                Line::Tombstone { id, puts } => index.tombstone(&id, &puts),
                Line::Unknown | Line::Damaged => {}
            }
        }
        Ok(Some(lines.at()))
    }

    /// Appends and syncs; the answer to each change is whether anything changed.
    ///
    /// # Errors
    /// Where it failed, nothing of it may be acknowledged; some of it may be
    /// found in the segment all the same.
    pub(super) fn commit(&mut self, index: &Mutex<Index>, changes: &[Change]) -> Result<Vec<bool>> {
        self.refresh(index)?;
        let mut plan = Plan::default();
        let answers = {
            let index = lock(index);
            changes
                .iter()
                .map(|change| plan.add(&index, change))
                .collect()
        };
        if !plan.bytes.is_empty() {
            self.append(&plan.bytes)?;
            let mut index = lock(index);
            for line in plan.lines {
                match line {
                    Line::Put { id, put } => index.put(id, put),
                    Line::Tombstone { id, puts } => index.tombstone(&id, &puts),
                    Line::Unknown | Line::Damaged => {}
                }
            }
        }
        Ok(answers)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        // Whatever fails below, the segment ends: nothing is ever appended to
        // bytes of which it is not known how far they got.
        let segment = self.current.take();
        let full = |segment: &Segment| segment.length >= self.segment_bytes;
        let gone =
            |segment: &Segment| is_gone(&segment.file, &self.folder.path.join(&segment.name));
        let segment = match segment {
            Some(segment) if !full(&segment) && !gone(&segment).unwrap_or(true) => Some(segment),
            _ => None,
        };
        let mut segment = match segment {
            Some(segment) => segment,
            None => {
                let made = self.folder.create_segment();
                let (name, file) = made.map_err(|error| self.folder.failed(&error))?;
                Segment {
                    name,
                    file,
                    length: 0,
                }
            }
        };
        let path = self.folder.path.join(&segment.name);
        let disk = &self.folder.disk;
        let written = disk
            .write(&segment.file, bytes)
            .and_then(|()| disk.sync(&segment.file));
        if let Err(error) = written {
            // An empty file is nobody's; one with bytes in it may already be relied on.
            if segment.file.metadata().is_ok_and(|file| file.len() == 0) {
                let _ = std::fs::remove_file(&path);
            }
            return Err(failed(&error, &path));
        }
        if gone(&segment).map_err(|error| failed(&error, &path))? {
            let message = "the segment was deleted while it was written to";
            return Err(Error::new(ErrorKind::Unavailable, super::ORIGIN, message)
                .with_retry(crate::Retry::Backoff));
        }
        segment.length += bytes.len() as u64;
        self.read.insert(segment.name.clone(), segment.length);
        self.current = Some(segment);
        Ok(())
    }
}

/// The lines of one commit, and what they will have changed.
#[derive(Default)]
struct Plan {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// The live puts of the entries that it touches, as they will be.
    puts: HashMap<Id, Vec<Put>>,
}

impl Plan {
    fn add(&mut self, index: &Index, change: &Change) -> bool {
        match change {
            Change::Put(entry) => {
                let id = entry.id();
                let puts = self.puts.entry(id).or_insert_with(|| index.puts(&id));
                if puts.iter().any(|put| put.attempt >= entry.attempt) {
                    return false;
                }
                let put = Put {
                    bytes: matches!(entry.kept, Kept::Bytes(_)),
                    attempt: entry.attempt,
                    at: i64::try_from(entry.at.as_nanosecond()).unwrap_or(i64::MAX),
                    nonce: u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..)),
                };
                puts.push(put);
                line::write_put(entry, &id, put, &mut self.bytes);
                self.lines.push(Line::Put { id, put });
                true
            }
            Change::Resolve { id, puts, outcome } => {
                let live = self.puts.entry(*id).or_insert_with(|| index.puts(id));
                let named = |put: &Put| {
                    let named = puts.as_ref();
                    named.is_none_or(|named| named.contains(&put.nonce))
                };
                let ended: Vec<Nonce> = live.iter().filter(|p| named(p)).map(|p| p.nonce).collect();
                if ended.is_empty() {
                    return false;
                }
                live.retain(|put| !named(put));
                line::write_tombstone(id, &ended, *outcome, Timestamp::now(), &mut self.bytes);
                self.lines.push(Line::Tombstone {
                    id: *id,
                    puts: ended,
                });
                true
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
