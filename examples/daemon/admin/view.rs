//! The document at `/status`, and the metrics that are read off it.

use std::sync::Arc;
use std::time::Duration;

use ctforward_core::Result;
use ctforward_core::text::excerpt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::metrics;
use super::redrive::Redrives;
use crate::status::{Board, QuarantineGroup, Status};

/// Reading a quarantine reads folders: what was read is good for so long, however
/// many look; and for so many times as long as the reading took, so that a large one
/// is not read all the time.
const FRESH: Duration = Duration::from_secs(5);
const TIMES: u32 = 10;
/// How long an answer waits for it.
const WAIT: Duration = Duration::from_secs(2);
/// Text is cut here.
const LONGEST_TEXT: usize = 1024;

/// The daemon as it is looked at.
pub(super) struct View {
    board: Arc<dyn Board>,
    quarantine: Arc<Mutex<Option<Quarantine>>>,
}

#[derive(Clone)]
struct Quarantine {
    good_until: Instant,
    at: Timestamp,
    groups: std::result::Result<Vec<QuarantineGroup>, String>,
}

impl View {
    pub(super) fn new(board: Arc<dyn Board>) -> Self {
        Self {
            board,
            quarantine: Arc::default(),
        }
    }

    pub(super) fn ready(&self) -> Result<(), Vec<String>> {
        self.board.ready()
    }

    /// The document.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub(super) async fn status(
        &self,
        redrives: &Redrives,
        token_is_set: bool,
    ) -> serde_json::Result<Value> {
        let status = self.board.status();
        let quarantine = self.quarantine().await;
        let balanced = status.totals.files.balanced() && status.totals.records.balanced();
        let mut document = serde_json::to_value(&status)?;
        if let Value::Object(fields) = &mut document {
            let not_ready = self.board.ready().err().unwrap_or_default();
            fields.insert("ready".to_owned(), not_ready.is_empty().into());
            fields.insert("not_ready".to_owned(), not_ready.into());
            fields.insert("balanced".to_owned(), balanced.into());
            fields.insert(
                "quarantine".to_owned(),
                quarantine_json(quarantine.as_ref()),
            );
            let mut redrive = serde_json::to_value(redrives.status())?;
            if let Value::Object(redrive) = &mut redrive {
                redrive.insert("allowed".to_owned(), token_is_set.into());
            }
            fields.insert("redrive".to_owned(), redrive);
        }
        Ok(made_printable(document))
    }

    /// Brings up to date what is metered only where somebody looks.
    pub(super) async fn meter(&self) {
        let status: Status = self.board.status();
        let ready = self.board.ready().is_ok();
        let quarantine = self.quarantine().await;
        let groups = quarantine.as_ref().and_then(|q| q.groups.as_ref().ok());
        metrics::set(&status, ready, groups.map(Vec::as_slice));
    }

    /// The next to ask reads the quarantine anew.
    pub(super) async fn forget_quarantine(&self) {
        *self.quarantine.lock().await = None;
    }

    /// What lies in quarantine; `None` where it takes long to say.
    async fn quarantine(&self) -> Option<Quarantine> {
        let (board, kept) = (Arc::clone(&self.board), Arc::clone(&self.quarantine));
        // In a task: it goes on when nobody waits any more, so that the next finds it.
        let read = tokio::spawn(async move {
            let mut kept = kept.lock().await;
            if let Some(quarantine) = kept.as_ref().filter(|q| Instant::now() < q.good_until) {
                return quarantine.clone();
            }
            let began = Instant::now();
            let groups = board.quarantine().await;
            let quarantine = Quarantine {
                good_until: Instant::now() + FRESH.max(TIMES * began.elapsed()),
                at: Timestamp::now(),
                groups: groups.map_err(|error| error.to_string()),
            };
            *kept = Some(quarantine.clone());
            quarantine
        });
        timeout(WAIT, read).await.ok()?.ok()
    }
}

fn quarantine_json(quarantine: Option<&Quarantine>) -> Value {
    let late = || json!({"entries": null, "groups": [], "error": "reading it takes long"});
    quarantine.map_or_else(late, |quarantine| match &quarantine.groups {
        Ok(groups) => json!({
            "entries": groups.iter().map(|g| g.entries).sum::<u64>(),
            "groups": groups,
            "error": null,
            "read_at": quarantine.at,
        }),
        Err(error) => json!({
            "entries": null, "groups": [], "error": error, "read_at": quarantine.at,
        }),
    })
}

/// The same with every text, names of fields included, made printable and cut: what
/// is shown by `jq -r` or a page steers nothing.
pub(super) fn made_printable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(excerpt(&text, LONGEST_TEXT)),
        Value::Array(values) => values.into_iter().map(made_printable).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (excerpt(&name, LONGEST_TEXT), made_printable(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_made_printable_wherever_it_stands() {
        let value = json!({"a\u{1b}": ["\u{202e}x", {"b": "line\nbreak"}], "n": 1.5});
        let expected = json!({"a\\u{1b}": ["\\u{202e}x", {"b": "line\\u{a}break"}], "n": 1.5});
        assert_eq!(made_printable(value), expected);
        let Value::String(cut) = made_printable(Value::String("x".repeat(5000))) else {
            panic!("no text");
        };
        assert!(cut.len() < 1100, "{}", cut.len());
    }
}
