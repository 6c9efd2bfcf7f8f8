//! From a record as it lies in its file to what is sent of it.

use std::sync::Arc;

use bytes::Bytes;

use super::batcher::Outgoing;
use super::held::{Bad, Element, Line};
use super::run::Run;
use super::track::Track;
use super::worker::stopped;
use crate::error::Error;
use crate::pipeline::RecordBooks;
use crate::quarantine::{Kept, QuarantineEntry, Reason};
use crate::read;
use crate::stage::{Redacted, Redactor};

/// Room for what is made of one record.
#[derive(Default)]
pub(super) struct Desk {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Desk {
    /// What is sent of `record`: redacted, and on one line. `None` for the record
    /// as it is.
    fn prepare(
        &mut self,
        record: &[u8],
        redactors: &[Arc<dyn Redactor>],
    ) -> Result<Option<&[u8]>, Reason> {
        let mut changed = false;
        for redactor in redactors {
            self.to.clear();
            let now = if changed { &self.from } else { record };
            match redactor.redact(now, &mut self.to) {
                Redacted::Unchanged => {}
                Redacted::Changed => {
                    std::mem::swap(&mut self.from, &mut self.to);
                    changed = true;
                }
                Redacted::Unsure => return Err(Reason::Unredactable),
            }
        }
        let now = if changed { &self.from } else { record };
        if read::breaks_lines(now) {
            self.to.clear();
            read::one_line(now, &mut self.to);
            std::mem::swap(&mut self.from, &mut self.to);
            changed = true;
        }
        Ok(changed.then_some(self.from.as_slice()))
    }
}

/// Hands on one element of a file: to the batcher or to quarantine.
pub(super) async fn hand_on(
    run: &Arc<Run>,
    track: &Arc<Track>,
    desk: &mut Desk,
    offset: u64,
    element: Element<'_>,
) -> Option<Error> {
    match element {
        Element::Line(line) => send(run, track, desk, offset, line).await,
        Element::Bad(bad) => {
            let entry = unsendable(run, track, offset, bad, bad.bytes.len());
            run.put_aside(track, &entry).await.err()
        }
        Element::Oversized(big) => {
            let object = (*track.object()).clone();
            let detail = format!("{} bytes, over the cap on one record", big.length);
            let kept = Kept::Reference {
                length: big.length,
                sha256: Some(big.sha256),
            };
            let entry =
                QuarantineEntry::new(object, Reason::OverReaderCap, detail, kept).at_offset(offset);
            run.put_aside(track, &entry).await.err()
        }
        Element::Filtered(rule) => {
            let one = RecordBooks {
                filtered: 1,
                ..RecordBooks::default()
            };
            track.decided(offset, one);
            run.drop_by(&rule, 1);
            None
        }
        Element::Resumed => {
            track.resumed(1);
            None
        }
    }
}

async fn send(
    run: &Arc<Run>,
    track: &Arc<Track>,
    desk: &mut Desk,
    offset: u64,
    line: Line<'_>,
) -> Option<Error> {
    let made = desk.prepare(line.bytes, &run.redactors);
    let bytes = match &made {
        Ok(made) => made.unwrap_or(line.bytes),
        Err(_) => line.bytes,
    };
    let refused = match &made {
        Err(reason) => Some(*reason),
        Ok(_) if bytes.len() > run.record_limit => Some(Reason::OverSinkLimit),
        Ok(_) => None,
    };
    if let Some(reason) = refused {
        let bad = Bad {
            bytes: line.bytes,
            reason,
        };
        let entry = unsendable(run, track, offset, bad, bytes.len());
        return run.put_aside(track, &entry).await.err();
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the reader's cap is below 4 GiB"
    )]
    let length = line.bytes.len() as u32;
    let outgoing = Outgoing {
        bytes,
        original: made.ok().flatten().map(|_| line.bytes),
        offset,
        length,
        time: line.time,
        identity: line.identity,
    };
    if run.batch(track, outgoing).await {
        return None;
    }
    track.undecided(1);
    Some(stopped())
}

/// The entry of an element that is kept byte for byte.
fn unsendable(
    run: &Run,
    track: &Track,
    offset: u64,
    bad: Bad<'_>,
    length: usize,
) -> QuarantineEntry {
    let detail = match bad.reason {
        Reason::NotAnObject => "an element of Records that is no object".to_owned(),
        Reason::TooDeep => "nested too deep to be followed".to_owned(),
        Reason::Unredactable => {
            "what is to be redacted in it cannot be told for certain".to_owned()
        }
        Reason::OverSinkLimit => format!(
            "{length} bytes; the sink takes {} in one record",
            run.record_limit
        ),
        _ => "raw control characters, or bytes that are no UTF-8".to_owned(),
    };
    let object = (*track.object()).clone();
    let kept = Kept::Bytes(Bytes::copy_from_slice(bad.bytes));
    QuarantineEntry::new(object, bad.reason, detail, kept).at_offset(offset)
}
