//! Log files in a folder.

mod file;
mod walk;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Intake, LogFile, NoReceipt, Open, Opened, Source};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::object::{Object, ObjectId};
use crate::text::printable;

use file::StoredFile;
use walk::{Met, Seen, walk};

/// How many names the walk may be ahead of the pipeline.
const AHEAD: usize = 64;

/// A folder, a file, or a tree of folders as `aws s3 sync` leaves it.
///
/// Files come in the order of their names, folder by folder (of a folder with more
/// than 50,000 names, part by part). Links are never
/// followed, and only regular files are opened; both are handed over as skipped,
/// and so are the temporary names of `aws s3 sync`. A folder or file that cannot
/// be looked at is handed over as a file that does not open, so that the rest is
/// still read and nothing is passed over. A file that changes while it is read
/// is an error of kind [`Changed`](ErrorKind::Changed).
///
/// A file's bucket is `file://` and the folder's absolute path, its key the path
/// below with `/` between its parts. Its ETag is its modification time (in
/// nanoseconds) and its length.
///
/// The receipts of its files do nothing: the files stay where they are.
pub struct DirectorySource {
    root: Arc<Root>,
    /// The one file that was named, if it is no folder.
    single: Option<PathBuf>,
    walk: Option<Walk>,
}

/// The walk under way.
struct Walk {
    met: mpsc::Receiver<Met>,
    /// Awaited once, when nothing more is met.
    task: Option<tokio::task::JoinHandle<()>>,
    broke_off: bool,
}

/// The folder that nothing may lead out of.
#[derive(Debug)]
struct Root {
    path: PathBuf,
    bucket: String,
}

impl fmt::Debug for DirectorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorySource")
            .field("root", &self.root.path)
            .finish_non_exhaustive()
    }
}

impl DirectorySource {
    /// The files of a folder and the folders below it, or one file.
    ///
    /// The path of a folder may be a link; nothing below it is followed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) where there is nothing of that name,
    /// [`Unauthorized`](ErrorKind::Unauthorized) where the folder may not be read,
    /// [`Config`](ErrorKind::Config) where it is neither a folder nor a file.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let given = path.as_ref();
        let path = std::fs::canonicalize(given).map_err(|error| classify(&error, given))?;
        let metadata = std::fs::metadata(&path).map_err(|error| classify(&error, given))?;
        let link = std::fs::symlink_metadata(given).is_ok_and(|metadata| metadata.is_symlink());
        if link && !metadata.is_dir() {
            let message = format!("{} is a link; name the file it leads to", shown(given));
            return Err(Error::new(ErrorKind::Config, ORIGIN, message));
        }
        let (root, single) = if metadata.is_dir() {
            // An unreadable folder is found now, not after the run began.
            std::fs::read_dir(&path).map_err(|error| classify(&error, given))?;
            (path, None)
        } else if metadata.is_file() {
            let parent = path
                .parent()
                .map_or_else(|| PathBuf::from("/"), Path::to_owned);
            (parent, Some(path))
        } else {
            return Err(Error::new(
                ErrorKind::Config,
                ORIGIN,
                format!("{} is neither a folder nor a file", shown(given)),
            ));
        };
        let bucket = match root.to_str() {
            Some(path) => format!("file://{path}"),
            None => format!("file://{}", walk::part(root.as_os_str())),
        };
        Ok(Self {
            root: Arc::new(Root { path: root, bucket }),
            single,
            walk: None,
        })
    }

    fn intake(&self, met: Met) -> Intake {
        let id = ObjectId::new(self.root.bucket.clone(), met.key);
        match met.seen {
            Seen::File(facts) => {
                let object = Object::new(id)
                    .with_etag(facts.etag())
                    .with_size(facts.length);
                let open = StoredFile {
                    path: met.path,
                    root: Arc::clone(&self.root),
                    facts,
                };
                Intake::File(LogFile::new(object, Arc::new(open), Box::new(NoReceipt)))
            }
            Seen::Skip(why) => Intake::Skip {
                object: id,
                why,
                receipt: Box::new(NoReceipt),
            },
            Seen::Failed(error) => {
                let error = classify(&error, &met.path);
                let open = Arc::new(Unreadable(error));
                Intake::File(LogFile::new(Object::new(id), open, Box::new(NoReceipt)))
            }
        }
    }
}

#[async_trait]
impl Source for DirectorySource {
    async fn next(&mut self) -> Result<Option<Intake>> {
        let walk = self.walk.get_or_insert_with(|| {
            let (send, met) = mpsc::channel(AHEAD);
            let root = self.root.path.clone();
            let single = self.single.clone();
            // Reading folders may block for long: it has a thread of its own,
            // which ends when the receiver is gone.
            let task = tokio::task::spawn_blocking(move || walk(&root, single.as_deref(), &send));
            Walk {
                met,
                task: Some(task),
                broke_off: false,
            }
        });
        let Some(met) = walk.met.recv().await else {
            // Only a walk that came to its end has met everything.
            if let Some(task) = &mut walk.task {
                walk.broke_off = task.await.is_err();
                walk.task = None;
            }
            if walk.broke_off {
                let message = "the walk through the folder broke off by a fault in the program";
                return Err(Error::new(ErrorKind::Other, ORIGIN, message));
            }
            return Ok(None);
        };
        let intake = self.intake(met);
        Ok(Some(match intake {
            Intake::File(file) if self.single.is_some() => Intake::File(file.named()),
            intake => intake,
        }))
    }
}

/// Stands for a folder or file that could not be looked at.
struct Unreadable(Error);

#[async_trait]
impl Open for Unreadable {
    async fn open(&self) -> Result<Opened> {
        Err(self.0.duplicate())
    }
}

const ORIGIN: &str = "folder";

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// What an error of the file system means.
fn classify(error: &io::Error, path: &Path) -> Error {
    let path = shown(path);
    let (kind, retry, message) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            Retry::Never,
            format!("{path}: there is no such file or folder"),
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Unauthorized,
            Retry::Never,
            format!(
                "{path} may not be read: give this user read permission, and search permission on its folder"
            ),
        ),
        _ if met_a_link(error) => (
            ErrorKind::Changed,
            Retry::Never,
            format!("{path} became a link"),
        ),
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => (
            ErrorKind::Unavailable,
            Retry::Backoff,
            format!("{path}: {error}"),
        ),
        _ => (
            ErrorKind::Other,
            Retry::Never,
            format!("{path} cannot be read: {error}"),
        ),
    };
    Error::new(kind, ORIGIN, message).with_retry(retry)
}

/// Whether an open that follows no link met one.
fn met_a_link(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::ELOOP);
    #[cfg(not(unix))]
    return {
        let _ = error;
        false
    };
}

#[cfg(test)]
mod tests;
