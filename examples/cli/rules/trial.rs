//! A stage that drops as rules say, and remembers what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ctforward_core::event::Record;
use ctforward_core::stage::{Filter, Redaction, Stage, Verdict};
use ctforward_core::text::excerpt;

/// So much of a field is shown.
const LONGEST: usize = 200;

/// Rules on trial.
#[derive(Debug)]
pub struct Trial {
    filter: Filter,
    redaction: Option<Redaction>,
    /// So many records of each rule are remembered.
    examples: usize,
    seen: Mutex<Seen>,
}

/// What was seen. A file that had to be read again is in it again.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub examples: BTreeMap<Arc<str>, Vec<Example>>,
    /// Values at each path, in the order of the redaction's paths.
    pub values: Vec<u64>,
    /// Records with at least one such value.
    pub redacted: u64,
    /// Records of which it cannot be told.
    pub unsure: u64,
}

/// A dropped record, in texts that are safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub time: String,
    pub source: String,
    pub name: String,
    pub id: String,
}

impl Trial {
    pub fn new(filter: Filter, redaction: Option<Redaction>, examples: usize) -> Self {
        let paths = redaction.as_ref().map_or(0, |r| r.paths().len());
        let seen = Seen {
            values: vec![0; paths],
            ..Seen::default()
        };
        Self {
            filter,
            redaction,
            examples,
            seen: Mutex::new(seen),
        }
    }

    pub fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn dropped(&self, rule: &Arc<str>, record: &Record<'_>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let examples = seen.examples.entry(Arc::clone(rule)).or_default();
        if examples.len() < self.examples {
            examples.push(Example::of(record));
        }
    }

    fn kept(&self, redaction: &Redaction, record: &Record<'_>) {
        let hits = redaction.hits(record.bytes());
        if hits.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(hits) = hits else {
            seen.unsure += 1;
            return;
        };
        seen.redacted += 1;
        for hit in hits {
            if let Some(count) = seen.values.get_mut(hit.path()) {
                *count += 1;
            }
        }
    }
}

impl Example {
    fn of(record: &Record<'_>) -> Self {
        let header = record.header();
        let shown = |text: Option<std::borrow::Cow<'_, str>>| {
            text.map_or_else(|| "-".to_owned(), |text| excerpt(&text, LONGEST))
        };
        Self {
            time: shown(header.event_time_str()),
            source: shown(header.event_source()),
            name: shown(header.event_name()),
            id: shown(header.event_id()),
        }
    }
}

impl Stage for Trial {
    fn apply(&self, record: &Record<'_>) -> Verdict {
        let verdict = self.filter.apply(record);
        match &verdict {
            Verdict::Drop(rule) if self.examples > 0 => self.dropped(rule, record),
            Verdict::Keep => {
                if let Some(redaction) = &self.redaction {
                    self.kept(redaction, record);
                }
            }
            _ => {}
        }
        verdict
    }
}
