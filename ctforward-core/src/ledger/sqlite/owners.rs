//! Which instances of the ledger live: each holds an operating system's lock,
//! which ends with its process however that ends.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{file as fault, unfit};
use super::file::{
    LedgerFile, existing_file, owner, private_file, private_folder, writable_by_others,
};
use crate::error::Result;

/// So many names are tried; one is enough unless the numbers are no good.
const TRIES: u32 = 16;

/// This instance, and the folder in which every instance has its file.
#[derive(Debug)]
pub(super) struct Owners {
    folder: PathBuf,
    me: i64,
    path: PathBuf,
    /// Held as long as this lives.
    _lock: File,
}

impl Owners {
    /// Enters a new instance, and clears away the files of dead ones.
    pub(super) fn enter(ledger: &LedgerFile) -> Result<Self> {
        let folder = ledger.beside(".owners");
        match private_folder().create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(fault(&folder, "the folder cannot be created", error));
            }
            _ => {}
        }
        let facts = folder
            .symlink_metadata()
            .map_err(|error| fault(&folder, "this cannot be looked at", error))?;
        if !facts.is_dir() || writable_by_others(&facts) {
            return Err(unfit(
                &folder,
                "this must be a folder that only its owner can write to; \
                 remove it while no ctforward runs, and it is made anew",
            ));
        }
        let (me, path, lock) = Self::take_name(&folder)?;
        let owners = Self {
            folder,
            me,
            path,
            _lock: lock,
        };
        owners.see_whose(ledger)?;
        owners.sweep();
        Ok(owners)
    }

    /// A file of its own, locked. Another instance may take a file that is not yet
    /// locked for a dead one's, and remove it; then another name is tried.
    fn take_name(folder: &Path) -> Result<(i64, PathBuf, File)> {
        for _ in 0..TRIES {
            let me = fastrand::i64(1..);
            let path = folder.join(name(me));
            let lock = match private_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(|error| fault(&path, "it cannot be created", error))?,
            };
            if lock.try_lock().is_ok() && path.symlink_metadata().is_ok() {
                return Ok((me, path, lock));
            }
            let _ = fs::remove_file(&path);
        }
        Err(unfit(
            folder,
            "no file in here can be locked; a ledger must lie on a local file system",
        ))
    }

    /// A user who owns the ledger can write it, whatever its permissions are.
    fn see_whose(&self, ledger: &LedgerFile) -> Result<()> {
        let whose = |path: &Path| {
            let facts = path.symlink_metadata();
            facts.map_err(|error| fault(path, "this cannot be looked at", error))
        };
        let me = owner(&whose(&self.path)?);
        if me != 0 && owner(&whose(ledger.path())?) != me {
            return Err(unfit(
                ledger.path(),
                "this ledger belongs to another user; run as that user, or chown it",
            ));
        }
        Ok(())
    }

    /// What rows name this instance by.
    pub(super) fn me(&self) -> i64 {
        self.me
    }

    /// Whether an instance ended: its file is gone, or nobody holds its lock. What
    /// cannot be told counts as living; its leases then run out by themselves.
    pub(super) fn is_dead(&self, instance: i64) -> bool {
        instance != self.me && clear(&self.folder.join(name(instance)))
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let ours = entry.file_name().to_str().is_some_and(is_name);
            if ours && path != self.path {
                clear(&path);
            }
        }
    }
}

impl Drop for Owners {
    fn drop(&mut self) {
        // The lock is still held, so nobody else can be at it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the file of a dead instance; whether it is gone.
fn clear(path: &Path) -> bool {
    match existing_file(path) {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(file) => {
            let dead = file.try_lock().is_ok();
            if dead {
                // Removed while locked, so that an instance that made it just now sees it.
                let _ = fs::remove_file(path);
            }
            dead
        }
    }
}

fn name(instance: i64) -> String {
    format!("{instance:016x}")
}

fn is_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
