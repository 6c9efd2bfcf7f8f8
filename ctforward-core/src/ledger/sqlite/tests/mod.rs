//! Tests of the ledger in SQLite: its parts are real, files and processes too.

mod crash;
mod faults;
mod files;
mod model;
mod owners;
mod reader;
mod seen;
mod together;

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::error::ErrorKind;
use crate::ledger::Resume;
use crate::object::ObjectId;
use crate::pipeline::{FileBooks, RecordBooks};

const LEASE: Duration = Duration::from_secs(3600);

/// A folder that goes with the test, and the ledger's place in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

/// The same in memory where there is such a folder, for tests of many commits.
fn quick_place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

fn object(key: &str) -> Object {
    Object::new(ObjectId::new("bucket", key)).with_etag("e1")
}

fn delivered(records: u64) -> Finished {
    let records = RecordBooks {
        read: records,
        accepted: records,
        ..RecordBooks::default()
    };
    Finished::delivered(FileBooks {
        records,
        compressed: 10,
        inflated: 100,
        sent: 90,
    })
}

async fn granted(ledger: &SqliteLedger, object: &Object) -> (Ticket, Resume) {
    match ledger.claim(object, "worker", LEASE).await.unwrap() {
        Claim::Granted { ticket, resume } => (ticket, resume),
        other => panic!("not granted: {other:?}"),
    }
}

async fn is_held(ledger: &SqliteLedger, object: &Object) -> bool {
    let claim = ledger.claim(object, "another", LEASE).await.unwrap();
    matches!(claim, Claim::HeldBy { .. })
}

async fn is_delivered(ledger: &SqliteLedger, object: &Object) -> bool {
    ledger.claim(object, "another", LEASE).await.unwrap() == Claim::Delivered
}

/// A connection beside the ledger's own.
fn beside(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}
