//! The admin token as it was read last, for as long as its file stays as it was.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ctforward_core::Result;
use ctforward_visionone::{Secret, TokenProvider};
use tokio::sync::Mutex;

use super::token::read;

/// A token, and its file where it is in one. Of a file only its state is looked at for
/// each request; it is read where that is another one. A variable is read each time,
/// which reads nothing but memory.
pub(super) struct Kept {
    provider: Arc<dyn TokenProvider>,
    file: Option<PathBuf>,
    last: Mutex<Option<(State, Secret)>>,
}

/// What changes when a file is written, replaced, or opened to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    changed: (i64, i64),
}

/// A file that was changed this shortly before it was looked at may be changed once
/// more within the same tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

impl State {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            mode: file.mode(),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    fn is_settled(self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let settled = now.ok().and_then(|now| now.checked_sub(SETTLED));
        let changed = u64::try_from(self.changed.0).unwrap_or(u64::MAX);
        settled.is_some_and(|settled| changed < settled.as_secs())
    }
}

async fn state(file: &Path) -> Option<State> {
    let file = tokio::fs::metadata(file).await.ok()?;
    Some(State::of(&file))
}

impl Kept {
    pub(super) fn new(provider: Arc<dyn TokenProvider>, file: Option<PathBuf>) -> Self {
        let last = Mutex::new(None);
        Self {
            provider,
            file,
            last,
        }
    }

    /// The token.
    ///
    /// # Errors
    /// Why there is none: a file that is gone, that others can read, or too short.
    pub(super) async fn get(&self) -> Result<Secret> {
        let Some(file) = &self.file else {
            return read(self.provider.as_ref()).await;
        };
        // Looked at before it is read: what changes in between is read once more.
        let now = state(file).await;
        let mut last = self.last.lock().await;
        if let (Some((state, token)), Some(now)) = (last.as_ref(), now)
            && *state == now
        {
            return Ok(token.clone());
        }
        *last = None;
        let token = read(self.provider.as_ref()).await?;
        *last = now
            .filter(|now| now.is_settled())
            .map(|now| (now, token.clone()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use ctforward_visionone::TokenFile;

    use super::*;

    /// Counts how often it is read.
    struct Counted(TokenFile, AtomicUsize);

    #[async_trait]
    impl TokenProvider for Counted {
        async fn token(&self, refresh: bool) -> Result<Secret> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.token(refresh).await
        }
    }

    #[tokio::test]
    async fn a_file_that_stays_as_it_is_is_read_once_and_each_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("token", "the-first-admin-token");
        let counted = Arc::new(Counted(TokenFile::new(&path), AtomicUsize::new(0)));
        let reads = || counted.1.load(Ordering::SeqCst);
        let kept = Kept::new(Arc::clone(&counted) as _, Some(path.clone()));
        // Fresh, it is not trusted to stay; then it is.
        while !state(&path).await.unwrap().is_settled() {
            assert_eq!(kept.get().await.unwrap().expose(), "the-first-admin-token");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        kept.get().await.unwrap();
        let before = reads();
        for _ in 0..100 {
            assert_eq!(kept.get().await.unwrap().expose(), "the-first-admin-token");
        }
        assert_eq!(reads(), before);

        // Of the same length, in place; and by a rename.
        write("token", "the-other-admin-token");
        assert_eq!(kept.get().await.unwrap().expose(), "the-other-admin-token");
        write("new", "the-third-admin-token");
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(kept.get().await.unwrap().expose(), "the-third-admin-token");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(kept.get().await.is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(kept.get().await.is_err());
    }
}
