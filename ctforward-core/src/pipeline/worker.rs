//! Reading one file: open, inflate, split, stages, batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::batcher::Line;
use super::held::{Bad, Element, Held};
use super::run::Run;
use super::track::{ReadEnd, Track, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyClass, classify};
use crate::ledger::Resume;
use crate::quarantine::{FRAGMENT, Kept, QuarantineEntry, Reason};
use crate::read::{self, LogReader, ReadError, Step};
use crate::source::{Open, Opened};
use crate::stage::Verdict;

/// Reads one file and hands its records on.
pub(super) struct Worker {
    run: Arc<Run>,
    track: Arc<Track>,
    open: Arc<dyn Open>,
    named: bool,
    /// Where the record lies that is read alone, if it is.
    fragment: Option<u64>,
    resume: Resume,
    /// Every record that starts before this was dealt with, in this run.
    dealt_with: u64,
    /// The ETag and size with which the file was first opened.
    first: Option<(Option<String>, Option<u64>)>,
    /// What is held back until the file's end was checked.
    held: Held,
    /// The file is larger than what is held back: records go on as they are read.
    streaming: bool,
    /// A record that was made one line.
    line: Vec<u8>,
}

impl Worker {
    pub(super) fn new(
        run: Arc<Run>,
        track: Arc<Track>,
        open: Arc<dyn Open>,
        named: bool,
        resume: Resume,
    ) -> Self {
        Self {
            run,
            track,
            open,
            named,
            fragment: None,
            resume,
            dealt_with: 0,
            first: None,
            held: Held::default(),
            streaming: false,
            line: Vec::new(),
        }
    }

    /// The same worker for one record that lies at this place in the object.
    pub(super) fn fragment(mut self, fragment: Option<u64>) -> Self {
        self.fragment = fragment;
        self
    }

    /// Reads the file, trying again what may pass, and says how it ended.
    pub(super) async fn read(mut self) -> ReadEnd {
        let mut attempt = 0;
        loop {
            let error = match self.attempt().await {
                Ok(end) => return end,
                Err(error) => error,
            };
            attempt += 1;
            // An object that was announced may be a moment late.
            let again = error.is_retryable() || error.kind() == ErrorKind::NotFound;
            if again && attempt <= self.run.limits.read_retries && !self.run.stop.is_cancelled() {
                let pause = match error.retry() {
                    crate::Retry::After(told) => told,
                    _ => self.run.pause(attempt),
                };
                tracing::debug!(%error, attempt, ?pause, "a file is read again");
                tokio::select! {
                    biased;
                    () = self.run.stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => continue,
                }
            }
            // Of an object whose retries were cut short nothing is known.
            let cut_short = again && self.run.stop.is_cancelled();
            return match error.kind() {
                _ if cut_short => self.give_back(stopped()),
                // What cannot be read is not the object, and whoever keeps the record goes on keeping it.
                _ if self.fragment.is_some() => self.give_back(error),
                ErrorKind::NotFound => self.unreadable(Reason::Missing, &error),
                ErrorKind::Archived => self.unreadable(Reason::Archived, &error),
                _ => self.give_back(error),
            };
        }
    }

