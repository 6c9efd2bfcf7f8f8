//! The folder and its files: who may write there, how they are named and opened.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::ORIGIN;
use super::disk::Disk;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::text::printable;

/// The end of a segment's name.
const SEGMENT: &str = ".jsonl";
/// The end of the name of a segment that compaction has not finished.
pub(super) const UNFINISHED: &str = ".jsonl.unfinished";
/// Locked by whoever compacts.
const COMPACTING: &str = "compacting.lock";

/// A folder with segments.
#[derive(Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
}

impl Folder {
    /// Checks the folder, or makes it.
    pub(super) fn open(given: &Path, create: bool, disk: Arc<dyn Disk>) -> Result<Self> {
        let fail = |error: io::Error| failed(&error, given);
        match std::fs::symlink_metadata(given) {
            Ok(metadata) => check(&metadata, given)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
                let mut builder = DirBuilder::new();
                builder.recursive(true);
                #[cfg(unix)]
                std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
                builder.create(given).map_err(fail)?;
                check(&std::fs::symlink_metadata(given).map_err(fail)?, given)?;
                let path = std::fs::canonicalize(given).map_err(fail)?;
                // Its name must last as long as what is put into it.
                if let Some(parent) = path.parent() {
                    disk.sync_folder(parent).map_err(fail)?;
                }
            }
            Err(error) => return Err(fail(error)),
        }
        let path = std::fs::canonicalize(given).map_err(fail)?;
        Ok(Self { path, disk })
    }

    /// The names of the segments, the oldest first.
    pub(super) fn segments(&self) -> Result<Vec<String>> {
        self.names(SEGMENT)
    }

    /// The names of files with this ending that this code may have made.
    pub(super) fn names(&self, ending: &str) -> Result<Vec<String>> {
        let fail = |error: io::Error| failed(&error, &self.path);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            // Other names are not ours to read, and still less to delete.
            if let Some(name) = name.to_str()
                && name.strip_suffix(ending).is_some_and(is_stem)
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a segment for reading; `None` where it is gone.
    pub(super) fn open_segment(&self, name: &str) -> Result<Option<File>> {
        let path = self.path.join(name);
        let mut options = OpenOptions::new();
        options.read(true);
        no_link(&mut options);
        match options.open(&path) {
            Ok(file) => {
                regular(&file, &path)?;
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error, &path)),
        }
    }

    /// Makes a new file that only its owner may read, to be appended to.
    pub(super) fn create(&self, ending: &str) -> io::Result<(String, File)> {
        let name = format!("{}{ending}", stem());
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        no_link(&mut options);
        private(&mut options);
        let file = options.open(self.path.join(&name))?;
        Ok((name, file))
    }

    /// A new segment, locked for as long as the file is open.
    pub(super) fn create_segment(&self) -> io::Result<(String, File)> {
        for _ in 0..8 {
            let (name, file) = self.create(SEGMENT)?;
            // A compaction that met the file before it was locked takes it for one
            // that nobody writes to any more, and deletes it.
            match file.try_lock() {
                Ok(()) if !is_gone(&file, &self.path.join(&name))? => {
                    self.sync()?;
                    return Ok((name, file));
                }
                Ok(()) | Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(
            "a new segment is taken away again and again",
        ))
    }

    /// The lock of whoever compacts, or `None` while somebody else does.
    pub(super) fn lock_compaction(&self) -> Result<Option<File>> {
        let path = self.path.join(COMPACTING);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        no_link(&mut options);
        private(&mut options);
        let file = options.open(&path).map_err(|error| failed(&error, &path))?;
        regular(&file, &path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(failed(&error, &path)),
        }
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync_folder(&self.path)
    }

    pub(super) fn failed(&self, error: &io::Error) -> Error {
        failed(error, &self.path)
    }
}

/// Whether an open file no longer has its name.
pub(super) fn is_gone(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        let _ = path;
        Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(!path.try_exists()?)
    }
}

/// A name that sorts by time and is nobody else's.
fn stem() -> String {
    let now = TimeZone::UTC.to_datetime(Timestamp::now());
    let (process, random) = (std::process::id(), fastrand::u64(..));
    format!(
        "{}.{:09}Z-{process}-{random:016x}",
        now.strftime("%Y%m%dT%H%M%S"),
        now.subsec_nanosecond()
    )
}

fn is_stem(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = name.split('-');
    let (time, process, random) = (parts.next(), parts.next(), parts.next());
    let time = time
        .and_then(|time| time.strip_suffix('Z'))
        .and_then(|time| time.split_once('.'))
        .filter(|(seconds, fraction)| {
            seconds.len() == 15
                && seconds.as_bytes()[8] == b'T'
                && fraction.len() == 9
                && digits(fraction)
        });
    let random = random.filter(|r| r.len() == 16 && r.bytes().all(|b| b.is_ascii_hexdigit()));
    time.is_some() && process.is_some_and(digits) && random.is_some() && parts.next().is_none()
}

fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// A link in the file's place is not followed, and a pipe not waited for.
fn no_link(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    #[cfg(not(unix))]
    let _ = options;
}

fn check(metadata: &Metadata, given: &Path) -> Result<()> {
    let shown = shown(given);
    let refused = |message: String| Err(Error::new(ErrorKind::Config, ORIGIN, message));
    if metadata.is_symlink() {
        return refused(format!(
            "{shown} is a link; name the folder it leads to as the quarantine"
        ));
    }
    if !metadata.is_dir() {
        return refused(format!("{shown} is no folder"));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(metadata) & 0o022 != 0 {
        return refused(format!(
            "others can write in {shown}, so nothing in it can be relied on: look at what it \
             holds, then `chmod 700` it, or name a folder of your own"
        ));
    }
    Ok(())
}

fn regular(file: &File, path: &Path) -> Result<()> {
    let metadata = file.metadata().map_err(|error| failed(&error, path))?;
    if metadata.is_file() {
        return Ok(());
    }
    let message = format!("{} is no regular file; remove it", shown(path));
    Err(Error::new(ErrorKind::Config, ORIGIN, message))
}

pub(super) fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// What an error of the file system means for the quarantine.
pub(super) fn failed(error: &io::Error, path: &Path) -> Error {
    let path = shown(path);
    let new = |kind, message: String| Error::new(kind, ORIGIN, message);
    if is_link(error) {
        let message = format!("{path} is a link, which is not followed; remove it");
        return new(ErrorKind::Config, message);
    }
    match error.kind() {
        io::ErrorKind::NotFound => new(ErrorKind::NotFound, format!("{path} is not there")),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => new(
            ErrorKind::Unauthorized,
            format!("{path} may not be read and written by this user: {error}"),
        ),
        // Room may be made, a disk may come back.
        _ => new(ErrorKind::Unavailable, format!("{path}: {error}")).with_retry(Retry::Backoff),
    }
}

fn is_link(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    return {
        let _ = error;
        false
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_were_made_here_are_taken_for_segments() {
        for _ in 0..100 {
            assert!(is_stem(&stem()));
        }
        assert!(is_stem("20260301T120000.000000000Z-1-0123456789abcdef"));
        for other in [
            "",
            "export",
            "20260301T120000.000000000Z-1-0123456789abcdef-2",
            "20260301T120000.000000000Z--0123456789abcdef",
            "20260301T120000.000000000Z-1-0123456789abcde",
            "20260301.000000000Z-1-0123456789abcdef",
        ] {
            assert!(!is_stem(other), "{other}");
        }
    }
}
