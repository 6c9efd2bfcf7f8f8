use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use ctforward_core::quarantine::{Kept, MemoryQuarantine};
use ctforward_core::testing::{self, Findings};
use ctforward_core::{Quarantine, QuarantineEntry, Result};

use crate::assert_caught;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quarantine_in_memory_conforms() {
    let make = async || MemoryQuarantine::new();
    let read = async |quarantine: &MemoryQuarantine| quarantine.entries();
    testing::quarantine::check(make, read).await.assert();
    testing::quarantine::check_reopened(make, async |same| same, read)
        .await
        .assert();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    Truncates,
    KeepsText,
    TrimsLines,
    ForgetsTheHash,
    FileIsOffsetNought,
    ForgetsTheAttempt,
    NotIdempotent,
    IdentityOfTheBytes,
    NoOffset,
    NoReason,
    NoEtag,
    NoVersion,
    AnyCase,
    Races,
    KeepsLater,
}

/// Keeps entries in a list, in a way that breaks one clause.
struct Broken {
    entries: Mutex<Vec<QuarantineEntry>>,
    flaw: Flaw,
}

impl Broken {
    fn entries(&self) -> Vec<QuarantineEntry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = entries.clone();
        if self.flaw == Flaw::KeepsLater {
            entries.pop();
        }
        entries
    }

    fn mangled(&self, entry: &QuarantineEntry) -> QuarantineEntry {
        let mut entry = entry.clone();
        match (self.flaw, &mut entry.kept) {
            (Flaw::Truncates, Kept::Bytes(bytes)) => bytes.truncate(64 * 1024),
            (Flaw::KeepsText, Kept::Bytes(bytes)) => {
                *bytes = String::from_utf8_lossy(bytes).into_owned().into();
            }
            (Flaw::TrimsLines, Kept::Bytes(bytes)) => {
                *bytes = bytes.slice_ref(bytes.trim_ascii());
            }
            (Flaw::ForgetsTheHash, Kept::Reference { sha256, .. }) => *sha256 = None,
            (Flaw::ForgetsTheAttempt, _) => entry.attempt = 0,
            (Flaw::FileIsOffsetNought, _) => entry.offset = Some(entry.offset.unwrap_or(0)),
            _ => {}
        }
        entry
    }

    /// What names an entry here.
    fn id(&self, entry: &QuarantineEntry) -> Vec<u8> {
        let mut entry = entry.clone();
        match self.flaw {
            Flaw::IdentityOfTheBytes => {
                return format!("{:?}{:?}", entry.id(), entry.detail).into_bytes();
            }
            Flaw::NoOffset => entry.offset = None,
            Flaw::NoReason => entry.reason = ctforward_core::quarantine::Reason::Refused,
            Flaw::NoEtag => entry.object.etag = None,
            Flaw::NoVersion => entry.object.id.version = None,
            Flaw::AnyCase => entry.object.id.key = entry.object.id.key.to_lowercase(),
            _ => {}
        }
        entry.id().to_vec()
    }
}

#[async_trait]
impl Quarantine for Broken {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        let mut all = self.entries.lock().unwrap().clone();
        if self.flaw == Flaw::Races {
            // Read, and written when others have written meanwhile.
            tokio::task::yield_now().await;
        }
        let known = all.iter().any(|held| self.id(held) == self.id(entry));
        if !known || self.flaw == Flaw::NotIdempotent {
            all.push(self.mangled(entry));
        }
        *self.entries.lock().unwrap() = all;
        Ok(())
    }
}

async fn findings(flaw: Flaw) -> Findings {
    let make = async || Broken {
        entries: Mutex::default(),
        flaw,
    };
    testing::quarantine::check(make, async |broken: &Broken| broken.entries()).await
}

#[tokio::test]
async fn each_broken_quarantine_is_caught_by_the_clause_it_breaks() {
    let (bytes, twice, apart) = ("byte for byte", "the same entry twice", "kept apart");
    for (flaw, by) in [
        (Flaw::Truncates, bytes),
        (Flaw::KeepsText, bytes),
        (Flaw::TrimsLines, bytes),
        (Flaw::ForgetsTheHash, bytes),
        (Flaw::FileIsOffsetNought, bytes),
        (Flaw::ForgetsTheAttempt, bytes),
        (Flaw::KeepsLater, bytes),
        (Flaw::NotIdempotent, twice),
        (Flaw::IdentityOfTheBytes, twice),
        (Flaw::NoOffset, apart),
        (Flaw::NoReason, apart),
        (Flaw::NoEtag, apart),
        (Flaw::NoVersion, apart),
        (Flaw::AnyCase, apart),
        (Flaw::Races, "put at once"),
    ] {
        assert_caught(&format!("{flaw:?}"), &findings(flaw).await, by);
    }
    // It is the flaw that is caught.
    findings(Flaw::None).await.assert();
}

#[tokio::test]
async fn a_quarantine_that_forgets_when_it_is_closed_is_caught() {
    let make = async || MemoryQuarantine::new();
    let read = async |quarantine: &MemoryQuarantine| quarantine.entries();
    let forgets = async |_: MemoryQuarantine| MemoryQuarantine::new();
    let findings = testing::quarantine::check_reopened(make, forgets, read).await;
    assert_caught("forgetting", &findings, "opening anew");
}

mod directory {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU64, Ordering};

    use ctforward_core::QuarantineEntry;
    use ctforward_core::quarantine::{DirectoryQuarantine, Filter};
    use ctforward_core::testing;

    async fn open(path: PathBuf) -> DirectoryQuarantine {
        DirectoryQuarantine::open(path).await.unwrap()
    }

    async fn read(quarantine: &DirectoryQuarantine) -> Vec<QuarantineEntry> {
        let mut entries = quarantine.entries(Filter::default());
        let mut all = Vec::new();
        while let Some(stored) = entries.next().await.unwrap() {
            all.push(stored.entry);
        }
        all
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_quarantine_in_a_folder_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let next = AtomicU64::new(0);
        let path = || {
            let n = next.fetch_add(1, Ordering::Relaxed);
            folder.path().join(format!("q{n}"))
        };
        testing::quarantine::check(async || open(path()).await, read)
            .await
            .assert();
        // Each is closed by dropping it; the one that follows finds what it left.
        let last = std::sync::Mutex::new(PathBuf::new());
        let make = async || {
            let path = path();
            last.lock().unwrap().clone_from(&path);
            open(path).await
        };
        let reopen = async |quarantine| {
            drop(quarantine);
            let path = last.lock().unwrap().clone();
            open(path).await
        };
        testing::quarantine::check_reopened(make, reopen, read)
            .await
            .assert();
    }
}