    /// One reading from the first byte.
    async fn attempt(&mut self) -> Result<ReadEnd> {
        let stop = self.run.stop.clone();
        let mut opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(self.give_back(stopped())),
            opened = self.open.open() => opened?,
        };
        self.held = Held::default();
        self.recognise(&opened)?;
        let resume_at = self
            .resume
            .mark_for(opened.etag.as_deref(), opened.size)
            .low_water;
        let mut reader = LogReader::with_limits(self.run.read_limits);
        let (mut stored, mut inflated) = (0, 0);
        let end = loop {
            let marks = Marks {
                dealt_with: self.dealt_with,
                resume_at,
            };
            match next_element(&self.run, &mut reader, &mut self.line, marks) {
                Ok(Next::Element(offset, element)) => {
                    let failed = if self.streaming {
                        hand_on(
                            &self.run,
                            &self.track,
                            place(self.fragment, offset),
                            element,
                        )
                        .await
                    } else {
                        self.held.take(offset, element);
                        None
                    };
                    match failed {
                        Some(error) => break ReadEnd::Release(error),
                        None if self.streaming => self.dealt_with = offset + 1,
                        None => {}
                    }
                }
                Ok(Next::NeedInput) => {
                    let chunk = tokio::select! {
                        biased;
                        () = stop.cancelled() => break ReadEnd::Release(stopped()),
                        chunk = opened.chunks.next() => chunk?,
                    };
                    match chunk {
                        Some(chunk) => reader.push(chunk),
                        None => reader.finish(),
                    }
                }
                Ok(Next::Working) => {}
                Ok(Next::End) => break ReadEnd::Complete,
                Err(error) => {
                    self.count(&reader, &mut stored, &mut inflated);
                    drop(opened);
                    self.unchanged().await?;
                    if self.fragment.is_some() {
                        return Ok(self.give_back(Error::from(error)));
                    }
                    return Ok(self.read_error(&error));
                }
            }
            if reader.inflated_bytes() > inflated {
                self.count(&reader, &mut stored, &mut inflated);
                // At most 64 KiB were inflated and split since the last time.
                tokio::task::yield_now().await;
                if stop.is_cancelled() {
                    break ReadEnd::Release(stopped());
                }
                if let Some(error) = self.track.failed() {
                    break ReadEnd::Release(error);
                }
                if !self.streaming && inflated > self.run.hold_complete as u64 {
                    self.streaming = true;
                    if let Err(error) = self.let_go().await {
                        break ReadEnd::Release(error);
                    }
                }
            }
        };
        self.count(&reader, &mut stored, &mut inflated);
        Ok(match end {
            ReadEnd::Complete => match self.let_go().await {
                Ok(()) => ReadEnd::Complete,
                Err(error) => ReadEnd::Release(error),
            },
            ReadEnd::Release(error) => self.give_back(error),
            end => end,
        })
    }

    /// Takes note of what the opened file is, and that it is the one opened before.
    fn recognise(&mut self, opened: &Opened) -> Result<()> {
        let identity = (opened.etag.clone(), opened.size);
        match &self.first {
            Some(first) if self.dealt_with > 0 && *first != identity => {
                return Err(Error::new(
                    ErrorKind::Changed,
                    "pipeline",
                    format!("{} was replaced while it was read", self.track.object().id),
                ));
            }
            _ => {
                self.track.opened(opened.etag.clone(), opened.size);
                self.first = Some(identity);
            }
        }
        Ok(())
    }

    /// Hands on what was held back, in the order of the file.
    async fn let_go(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        self.dealt_with = self.dealt_with.max(held.next);
        let filtered = held.filtered.values().sum::<u64>();
        self.track.book(|books| {
            books.records.read += filtered;
            books.records.filtered += filtered;
            books.records.resumed += held.resumed;
        });
        for (rule, count) in held.filtered {
            self.run.drop_by(&rule, count);
        }
        let mut start = 0;
        let mut failed = None;
        let mut elements = held.elements.iter();
        for element in elements.by_ref() {
            let Some(bytes) = held.body.get(start..element.end as usize) else {
                // Nothing may stand for a record that cannot be found again.
                self.track.book(|books| {
                    books.records.read += 1;
                    books.records.undecided += 1;
                });
                let message = "what was held back of the file does not fit together";
                failed = Some(Error::new(ErrorKind::Other, "pipeline", message));
                break;
            };
            start = element.end as usize;
            let handed = match element.bad {
                None => {
                    let line = Line {
                        bytes,
                        offset: element.offset.into(),
                        length: element.length,
                    };
                    let place = place(self.fragment, element.offset.into());
                    hand_on(&self.run, &self.track, place, Element::Line(line)).await
                }
                Some(Reason::OverReaderCap) => {
                    let offset = place(self.fragment, element.offset.into());
                    let length = u64::from(element.length);
                    let entry = oversized(&self.track, offset, length, bytes.try_into().ok());
                    self.run.put_aside(&self.track, &entry).await.err()
                }
                Some(reason) => {
                    let bad = Bad { bytes, reason };
                    hand_on(
                        &self.run,
                        &self.track,
                        place(self.fragment, element.offset.into()),
                        Element::Bad(bad),
                    )
                    .await
                }
            };
            if let Some(error) = handed {
                failed = Some(error);
                break;
            }
        }
        let left = elements.len() as u64;
        self.track.book(|books| {
            books.records.read += left;
            books.records.undecided += left;
        });
        failed.map_or(Ok(()), Err)
    }

    /// The file should come again: what was held back of it is undecided.
    fn give_back(&mut self, error: Error) -> ReadEnd {
        let held = std::mem::take(&mut self.held);
        self.track.book(|books| {
            books.records.read += held.records();
            books.records.undecided += held.records();
            books.records.resumed += held.resumed;
        });
        ReadEnd::Release(error)
    }

    /// A file that was written to while it was read looks broken: is it still the
    /// one that was opened?
    async fn unchanged(&self) -> Result<()> {
        let now = tokio::select! {
            biased;
            () = self.run.stop.cancelled() => return Err(stopped()),
            opened = self.open.open() => opened?,
        };
        match &self.first {
            Some(first) if *first != (now.etag, now.size) => Err(Error::new(
                ErrorKind::Changed,
                "pipeline",
                format!("{} changed while it was read", self.track.object().id),
            )),
            _ => Ok(()),
        }
    }

    /// The file cannot be read: is it rightly no log file, or does it go to quarantine?
    fn read_error(&mut self, error: &ReadError) -> ReadEnd {
        let no_log = matches!(
            error,
            ReadError::Empty | ReadError::NotJson { .. } | ReadError::NotCloudTrail { .. }
        );
        let object = self.track.object();
        // What has a log file's name or place is not passed over, whatever it holds.
        let by_chance = matches!(
            classify(&object.id.key),
            KeyClass::Unknown | KeyClass::Other { .. }
        );
        // JSON that is something else is passed over under any name; what is no
        // JSON though its name says so is damaged.
        let key = object.id.key.to_ascii_lowercase();
        let damaged = !matches!(error, ReadError::NotCloudTrail { .. })
            && (key.ends_with(".json") || key.ends_with(".json.gz"));
        if no_log && by_chance && !damaged && !self.named && self.held.records() == 0 {
            return ReadEnd::Skip("not a CloudTrail log file");
        }
        let reason = match error {
            ReadError::NotCloudTrail { .. } => Reason::NotCloudTrail,
            ReadError::TooLarge { .. } | ReadError::TooDense { .. } => Reason::OverFileCap,
            _ => Reason::Unreadable,
        };
        self.unreadable(reason, &Error::from(error.clone()))
    }

    /// The file goes to quarantine: whole, with what was held back of it, or from
    /// the first byte on that was not handed on.
    fn unreadable(&mut self, reason: Reason, error: &Error) -> ReadEnd {
        let held = std::mem::take(&mut self.held);
        self.track
            .book(|books| books.records.resumed += held.resumed);
        ReadEnd::Quarantine(Unreadable {
            reason,
            detail: error.message().to_owned(),
            from: self.dealt_with,
            held: held.records(),
        })
    }

    /// Enters what was read since the last time.
    fn count(&self, reader: &LogReader, stored: &mut u64, inflated: &mut u64) {
        let (now_stored, now_inflated) = (reader.stored_bytes(), reader.inflated_bytes());
        let grown = now_inflated - *inflated;
        self.track.book(|books| {
            books.compressed += now_stored - *stored;
            books.inflated += grown;
        });
        self.run.inflated(grown);
        (*stored, *inflated) = (now_stored, now_inflated);
    }
}

