//! Reading files into counts.

use ctforward_core::key::{Admission, KeyClass, KeyFilter, classify};
use ctforward_core::read::{LogReader, ReadError, Step};
use ctforward_core::text::printable;
use ctforward_core::{Error, Intake, LogFile, Source};

use super::counts::{Counts, kind_of_key};
use crate::failure::chain;

/// So many bad records are named; more are counted only.
const NAMED: u64 = 20;

/// After so many failures in a row a place is given up.
const PATIENCE: u32 = 100;

/// What became of a file.
enum Ending {
    Read,
    Skipped(&'static str),
    Unreadable(ReadError),
    Failed(Error),
}

/// Reads all files of a source. What cannot be read is handed to `say`, a line each.
pub async fn all(source: &mut dyn Source, counts: &mut Counts, say: &mut dyn FnMut(&str)) {
    let keys = KeyFilter::new();
    let mut failures = 0;
    loop {
        match source.next().await {
            Ok(None) => return,
            Ok(Some(Intake::File(file))) => {
                failures = 0;
                let ending = match skipped_by_key(&file, &keys) {
                    Some(why) => Ending::Skipped(why),
                    None => content(&file, counts, say).await,
                };
                enter(&file, ending, counts, say);
            }
            Ok(Some(Intake::Skip { why, .. })) => counts.files.skip(why),
            Ok(Some(_)) => counts.files.skip("not a file"),
            Err(error) => {
                counts.files.failed += 1;
                failures += 1;
                say(&format!("not read: {}", chain(&error)));
                if !error.is_retryable() || failures == PATIENCE {
                    return;
                }
            }
        }
    }
}

/// As a pipeline does it: a named file of another service is looked into.
fn skipped_by_key(file: &LogFile, keys: &KeyFilter) -> Option<&'static str> {
    let key = &file.object.id.key;
    match keys.admit(key) {
        Admission::Skip(why) => {
            let by_service = matches!(classify(key), KeyClass::Other { .. });
            (!(file.named && by_service)).then_some(why)
        }
        _ => None,
    }
}

async fn content(file: &LogFile, counts: &mut Counts, say: &mut dyn FnMut(&str)) -> Ending {
    let mut opened = match file.open.open().await {
        Ok(opened) => opened,
        Err(error) => return Ending::Failed(error),
    };
    let id = &file.object.id;
    let kind = kind_of_key(&id.key);
    let before = counts.records + counts.bad_records;
    let mut reader = LogReader::new();
    let mut bad = |counts: &mut Counts, offset: u64, length: u64, why: &str| {
        counts.bad_records += 1;
        if counts.bad_records <= NAMED {
            say(&format!(
                "bad record: {id}: at byte {offset}, {length} bytes: {why}"
            ));
        } else if counts.bad_records == NAMED + 1 {
            say("bad record: there are more; from here on they are only counted");
        }
    };
    let ended = loop {
        match reader.next() {
            Ok(Step::Record(record)) => counts.record(record, kind, || id.to_string()),
            Ok(Step::Bad(record)) => {
                let length = record.bytes.len() as u64;
                bad(counts, record.offset, length, record.reason.as_str());
            }
            Ok(Step::Oversized(record)) => {
                bad(
                    counts,
                    record.offset,
                    record.length,
                    "larger than the reader holds",
                );
            }
            Ok(Step::NeedInput) => match opened.chunks.next().await {
                Ok(Some(chunk)) => reader.push(chunk),
                Ok(None) => reader.finish(),
                Err(error) => break Ending::Failed(error),
            },
            Ok(Step::End) => break Ending::Read,
            Ok(_) => {}
            Err(error) => {
                let nothing_yet = counts.records + counts.bad_records == before;
                break if nothing_yet && passed_over(file, &error) {
                    Ending::Skipped("not a CloudTrail log file")
                } else {
                    Ending::Unreadable(error)
                };
            }
        }
    };
    if !matches!(ended, Ending::Skipped(_)) {
        counts.stored += reader.stored_bytes();
        counts.inflated += reader.inflated_bytes();
    }
    ended
}

/// Whether a file that is no log file lay there by chance: nobody named it, and
/// it has neither the name nor the place of a log file.
fn passed_over(file: &LogFile, error: &ReadError) -> bool {
    let no_log = matches!(
        error,
        ReadError::Empty | ReadError::NotJson { .. } | ReadError::NotCloudTrail { .. }
    );
    let class = classify(&file.object.id.key);
    no_log && !file.named && matches!(class, KeyClass::Unknown | KeyClass::Other { .. })
}

fn enter(file: &LogFile, ending: Ending, counts: &mut Counts, say: &mut dyn FnMut(&str)) {
    let id = &file.object.id;
    match ending {
        Ending::Read => counts.files.read += 1,
        Ending::Skipped(why) => counts.files.skip(why),
        Ending::Unreadable(error) => {
            counts.files.unreadable += 1;
            let error = error.to_string();
            say(&format!("unreadable: {id}: {}", printable(&error)));
        }
        Ending::Failed(error) => {
            counts.files.failed += 1;
            say(&format!("not read: {id}: {}", chain(&error)));
        }
    }
}
