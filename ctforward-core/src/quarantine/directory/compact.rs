//! Rewriting segments without what was resolved.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::ORIGIN;
use super::folder::{Folder, UNFINISHED, failed, is_gone};
use super::index::Index;
use super::line::{self, Line, Nonce};
use super::scan::Lines;
use crate::error::{Error, ErrorKind, Result, Retry};

/// Segments rewritten at once: each holds an open file.
const AT_ONCE: usize = 256;

/// What a compaction came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// Segments that were replaced.
    pub segments: u64,
    /// Their bytes.
    pub bytes_before: u64,
    /// Bytes of the segments in their place.
    pub bytes_after: u64,
    /// Segments left alone because a process has them open.
    pub in_use: u64,
    /// Damaged lines, kept as they are.
    pub damaged: u64,
    /// Lines that a later version wrote, kept as they are.
    pub unknown: u64,
}

/// The steps of a compaction, for tests that stop between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Locked,
    Written,
    Synced,
    Renamed,
    FolderSynced,
    Deleted,
}

type Stop<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

/// A segment that nobody appends to; locked as long as its file is open.
struct Closed {
    name: String,
    file: File,
    length: u64,
    /// Whether lines of it can go.
    spare: bool,
}

/// What all segments say together.
#[derive(Default)]
struct Seen {
    index: Index,
    /// Every put that is in some segment, live or not.
    puts: HashSet<Nonce>,
    /// Puts that were copied: a compaction that was stopped leaves them twice.
    copied: HashSet<Nonce>,
}

pub(super) fn compact(folder: &Folder, limit: u64, stop: Stop<'_>) -> Result<Compacted> {
    let fail = |error: io::Error| folder.failed(&error);
    let Some(_lock) = folder.lock_compaction()? else {
        let message = "another process is compacting this quarantine";
        return Err(Error::new(ErrorKind::Unavailable, ORIGIN, message).with_retry(Retry::Backoff));
    };
    for name in folder.names(UNFINISHED)? {
        // Nobody else compacts, so whoever wrote it was stopped.
        std::fs::remove_file(folder.path.join(name)).map_err(fail)?;
    }
    let mut done = Compacted::default();
    let (mut closed, mut seen) = survey(folder, &mut done)?;
    stop(Step::Locked).map_err(fail)?;
    for segment in &mut closed {
        segment.spare = has_spare(segment, &seen).map_err(fail)?;
    }
    // Many small segments become few, and one that is large and full of live
    // entries is left as it is.
    let small = |segment: &Closed| segment.length < limit / 4;
    closed.retain(|segment| segment.spare || small(segment));
    if !closed.iter().any(|segment| segment.spare) && closed.len() < 2 {
        return Ok(done);
    }
    let mut output = Output {
        folder,
        limit,
        made: Vec::new(),
        written: 0,
    };
    for segment in &closed {
        copy(segment, &mut seen, &mut output, &mut done)
            .map_err(|error| failed(&error, &folder.path.join(&segment.name)))?;
    }
    stop(Step::Written).map_err(fail)?;
    for (_, file) in &mut output.made {
        file.flush().map_err(fail)?;
        folder.disk.sync(file.get_ref()).map_err(fail)?;
        stop(Step::Synced).map_err(fail)?;
    }
    done.bytes_after = output.written;
    for (name, _) in &output.made {
        let Some(stem) = name.strip_suffix(".unfinished") else {
            continue;
        };
        let (from, to) = (folder.path.join(name), folder.path.join(stem));
        std::fs::rename(from, to).map_err(fail)?;
        stop(Step::Renamed).map_err(fail)?;
    }
    folder.sync().map_err(fail)?;
    stop(Step::FolderSynced).map_err(fail)?;
    for segment in closed {
        std::fs::remove_file(folder.path.join(&segment.name)).map_err(fail)?;
        done.segments += 1;
        done.bytes_before += segment.length;
        stop(Step::Deleted).map_err(fail)?;
    }
    folder.sync().map_err(fail)?;
    Ok(done)
}

