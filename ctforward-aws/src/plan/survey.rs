//! What a listing holds, in counters: nothing in here grows with the number of files.

use std::collections::BTreeMap;

use ctforward_core::key::{Admission, KeyClass, KeyFilter, classify};
use ctforward_core::text::excerpt;
use ctforward_core::{Intake, LogFile, Object, Result, Source};
use serde::Serialize;

use crate::s3::{needs_restore, restore_command};

/// Storage classes told apart; what a server invents beyond is one more.
const CLASSES: usize = 16;

/// Files and their bytes as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Of the files whose size is known.
    pub bytes: u64,
    /// Files whose size is not known.
    pub unknown_size: u64,
}

impl Tally {
    /// One more file.
    pub fn add(&mut self, size: Option<u64>) {
        self.files += 1;
        match size {
            Some(size) => self.bytes = self.bytes.saturating_add(size),
            None => self.unknown_size += 1,
        }
    }
}

/// What a listing holds, by what would become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Survey {
    /// Files, and what is none, as the source handed them over.
    pub seen: u64,
    /// What a forward would skip by the key, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Files taken although their keys carry no time.
    pub without_time: u64,
    /// What the ledger calls finished.
    pub delivered: Tally,
    /// What it calls quarantined.
    pub quarantined: Tally,
    /// What an earlier run began, and is to be read again.
    pub begun: u64,
    /// What must be restored first.
    pub archived: Tally,
    /// Archived objects for which no command can be written.
    pub without_command: u64,
    /// What is left to read.
    pub to_read: Tally,
    /// The part of `to_read` that lies in S3.
    pub from_s3: Tally,
    /// Files by storage class, where the listing names one; of what is left to send.
    pub storage_classes: BTreeMap<String, Tally>,
}

/// What an earlier run came to with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Before {
    /// Nothing, or it was rewritten since.
    New,
    /// It was begun and is to be read again.
    Begun,
    /// It was delivered.
    Delivered,
    /// It went to quarantine.
    Quarantined,
}

/// What a survey asks, and whom it tells.
pub struct Surveyor<'s> {
    /// Which keys a pipeline would take.
    pub keys: &'s KeyFilter,
    /// What an earlier run came to with a file; a look-up in a ledger.
    pub before: &'s mut (dyn FnMut(&Object) -> Result<Before> + Send),
    /// Told of each archived object the [command](restore_command) that restores it.
    pub restore: &'s mut (dyn FnMut(String) -> std::io::Result<()> + Send),
    /// Given each file that is to be read. Dropping it acknowledges nothing.
    pub each: &'s mut (dyn FnMut(LogFile) + Send),
}

impl std::fmt::Debug for Surveyor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surveyor")
            .field("keys", self.keys)
            .finish_non_exhaustive()
    }
}

/// Why a survey ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stop {
    /// The listing or the ledger failed: what was counted is not the whole.
    Source(ctforward_core::Error),
    /// A restore command could not be handed over.
    Output(std::io::Error),
}

impl From<ctforward_core::Error> for Stop {
    fn from(error: ctforward_core::Error) -> Self {
        Self::Source(error)
    }
}

/// Goes through a source to its end. Nothing is opened, and nothing acknowledged:
/// every receipt that is not given away is dropped.
///
/// # Errors
/// [`Stop`]; half a survey would look like a whole one.
pub async fn survey(
    source: &mut dyn Source,
    surveyor: Surveyor<'_>,
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
        if !survey.takes(&file, surveyor.keys)
            || survey.finished(&file.object, (surveyor.before)(&file.object)?)
        {
            continue;
        }
        survey.class(&file.object);
        match &file.object.storage_class {
            Some(class) if needs_restore(class) => {
                survey.archived.add(file.object.size);
                match restore_command(&file.object.id) {
                    Some(command) => (surveyor.restore)(command).map_err(Stop::Output)?,
                    None => survey.without_command += 1,
                }
            }
            _ => {
                survey.to_read.add(file.object.size);
                if !file.object.id.bucket.contains("://") {
                    survey.from_s3.add(file.object.size);
                }
                (surveyor.each)(file);
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

    /// Whether the file is finished; counts it then.
    fn finished(&mut self, object: &Object, before: Before) -> bool {
        match before {
            Before::Delivered => self.delivered.add(object.size),
            Before::Quarantined => self.quarantined.add(object.size),
            Before::Begun => {
                self.begun += 1;
                return false;
            }
            Before::New => return false,
        }
        true
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
