//! What there is to forward, what became of it so far, and what must hold of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use ctforward_core::ledger::{Finished, Mark, MemoryLedger, Seen};
use ctforward_core::quarantine::{Kept, MemoryQuarantine};

use crate::faults::Faults;

pub(crate) const BUCKET: &str = "bucket";
/// Bytes of one record: what the sink takes, and what the reader holds.
pub(crate) const SINK_LIMIT: usize = 200;
pub(crate) const READER_CAP: usize = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// The sink refuses it.
    Poison,
    /// A rule drops it.
    Noise,
    OverSink,
    OverReader,
    NoObject,
    BadText,
}

#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) kind: Kind,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Whole,
    /// Its last bytes are missing.
    Cut,
    /// It is announced and not there.
    Missing,
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) key: String,
    pub(crate) elements: Vec<Element>,
    pub(crate) state: State,
    pub(crate) stored: Bytes,
    pub(crate) etag: String,
    /// Whether its ETag is known before it is opened.
    pub(crate) announced: bool,
}

/// Everything that survives a crash, and the judge over it.
pub(crate) struct World {
    files: Mutex<Vec<File>>,
    pub(crate) ledger: MemoryLedger,
    pub(crate) quarantine: MemoryQuarantine,
    pub(crate) with_ledger: bool,
    kept: Mutex<Memory>,
}

#[derive(Default)]
pub(crate) struct Memory {
    /// What the sink has of each record: in the run that sent it last, and
    /// whether it said so.
    pub(crate) taken: BTreeMap<(String, u64), Sent>,
    pub(crate) taken_bytes: BTreeSet<Bytes>,
    pub(crate) acknowledged: BTreeSet<String>,
    pub(crate) marks: BTreeMap<String, Mark>,
    pub(crate) rows: BTreeMap<String, Finished>,
    pub(crate) seen: Vec<Seen>,
    /// Records that the ledger knew to be decided when a run ended.
    pub(crate) covered: BTreeSet<(String, u64)>,
    pub(crate) run: u64,
    pub(crate) sent_again: u64,
    /// The sink refused everything in some run.
    pub(crate) refused_everything: bool,
    /// Files of so many inflated bytes go whole or not at all, in this run.
    pub(crate) hold: usize,
    /// This run is to leave nothing behind.
    pub(crate) dry: bool,
    pub(crate) violation: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) run: u64,
    pub(crate) said: bool,
}

impl World {
    pub(crate) fn new(faults: &Faults) -> Arc<Self> {
        let mut files = Vec::new();
        let mut earlier: Vec<(Kind, String)> = Vec::new();
        for n in 0..1 + faults.below(5) {
            files.push(file(faults, n, &mut earlier));
        }
        Arc::new(Self {
            files: Mutex::new(files),
            ledger: MemoryLedger::new(),
            quarantine: MemoryQuarantine::new(),
            with_ledger: faults.chance(0.85),
            kept: Mutex::default(),
        })
    }

    pub(crate) fn files(&self) -> Vec<File> {
        self.files.lock().unwrap().clone()
    }

