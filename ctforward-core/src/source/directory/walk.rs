//! The names below a folder, in order, without holding them all.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::file::Facts;

/// Something that the walk met.
pub(super) struct Met {
    pub(super) path: PathBuf,
    pub(super) key: String,
    pub(super) seen: Seen,
}

pub(super) enum Seen {
    File(Facts),
    Skip(&'static str),
    Failed(io::Error),
}

/// One folder on the way down: its path, its key, and the names still to come.
struct Level {
    path: PathBuf,
    key: String,
    names: Names,
}

/// The names in a folder: sorted, as far as [`AT_ONCE`] of them can be held.
struct Names {
    /// Open only while there may be more names in it.
    folder: Option<std::fs::ReadDir>,
    held: std::vec::IntoIter<OsString>,
    /// What ended the reading early; told behind the names that were read.
    failed: Option<io::Error>,
}

/// Names of one folder that are held and sorted at a time. A day's folder of
/// CloudTrail's has fewer; one with millions is taken in parts.
const AT_ONCE: usize = 50_000;

impl Names {
    fn of(folder: &Path) -> io::Result<Self> {
        let mut names = Self {
            folder: Some(std::fs::read_dir(folder)?),
            held: Vec::new().into_iter(),
            failed: None,
        };
        names.fill();
        Ok(names)
    }

    fn fill(&mut self) {
        let Some(folder) = &mut self.folder else {
            return;
        };
        let mut names = Vec::new();
        for entry in folder.by_ref().take(AT_ONCE) {
            match entry {
                Ok(entry) => names.push(entry.file_name()),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if names.len() < AT_ONCE {
            self.folder = None;
        }
        names.sort_unstable();
        self.held = names.into_iter();
    }

    fn next(&mut self) -> Option<io::Result<OsString>> {
        if self.held.len() == 0 {
            self.fill();
        }
        match self.held.next() {
            Some(name) => Some(Ok(name)),
            None => self.failed.take().map(Err),
        }
    }
}

/// Sends everything below `root` (or `single` alone), depth first; ends early when nobody listens.
pub(super) fn walk(root: &Path, single: Option<&Path>, send: &mpsc::Sender<Met>) {
    if let Some(path) = single {
        let key = path.file_name().map(part).unwrap_or_default();
        let met = look(path.to_owned(), key, true);
        if let Some(met) = met {
            // Nobody listens any more: nothing is to be sent.
            let _ = send.blocking_send(met);
        }
        return;
    }
    let mut levels = Vec::new();
    match Names::of(root) {
        Ok(names) => levels.push(Level {
            path: root.to_owned(),
            key: String::new(),
            names,
        }),
        Err(error) => {
            let met = Met {
                path: root.to_owned(),
                key: String::new(),
                seen: Seen::Failed(error),
            };
            let _ = send.blocking_send(met);
        }
    }
    while let Some(level) = levels.last_mut() {
        let name = match level.names.next() {
            Some(Ok(name)) => name,
            Some(Err(error)) => {
                let met = Met {
                    path: level.path.clone(),
                    key: level.key.clone(),
                    seen: Seen::Failed(error),
                };
                levels.pop();
                if send.blocking_send(met).is_err() {
                    return;
                }
                continue;
            }
            None => {
                levels.pop();
                continue;
            }
        };
        let path = level.path.join(&name);
        let key = if level.key.is_empty() {
            part(&name)
        } else {
            format!("{}/{}", level.key, part(&name))
        };
        let met = match look(path.clone(), key.clone(), false) {
            Some(met) => met,
            None => match Names::of(&path) {
                Ok(names) => {
                    levels.push(Level { path, key, names });
                    continue;
                }
                Err(error) => Met {
                    path,
                    key,
                    seen: Seen::Failed(error),
                },
            },
        };
        if send.blocking_send(met).is_err() {
            return;
        }
    }
}

/// What a path is; `None` for a folder. A link is not followed.
fn look(path: PathBuf, key: String, named: bool) -> Option<Met> {
    let seen = match std::fs::symlink_metadata(&path) {
        Err(error) => Seen::Failed(error),
        Ok(metadata) if metadata.is_dir() => return None,
        Ok(metadata) if metadata.is_symlink() => Seen::Skip("symbolic link"),
        Ok(metadata) if !metadata.is_file() => Seen::Skip("not a regular file"),
        Ok(_) if !named && is_temporary(&path) => Seen::Skip("temporary name of aws s3 sync"),
        Ok(metadata) => Seen::File(Facts::of(&metadata)),
    };
    Some(Met { path, key, seen })
}

/// Whether a name is one under which `aws s3 sync` writes a file before it is
/// whole: the final name, a dot, and eight hex digits. In doubt it is not: a date
/// may stand there, and a name that CloudTrail does not give.
fn is_temporary(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(rest, end)| {
        let is_date = jiff::civil::Date::strptime("%Y%m%d", end).is_ok();
        (rest.ends_with(".json") || rest.ends_with(".gz"))
            && end.len() == 8
            && end.bytes().all(|b| b.is_ascii_hexdigit())
            && !is_date
    })
}

/// Marks a part of a key that stands for a name that is no text.
const MARK: char = '\u{fffd}';

/// A name as a part of a key. A name that is not UTF-8 is written as a mark and
/// its bytes in hex, and so is one that itself begins with the mark: no two
/// names of a folder become the same key.
pub(super) fn part(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) if !text.starts_with(MARK) => text.to_owned(),
        _ => {
            let hex = name.as_encoded_bytes().iter().map(|b| format!("{b:02x}"));
            std::iter::once(MARK.to_string()).chain(hex).collect()
        }
    }
}