/// The place in the object of what was read at `offset`.
fn place(fragment: Option<u64>, offset: u64) -> u64 {
    match fragment {
        Some(place) => place + offset.saturating_sub(FRAGMENT.0.len() as u64),
        None => offset,
    }
}

/// The next element of the file, as this run has to treat it.
///
/// Takes the worker's parts and not the worker: what it answers borrows from
/// the reader and from `line`, while the rest goes on being used.
fn next_element<'a>(
    run: &Run,
    reader: &'a mut LogReader,
    line: &'a mut Vec<u8>,
    marks: Marks,
) -> Result<Next<'a>, ReadError> {
    let element = match reader.next()? {
        Step::NeedInput => return Ok(Next::NeedInput),
        Step::End => return Ok(Next::End),
        Step::Record(record) => {
            let offset = record.offset();
            match marks.place(offset) {
                Place::DealtWith => return Ok(Next::Working),
                Place::Resumed => return Ok(Next::Element(offset, Element::Resumed)),
                Place::Ahead => {}
            }
            let dropped = run
                .stages
                .iter()
                .find_map(|stage| match stage.apply(&record) {
                    Verdict::Drop(rule) => Some(rule),
                    Verdict::Keep => None,
                });
            if let Some(rule) = dropped {
                return Ok(Next::Element(offset, Element::Filtered(rule)));
            }
            let bytes = if read::breaks_lines(record.bytes()) {
                line.clear();
                read::one_line(record.bytes(), line);
                line
            } else {
                record.bytes()
            };
            let limit = run.record_limit;
            let element = if bytes.len() > limit {
                Element::Bad(Bad {
                    bytes: record.bytes(),
                    reason: Reason::OverSinkLimit,
                })
            } else {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "the reader's cap is below 4 GiB"
                )]
                let length = record.bytes().len() as u32;
                Element::Line(Line {
                    bytes,
                    offset,
                    length,
                })
            };
            (offset, element)
        }
        Step::Bad(element) => {
            let bad = Bad {
                bytes: element.bytes,
                reason: element.reason,
            };
            (element.offset, Element::Bad(bad))
        }
        Step::Oversized(big) => (big.offset, Element::Oversized(big)),
        _ => return Ok(Next::Working),
    };
    let (offset, element) = element;
    Ok(match marks.place(offset) {
        Place::DealtWith => Next::Working,
        Place::Resumed => Next::Element(offset, Element::Resumed),
        Place::Ahead => Next::Element(offset, element),
    })
}