    /// Somebody puts another file in the place of one, finished or not; it is
    /// announced again.
    pub(crate) fn rewrite(&self, faults: &Faults) {
        let mut files = self.files.lock().unwrap();
        let n = faults.below(files.len() as u64);
        let old = &mut files[usize::try_from(n).unwrap()];
        if old.state == State::Cut {
            return;
        }
        let mut new = file(faults, 100 + n, &mut Vec::new());
        if new.state == State::Missing {
            // What was delivered may be deleted; nothing says that it was rewritten.
            return;
        }
        new.key.clone_from(&old.key);
        // What was not there may come as it was announced.
        if old.state == State::Whole || faults.chance(0.5) {
            new.etag = format!("{}'", old.etag);
        }
        faults.tell(&format!("{} is rewritten", new.key));
        let mut kept = self.kept();
        let kept = &mut *kept;
        kept.acknowledged.remove(&new.key);
        kept.marks.remove(&new.key);
        kept.rows.remove(&new.key);
        kept.taken.retain(|(key, _), _| *key != new.key);
        kept.covered.retain(|(key, _)| *key != new.key);
        *old = new;
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Memory> {
        self.kept.lock().unwrap()
    }

    pub(crate) fn violated(&self, what: String) {
        self.kept().violation.get_or_insert(what);
    }

    /// The sink takes a record; `said` is whether the sender will hear of it.
    pub(crate) fn take(&self, key: &str, offset: u64, bytes: Bytes, said: bool) {
        let hold = self.kept().hold;
        let cut = |f: &File| f.key == key && f.state == State::Cut && f.stored.len() <= hold;
        if self.files().iter().any(cut) {
            self.violated(format!(
                "records of {key} were sent, which is cut and small"
            ));
        }
        let name = (key.to_owned(), offset);
        let mut kept = self.kept();
        let run = kept.run;
        if let Some(sent) = kept.taken.get(&name).copied() {
            kept.sent_again += 1;
            if kept.covered.contains(&name) {
                let what = format!("{name:?} was sent again though the ledger knew of it");
                kept.violation.get_or_insert(what);
            }
            if sent.run == run && sent.said {
                let what = format!("{name:?} was sent twice in a run though the sink said yes");
                kept.violation.get_or_insert(what);
            }
        }
        kept.taken.insert(name, Sent { run, said });
        kept.taken_bytes.insert(bytes);
    }

    /// The source is told that a file is finished.
    pub(crate) fn acknowledge(&self, key: &str) {
        if let Err(why) = self.is_decided(key) {
            self.violated(format!("{key} was acknowledged, but {why}"));
        }
        if self.kept().dry {
            self.violated(format!("{key} was acknowledged by a dry run"));
        }
        if self.with_ledger && !self.kept().rows.contains_key(key) {
            self.violated(format!(
                "{key} was acknowledged, but its row is not finished"
            ));
        }
        self.kept().acknowledged.insert(key.to_owned());
    }

    /// Whether nothing of a file would be lost if it never came again.
    pub(crate) fn is_decided(&self, key: &str) -> Result<(), String> {
        let files = self.files();
        let file = files.iter().find(|file| file.key == key);
        let file = file.ok_or("there is no such file")?;
        let entries = self.quarantine.entries();
        let entries: Vec<_> = entries
            .iter()
            .filter(|e| {
                let etag = e.object.etag.as_ref();
                e.object.id.key == key && etag.is_none_or(|etag| *etag == file.etag)
            })
            .collect();
        let from = |e: &&&ctforward_core::QuarantineEntry| {
            matches!(e.kept, Kept::Reference { length: 0, .. }).then_some(e.offset.unwrap_or(0))
        };
        // Where the file's entry as a whole begins.
        let rest = entries.iter().filter_map(|e| from(&e)).min();
        let kept = self.kept();
        for element in &file.elements {
            if rest.is_some_and(|from| element.offset >= from) {
                continue;
            }
            let in_bytes = entries.iter().any(|e| {
                e.offset == Some(element.offset)
                    && matches!(&e.kept, Kept::Bytes(bytes) if *bytes == element.bytes)
            });
            let decided = match element.kind {
                Kind::Noise => true,
                // A sink that refuses everything cannot be told from a bad record
                // while there is but one batch.
                Kind::Plain => {
                    kept.taken_bytes.contains(&element.bytes)
                        || in_bytes && kept.refused_everything
                }
                Kind::OverReader => entries.iter().any(|e| {
                    e.offset == Some(element.offset)
                        && matches!(e.kept, Kept::Reference { length, .. } if length == element.bytes.len() as u64)
                }),
                _ => in_bytes,
            };
            if !decided {
                return Err(format!("{element:?} is neither taken nor in quarantine"));
            }
        }
        if file.state != State::Whole && rest.is_none() {
            return Err(format!(
                "it is {:?} and has no entry as a whole",
                file.state
            ));
        }
        Ok(())
    }

    /// A run ended: what the ledger knows now is never to be sent again.
    pub(crate) fn run_ended(&self) {
        let mut kept = self.kept();
        let kept = &mut *kept;
        for name in kept.taken.keys() {
            let (key, offset) = name;
            let below = kept
                .marks
                .get(key)
                .is_some_and(|mark| *offset < mark.low_water);
            if below || kept.rows.contains_key(key) {
                kept.covered.insert(name.clone());
            }
        }
        kept.run += 1;
    }

    /// What must hold when everything is done.
    pub(crate) fn judge(&self) -> Result<(), String> {
        for file in &self.files() {
            self.is_decided(&file.key)
                .map_err(|why| format!("{} is done, but {why}", file.key))?;
            let kept = self.kept();
            let Some(row) = kept.rows.get(&file.key) else {
                if self.with_ledger {
                    return Err(format!("{} has no row", file.key));
                }
                continue;
            };
            let books = row.books.records;
            if !books.balanced() || books.undecided > 0 || books.resumed > 0 {
                return Err(format!(
                    "the row of {} does not balance: {books:?}",
                    file.key
                ));
            }
            let whole = file.state == State::Whole;
            if whole && (row.quarantined || books.read != file.elements.len() as u64) {
                return Err(format!(
                    "{} has {} elements, its row says {books:?}",
                    file.key,
                    file.elements.len()
                ));
            }
        }
        Ok(())
    }
}

fn file(faults: &Faults, n: u64, earlier: &mut Vec<(Kind, String)>) -> File {
    let count = match faults.below(8) {
        0 => 0,
        1 => faults.below(60),
        _ => faults.below(14),
    };
    let mut body = String::from("{\"Records\":[");
    let mut elements = Vec::new();
    for index in 0..count {
        if index > 0 {
            body.push(',');
        }
        let (kind, text) = element(faults, n, index, earlier);
        elements.push(Element {
            kind,
            offset: body.len() as u64,
            bytes: Bytes::from(text.clone()),
        });
        body.push_str(&text);
    }
    body.push_str("]}");
    let state = match faults.below(20) {
        0 => State::Cut,
        1 => State::Missing,
        _ => State::Whole,
    };
    if state == State::Cut {
        body.truncate(body.len() - 1);
    }
    File {
        key: format!("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/01/{n}.json"),
        elements,
        state,
        stored: Bytes::from(body),
        etag: "e1".to_owned(),
        announced: faults.chance(0.7),
    }
}

fn element(
    faults: &Faults,
    n: u64,
    index: u64,
    earlier: &mut Vec<(Kind, String)>,
) -> (Kind, String) {
    let pad = "p".repeat(usize::try_from(faults.below(60)).unwrap());
    let name = format!("\"eventID\":\"f{n}r{index}\"");
    let (kind, text) = match faults.below(40) {
        0 => (Kind::Poison, format!("{{{name},\"poison\":true}}")),
        1 | 2 => (Kind::Noise, format!("{{{name},\"eventName\":\"Noise\"}}")),
        3 => (
            Kind::OverSink,
            format!("{{{name},\"long\":\"{}\"}}", "l".repeat(SINK_LIMIT)),
        ),
        4 => (
            Kind::OverReader,
            format!("{{{name},\"huge\":\"{}\"}}", "h".repeat(READER_CAP)),
        ),
        5 => (Kind::NoObject, format!("\"f{n}r{index}\"")),
        6 => (Kind::BadText, format!("{{{name},\"x\":\"\u{1}\"}}")),
        7..=10 if !earlier.is_empty() => {
            let which = usize::try_from(faults.below(earlier.len() as u64)).unwrap();
            let (kind, text) = earlier[which].clone();
            if faults.chance(0.8) {
                return (kind, text);
            }
            // The same name, and other bytes.
            (
                kind,
                text.replacen('{', &format!("{{\"other\":{index},"), 1),
            )
        }
        _ => (Kind::Plain, format!("{{{name},\"pad\":\"{pad}\"}}")),
    };
    if matches!(kind, Kind::Plain | Kind::Poison) {
        earlier.push((kind, text.clone()));
    }
    (kind, text)
}
