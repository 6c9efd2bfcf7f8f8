//! Where a ledger lies, and who else can get at it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{file as fault, unfit};
use crate::error::{Error, ErrorKind, Result};

/// A ledger's place: its folder without symbolic links, and its name in it.
#[derive(Clone, Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    folder: PathBuf,
}

impl LedgerFile {
    /// Finds the place. With `create`, a folder of which only the last part is
    /// missing is made.
    pub(super) fn locate(path: &Path, create: bool) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(unfit(path, "this names no file"));
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if create && folder.symlink_metadata().is_err() {
            match private_folder().create(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(unfit(
                        folder,
                        "neither this folder nor the one above it exists; create it first",
                    ));
                }
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(fault(folder, "the folder cannot be created", error));
                }
                _ => {}
            }
        }
        let folder = folder.canonicalize().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                return unfit(folder, "this folder does not exist");
            }
            fault(folder, "the folder cannot be opened", error)
        })?;
        let facts = fs::metadata(&folder)
            .map_err(|error| fault(&folder, "the folder cannot be opened", error))?;
        if folder_is_open(&facts) {
            return Err(unfit(
                &folder,
                "everybody can write to this folder, and so replace the ledger; run chmod o-w on it",
            ));
        }
        Ok(Self {
            path: folder.join(name),
            folder,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A path in the same folder: the ledger's name with `suffix` behind it.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Creates the file empty, for its owner alone, unless it is there.
    ///
    /// SQLite gives its other files the same permissions. An existing file must
    /// never be opened here: closing it would give up the locks that SQLite holds
    /// on it in this process.
    pub(super) fn create(&self) -> Result<()> {
        match private_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(fault(&self.path, "the ledger cannot be created", error)),
            Ok(_) => self.sync_folder(),
        }
    }

    /// Sees that this is a file of its own that only its owner can write, and,
    /// for a writer, only its owner can read.
    pub(super) fn check(&self, writer: bool) -> Result<()> {
        let facts = self.facts(&self.path)?.ok_or_else(|| {
            let text = format!(
                "{}: there is no such ledger",
                super::fault::shown(&self.path)
            );
            Error::new(ErrorKind::NotFound, "ledger", text)
        })?;
        for suffix in ["-wal", "-shm", "-journal"] {
            let path = self.beside(suffix);
            if let Some(other) = self.facts(&path)?
                && owner(&other) != owner(&facts)
            {
                return Err(unfit(&path, "this belongs to another user than the ledger"));
            }
        }
        if writer && readable_by_others(&facts) {
            return Err(unfit(
                &self.path,
                "others can read this ledger; run chmod 600 on it",
            ));
        }
        Ok(())
    }

    /// What is at `path`: nothing, or a plain file that others cannot write.
    fn facts(&self, path: &Path) -> Result<Option<Metadata>> {
        let facts = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(path, "this cannot be looked at", error)),
            Ok(facts) => facts,
        };
        if facts.is_symlink() {
            return Err(unfit(
                path,
                "this is a symbolic link; name the file that it points to",
            ));
        }
        if !facts.is_file() {
            return Err(unfit(path, "this is no plain file"));
        }
        if writable_by_others(&facts) {
            return Err(unfit(
                path,
                "others can write to this file, and so hide a loss; \
                 see who did, then run chmod 600 on it",
            ));
        }
        Ok(Some(facts))
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync_folder(&self) -> Result<()> {
        if cfg!(unix) {
            File::open(&self.folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| fault(&self.folder, "the folder cannot be synced", error))?;
        }
        Ok(())
    }
}

/// A new file for its owner alone; an error where anything has that name.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    }
    options.open(path)
}

/// An existing file, not through a symbolic link.
pub(super) fn existing_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW);
    }
    options.open(path)
}

/// Creates folders for their owner alone.
pub(super) fn private_folder() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut, reason = "only Unix has modes"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
}

#[cfg(unix)]
fn mode(facts: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(facts)
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

#[cfg(unix)]
pub(super) fn owner(facts: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(facts)
}

#[cfg(not(unix))]
pub(super) fn owner(_: &Metadata) -> u32 {
    0
}

pub(super) fn writable_by_others(facts: &Metadata) -> bool {
    mode(facts) & 0o022 != 0
}

fn readable_by_others(facts: &Metadata) -> bool {
    mode(facts) & 0o044 != 0
}

/// Whether anybody can replace files in a folder: it is open to all, and not
/// "sticky" as `/tmp` is.
fn folder_is_open(facts: &Metadata) -> bool {
    mode(facts) & 0o1002 == 0o002
}
