//! The calls that make bytes durable, in one place so that tests can let them fail.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

pub(super) trait Disk: Send + Sync {
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        // Elsewhere a folder cannot be opened as a file, and names last by themselves.
        #[cfg(not(unix))]
        let _ = folder;
        Ok(())
    }
}

pub(super) struct RealDisk;

impl Disk for RealDisk {}
