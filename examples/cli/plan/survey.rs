//! What a listing holds, in counters: nothing in here grows with the number of files.

use std::collections::BTreeMap;

use ctforward_aws::s3::{needs_restore, restore_command};
use ctforward_core::key::{Admission, KeyClass, KeyFilter, classify};
use ctforward_core::ledger::{LedgerReader, RowState};
use ctforward_core::text::excerpt;
use ctforward_core::{Intake, LogFile, Object, Result, Source};
use serde::Serialize;

use super::reservoir::Reservoir;

/// Storage classes told apart; what a server invents beyond is one more.
const CLASSES: usize = 16;

/// Files and their bytes as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub files: u64,
    /// Of the files whose size is known.
    pub bytes: u64,
    pub unknown_size: u64,
}

impl Tally {
    fn add(&mut self, size: Option<u64>) {
        self.files += 1;
        match size {
            Some(size) => self.bytes = self.bytes.saturating_add(size),
            None => self.unknown_size += 1,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// Files, and what is none, as the source handed them over.
    pub seen: u64,
    /// What a forward would skip by the key, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Files taken although their keys carry no time.
    pub without_time: u64,
    /// What the ledger calls finished.
    pub delivered: Tally,
    pub quarantined: Tally,
    /// What an earlier run began, and is to be read again.
    pub begun: u64,
    /// What must be restored first.
    pub archived: Tally,
    /// Archived objects for which no command can be written.
    pub without_command: u64,
    pub to_read: Tally,
    /// The part of `to_read` that lies in S3.
    pub from_s3: Tally,
    /// Files by storage class, where the listing names one; of what is left to send.
    pub storage_classes: BTreeMap<String, Tally>,
}

/// Told of each archived object the command that restores it.
pub type Restore<'a> = dyn FnMut(String) -> std::io::Result<()> + 'a;

/// Why a survey ended early.
pub enum Stop {
    Source(ctforward_core::Error),
    Output(std::io::Error),
}

impl From<ctforward_core::Error> for Stop {
    fn from(error: ctforward_core::Error) -> Self {
        Self::Source(error)
    }
}

/// Goes through a source to its end. Every receipt is dropped, which acknowledges nothing.
pub async fn take(
    source: &mut dyn Source,
    keys: &KeyFilter,
    ledger: Option<&LedgerReader>,
    sample: &mut Reservoir<LogFile>,
    restore: &mut Restore<'_>,
) -> std::result::Result<Survey, Stop> {
    let mut survey = Survey::default();
    while let Some(intake) = source.next().await? {
        survey.seen += 1;
        let file = match intake {
            Intake::File(file) => file,
            Intake::Skip { why, .. } => {
                *survey.skipped.entry(why).or_default() += 1;
                continue;
            }
            _ => {
                *survey.skipped.entry("not a file").or_default() += 1;
                continue;
            }
        };
        if survey.takes(&file, keys) && !survey.known(&file.object, ledger)? {
            survey.class(&file.object);
            match &file.object.storage_class {
                Some(class) if needs_restore(class) => {
                    survey.archived.add(file.object.size);
                    match restore_command(&file.object.id) {
                        Some(command) => restore(command).map_err(Stop::Output)?,
                        None => survey.without_command += 1,
                    }
                }
                _ => {
                    survey.to_read.add(file.object.size);
                    if !file.object.id.bucket.contains("://") {
                        survey.from_s3.add(file.object.size);
                    }
                    sample.offer(file);
                }
            }
        }
    }
    Ok(survey)
}

impl Survey {
    /// Whether a pipeline would take the file by its key; counts why not.
    fn takes(&mut self, file: &LogFile, keys: &KeyFilter) -> bool {
        let key = &file.object.id.key;
        match keys.admit(key) {
            Admission::Skip(why) => {
                let class = classify(key);
                // As a pipeline has it: what was named, and a folder object with
                // content, is decided by its content.
                let by_content = matches!(class, KeyClass::Other { .. }) && file.named
                    || matches!(class, KeyClass::Folder(_))
                        && file.object.size.is_some_and(|size| size > 0);
                if !by_content {
                    *self.skipped.entry(why).or_default() += 1;
                }
                by_content
            }
            Admission::TakeWithoutTime => {
                self.without_time += 1;
                true
            }
            _ => true,
        }
    }

    /// Whether the ledger calls the file finished; counts it then.
    fn known(&mut self, object: &Object, ledger: Option<&LedgerReader>) -> Result<bool> {
        // A look-up by the primary key; nobody else waits for this thread.
        let state = match ledger {
            Some(ledger) => ledger.state(object)?,
            None => None,
        };
        match state {
            Some(RowState::Delivered) => self.delivered.add(object.size),
            Some(RowState::Quarantined) => self.quarantined.add(object.size),
            Some(_) => {
                self.begun += 1;
                return Ok(false);
            }
            None => return Ok(false),
        }
        Ok(true)
    }

    fn class(&mut self, object: &Object) {
        let Some(class) = &object.storage_class else {
            return;
        };
        let name = excerpt(class, 40);
        let full = self.storage_classes.len() >= CLASSES;
        let name = if full && !self.storage_classes.contains_key(&name) {
            "other".to_owned()
        } else {
            name
        };
        self.storage_classes
            .entry(name)
            .or_default()
            .add(object.size);
    }
}