/// Reads all segments, and finds those that nobody appends to.
fn survey(folder: &Folder, done: &mut Compacted) -> Result<(Vec<Closed>, Seen)> {
    let (mut closed, mut seen) = (Vec::new(), Seen::default());
    // The order matters: a tombstone is only dropped where the puts it names are
    // in no segment, and whoever wrote it saw them in one that is there by now.
    let names = folder.segments()?;
    folder.sync().map_err(|error| folder.failed(&error))?;
    for name in names {
        let path = folder.path.join(&name);
        let fail = |error: io::Error| failed(&error, &path);
        let Some(file) = folder.open_segment(&name)? else {
            continue;
        };
        let free = match file.try_lock() {
            Ok(()) => !is_gone(&file, &path).map_err(fail)?,
            Err(std::fs::TryLockError::WouldBlock) => false,
            Err(std::fs::TryLockError::Error(error)) => return Err(fail(error)),
        };
        let length = file.metadata().map_err(fail)?.len();
        // What is dropped for the sake of a tombstone must not outlive it.
        folder.disk.sync(&file).map_err(fail)?;
        let again = file.try_clone().map_err(fail)?;
        let mut lines = Lines::new(again, 0, length).map_err(fail)?;
        while let Some(text) = lines.next().map_err(fail)? {
            match line::read(text) {
                Line::Put { id, put } => {
                    seen.puts.insert(put.nonce);
                    seen.index.put(id, put);
                }
                Line::Tombstone { id, puts } => seen.index.tombstone(&id, &puts),
                Line::Unknown | Line::Damaged => {}
            }
        }
        if free && closed.len() < AT_ONCE {
            closed.push(Closed {
                name,
                file,
                length,
                spare: false,
            });
        } else {
            done.in_use += u64::from(!free);
        }
    }
    Ok((closed, seen))
}

impl Seen {
    /// Whether a line is still needed.
    fn needs(&self, line: &Line) -> bool {
        match line {
            // Not what was resolved, nor what a later put of the same entry covers.
            Line::Put { id, put } => self.index.needs(id, *put),
            // As long as a put that it names may be read, also for the time in
            // which old and new segments lie side by side.
            Line::Tombstone { puts, .. } => puts.iter().any(|put| self.puts.contains(put)),
            Line::Unknown | Line::Damaged => true,
        }
    }
}

fn has_spare(segment: &Closed, seen: &Seen) -> io::Result<bool> {
    let mut lines = Lines::new(segment.file.try_clone()?, 0, segment.length)?;
    while let Some(text) = lines.next()? {
        if !seen.needs(&line::read(text)) {
            return Ok(true);
        }
    }
    // Bytes behind the last line were never acknowledged.
    Ok(lines.at() < segment.length)
}

/// Copies the lines that are needed, byte for byte.
fn copy(
    segment: &Closed,
    seen: &mut Seen,
    output: &mut Output<'_>,
    done: &mut Compacted,
) -> io::Result<()> {
    let mut lines = Lines::new(segment.file.try_clone()?, 0, segment.length)?;
    while let Some(text) = lines.next()? {
        let line = line::read(text);
        match line {
            Line::Unknown => done.unknown += 1,
            Line::Damaged => done.damaged += 1,
            Line::Put { put, .. } if !seen.copied.insert(put.nonce) => continue,
            Line::Put { .. } | Line::Tombstone { .. } => {}
        }
        if seen.needs(&line) {
            output.line(text)?;
        }
    }
    Ok(())
}

struct Output<'a> {
    folder: &'a Folder,
    limit: u64,
    made: Vec<(String, BufWriter<File>)>,
    written: u64,
}

impl Output<'_> {
    fn line(&mut self, text: &[u8]) -> io::Result<()> {
        let begun = (self.made.len() as u64).saturating_mul(self.limit.max(1));
        if self.made.is_empty() || self.written >= begun {
            let (name, file) = self.folder.create(UNFINISHED)?;
            self.made.push((name, BufWriter::new(file)));
        }
        if let Some((_, file)) = self.made.last_mut() {
            file.write_all(text)?;
            file.write_all(b"\n")?;
            self.written += text.len() as u64 + 1;
        }
        Ok(())
    }
}
