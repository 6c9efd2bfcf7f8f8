//! Reading one file: open, inflate, split, stages, batch.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::freshness::event_seconds;
use super::held::{Bad, Element, Held, Line};
use super::prepare::{Desk, hand_on};
use super::run::Run;
use super::track::{ReadEnd, Track, Unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::key::{KeyClass, classify};
use crate::ledger::{Mark, Resume};
use crate::quarantine::{FRAGMENT, Kept, Reason};
use crate::read::{LogReader, ReadError, Step};
use crate::source::{Open, Opened};
use crate::stage::Verdict;

/// Reads one file and hands its records on.
pub(super) struct Worker {
    run: Arc<Run>,
    track: Arc<Track>,
    open: Arc<dyn Open>,
    named: bool,
    resume: Resume,
    /// Every record that starts before this was dealt with, in this run.
    dealt_with: u64,
    /// The ETag and size with which the file was first opened.
    first: Option<(Option<String>, Option<u64>)>,
    /// What is held back until the file's end was checked.
    held: Held,
    /// The file is larger than what is held back: records go on as they are read.
    streaming: bool,
    /// The place of the one record that is opened alone, if so.
    fragment: Option<u64>,
    /// The earliest and the latest eventTime.
    events: Option<(u32, u32)>,
    desk: Desk,
}

impl Worker {
    pub(super) fn new(
        run: Arc<Run>,
        track: Arc<Track>,
        open: Arc<dyn Open>,
        named: bool,
        fragment: Option<u64>,
        resume: Resume,
    ) -> Self {
        Self {
            run,
            track,
            open,
            named,
            resume,
            dealt_with: 0,
            first: None,
            held: Held::default(),
            streaming: false,
            fragment,
            events: None,
            desk: Desk::default(),
        }
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
            let pause = match error.retry() {
                crate::Retry::After(told) => told,
                _ => self.run.pause(attempt),
            };
            let then = Instant::now().checked_add(pause);
            // What cannot be held so long is given back, and comes again.
            let hold_until = self.track.hold_until();
            let held = hold_until.is_none_or(|until| then.is_some_and(|then| then < until));
            if again && !held {
                return self.give_back(error);
            }
            if again && attempt <= self.run.limits.read_retries && !self.run.stop.is_cancelled() {
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
                // Who keeps the record goes on keeping it.
                _ if self.fragment.is_some() => self.give_back(error),
                ErrorKind::NotFound => self.unreadable(Reason::Missing, &error, WHOLE),
                ErrorKind::Archived => self.unreadable(Reason::Archived, &error, WHOLE),
                ErrorKind::Unauthorized => {
                    let bucket = &self.track.object().id.bucket;
                    self.run.buckets.denied(bucket, &error);
                    self.give_back(error)
                }
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
        // Nothing of it was handed on yet: it may be another file now, a small one.
        self.streaming = self.dealt_with > 0;
        self.events = None;
        self.run.buckets.opened(&self.track.object().id.bucket);
        let resume_at = self.recognise(&opened)?.low_water;
        let mut reader = LogReader::with_limits(self.run.read_limits);
        if self.run.hashes_files {
            reader = reader.with_sha256();
        }
        let (mut stored, mut inflated) = (0, 0);
        let end = loop {
            let marks = Marks {
                dealt_with: self.dealt_with,
                resume_at,
            };
            match next_element(&self.run, &mut reader, &mut self.events, marks) {
                Ok(Next::Element(offset, element)) => {
                    let failed = if self.streaming {
                        let place = self.place(offset);
                        hand_on(&self.run, &self.track, &mut self.desk, place, element).await
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
                    // Somebody else may have it by now.
                    if let Some(error) = self.track.lost() {
                        break ReadEnd::Release(error);
                    }
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
                    if self.fragment.is_some() {
                        return Ok(self.give_back(Error::from(error)));
                    }
                    let kept = self.seen_again().await?;
                    return Ok(self.read_error(&error, kept));
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
                if self.streaming {
                    self.keep_near().await;
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
        self.track.whole(self.events, reader.sha256());
        Ok(match end {
            ReadEnd::Complete => match self.let_go().await {
                Ok(()) => ReadEnd::Complete,
                Err(error) => ReadEnd::Release(error),
            },
            ReadEnd::Release(error) => self.give_back(error),
            end => end,
        })
    }

    /// Where an element lies in the object.
    fn place(&self, offset: u64) -> u64 {
        match self.fragment {
            Some(place) => place + offset.saturating_sub(FRAGMENT.0.len() as u64),
            None => offset,
        }
    }

    /// Waits while what was handed on lies far beyond the low-water mark: were the
    /// process to die, all of it would be sent again.
    async fn keep_near(&self) {
        let bytes = self.run.limits.bytes_held as u64;
        while self.track.ticket().is_some() && self.track.is_ahead(self.dealt_with, bytes) {
            // What holds the mark back may lie in the open batch.
            if let Some(sealed) = self.run.batcher.take_if(|_| true) {
                self.run.dispatch(sealed);
            }
            tokio::select! {
                biased;
                () = self.run.stop.cancelled() => return,
                () = self.track.settled() => {}
            }
        }
    }

    /// Takes note of what the opened file is, and that it is the one opened
    /// before. Answers how far an earlier run decided it.
    fn recognise(&mut self, opened: &Opened) -> Result<Mark> {
        let identity = (opened.etag.clone(), opened.size);
        match &self.first {
            Some(first) if self.dealt_with > 0 && *first != identity => Err(Error::new(
                ErrorKind::Changed,
                "pipeline",
                format!("{} was replaced while it was read", self.track.object().id),
            )),
            _ => {
                let (etag, size) = identity;
                let resumed = self.resume.mark_for(etag.as_deref(), size);
                self.track.opened(etag.clone(), size, resumed);
                self.first = Some((etag, size));
                Ok(resumed)
            }
        }
    }

    /// Hands on what was held back, in the order of the file.
    async fn let_go(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        self.dealt_with = self.dealt_with.max(held.next);
        self.track.resumed(held.resumed);
        let mut failed = None;
        let mut elements = held.elements();
        for element in elements.by_ref() {
            let Some((offset, element)) = element else {
                // Nothing may stand for a record that cannot be found again.
                self.track.undecided(1);
                let message = "what was held back of the file does not fit together";
                failed = Some(Error::new(ErrorKind::Other, "pipeline", message));
                break;
            };
            let place = self.place(offset);
            failed = hand_on(&self.run, &self.track, &mut self.desk, place, element).await;
            if failed.is_some() {
                break;
            }
        }
        self.track.undecided(elements.len() as u64);
        failed.map_or(Ok(()), Err)
    }

    /// The file should come again: what was held back of it is undecided.
    fn give_back(&mut self, error: Error) -> ReadEnd {
        let held = std::mem::take(&mut self.held);
        self.track.undecided(held.records());
        self.track.resumed(held.resumed);
        ReadEnd::Release(error)
    }

    /// A file that was written to while it was read looks broken: is it still the
    /// one that was opened? Answers what is kept of it: the SHA-256 of its bytes
    /// as stored, or the bytes themselves where they are asked for and few enough.
    async fn seen_again(&self) -> Result<Kept> {
        let stop = self.run.stop.clone();
        let look = async {
            let mut now = self.open.open().await?;
            if let Some((etag, size)) = &self.first
                && (etag, size) != (&now.etag, &now.size)
            {
                return Err(Error::new(
                    ErrorKind::Changed,
                    "pipeline",
                    format!("{} changed while it was read", self.track.object().id),
                ));
            }
            let mut hash = Sha256::new();
            let mut copy = self.run.copies.map(|_| Vec::new());
            let most = self.run.copies.unwrap_or_default();
            while let Some(chunk) = now.chunks.next().await? {
                hash.update(&chunk);
                copy = copy.filter(|copy| copy.len() + chunk.len() <= most);
                if let Some(copy) = &mut copy {
                    copy.extend_from_slice(&chunk);
                }
                tokio::task::yield_now().await;
            }
            Ok(match copy {
                Some(copy) => Kept::Bytes(copy.into()),
                None => Kept::Reference {
                    length: 0,
                    sha256: Some(hash.finalize().into()),
                },
            })
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(stopped()),
            kept = look => kept,
        }
    }

    /// The file cannot be read: is it rightly no log file, or does it go to quarantine?
    fn read_error(&mut self, error: &ReadError, kept: Kept) -> ReadEnd {
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
        let named = self.named || self.fragment.is_some();
        if no_log && by_chance && !damaged && !named && self.held.records() == 0 {
            return ReadEnd::Skip("not a CloudTrail log file");
        }
        let reason = match error {
            ReadError::NotCloudTrail { .. } => Reason::NotCloudTrail,
            ReadError::TooLarge { .. } | ReadError::TooDense { .. } => Reason::OverFileCap,
            _ => Reason::Unreadable,
        };
        self.unreadable(reason, &Error::from(error.clone()), kept)
    }

    /// The file goes to quarantine: whole, with what was held back of it, or from
    /// the first byte on that was not handed on.
    fn unreadable(&mut self, reason: Reason, error: &Error, kept: Kept) -> ReadEnd {
        let held = std::mem::take(&mut self.held);
        self.track.resumed(held.resumed);
        ReadEnd::Quarantine(Unreadable {
            reason,
            detail: error.message().to_owned(),
            from: self.dealt_with,
            held: held.records(),
            kept,
        })
    }

    /// Enters what was read since the last time.
    fn count(&self, reader: &LogReader, stored: &mut u64, inflated: &mut u64) {
        let (now_stored, now_inflated) = (reader.stored_bytes(), reader.inflated_bytes());
        let grown = now_inflated - *inflated;
        self.track.read(now_stored - *stored, grown);
        self.run.inflated(grown);
        (*stored, *inflated) = (now_stored, now_inflated);
    }
}

/// The next element of the file, as this run has to treat it.
///
/// Takes the worker's parts and not the worker: what it answers borrows from
/// the reader, while the rest goes on being used.
fn next_element<'a>(
    run: &Run,
    reader: &'a mut LogReader,
    events: &mut Option<(u32, u32)>,
    marks: Marks,
) -> Result<Next<'a>, ReadError> {
    let element = match reader.next()? {
        Step::NeedInput => return Ok(Next::NeedInput),
        Step::End => return Ok(Next::End),
        Step::Record(record) => {
            let offset = record.offset();
            let time = event_seconds(&record);
            if time > 0 {
                let (first, last) = events.unwrap_or((time, time));
                *events = Some((first.min(time), last.max(time)));
            }
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
            let hasher = run.hasher.get();
            let line = Line {
                bytes: record.bytes(),
                time,
                identity: hasher.and_then(|hasher| hasher.identify(&record)),
            };
            (offset, Element::Line(line))
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

/// What is kept of a file that is not there, or not to be had.
const WHOLE: Kept = Kept::Reference {
    length: 0,
    sha256: None,
};

pub(super) fn stopped() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "pipeline",
        "it was stopped before the file was read to its end",
    )
    .with_retry(crate::Retry::After(Duration::ZERO))
}