/// Up to where the elements of a file were treated before.
#[derive(Clone, Copy)]
struct Marks {
    /// In this run, before the file had to be opened again.
    dealt_with: u64,
    /// In an earlier run, as the ledger has it.
    resume_at: u64,
}

enum Place {
    DealtWith,
    Resumed,
    Ahead,
}

impl Marks {
    fn place(self, offset: u64) -> Place {
        if offset < self.dealt_with {
            Place::DealtWith
        } else if offset < self.resume_at {
            Place::Resumed
        } else {
            Place::Ahead
        }
    }
}

enum Next<'a> {
    /// An element that begins at this byte of the file.
    Element(u64, Element<'a>),
    NeedInput,
    Working,
    End,
}

/// Hands on one element of a file: to the batcher or to quarantine.
async fn hand_on(
    run: &Arc<Run>,
    track: &Arc<Track>,
    offset: u64,
    element: Element<'_>,
) -> Option<Error> {
    match element {
        Element::Line(line) => {
            let line = Line { offset, ..line };
            if !run.batch(track, line).await {
                track.book(|books| {
                    books.records.read += 1;
                    books.records.undecided += 1;
                });
                return Some(stopped());
            }
        }
        Element::Bad(bad) => {
            let entry = unsendable(run, track, offset, bad);
            return run.put_aside(track, &entry).await.err();
        }
        Element::Oversized(big) => {
            let entry = oversized(track, offset, big.length, Some(big.sha256));
            return run.put_aside(track, &entry).await.err();
        }
        Element::Filtered(rule) => {
            track.book(|books| {
                books.records.read += 1;
                books.records.filtered += 1;
            });
            run.drop_by(&rule, 1);
        }
        Element::Resumed => track.book(|books| books.records.resumed += 1),
    }
    None
}

/// The entry of an element that is kept byte for byte.
fn unsendable(run: &Run, track: &Track, offset: u64, bad: Bad<'_>) -> QuarantineEntry {
    let detail = match bad.reason {
        Reason::NotAnObject => "an element of Records that is no object".to_owned(),
        Reason::TooDeep => "nested too deep to be followed".to_owned(),
        Reason::OverSinkLimit => format!(
            "{} bytes; the sink takes {} in one record",
            bad.bytes.len(),
            run.record_limit
        ),
        _ => "raw control characters, or bytes that are no UTF-8".to_owned(),
    };
    let object = (*track.object()).clone();
    let kept = Kept::Bytes(Bytes::copy_from_slice(bad.bytes));
    QuarantineEntry::new(object, bad.reason, detail, kept).at_offset(offset)
}

/// The entry of an element that was too large to be held.
fn oversized(track: &Track, offset: u64, length: u64, sha256: Option<[u8; 32]>) -> QuarantineEntry {
    let object = (*track.object()).clone();
    let detail = format!("{length} bytes, over the cap on one record");
    let kept = Kept::Reference { length, sha256 };
    QuarantineEntry::new(object, Reason::OverReaderCap, detail, kept).at_offset(offset)
}

pub(super) fn stopped() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "pipeline",
        "it was stopped before the file was read to its end",
    )
    .with_retry(crate::Retry::After(Duration::ZERO))
}
