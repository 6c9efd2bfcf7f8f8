//! Tests that look inside: faults of the disk, stops of a compaction, other processes.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;

use super::compact::Step;
use super::disk::Disk;
use super::*;
use crate::object::{Object, ObjectId};
use crate::quarantine::{Kept, Reason};

fn entry(n: usize) -> QuarantineEntry {
    let object = Object::new(ObjectId::new("bucket", format!("key{n}"))).with_etag("e");
    let kept = Kept::Bytes(format!("{{\"n\":{n}}}").into());
    QuarantineEntry::new(object, Reason::Refused, "no", kept).at_offset(12)
}

async fn live(quarantine: &DirectoryQuarantine) -> Vec<QuarantineEntry> {
    let mut entries = quarantine.entries(Filter::new());
    let mut found = Vec::new();
    while let Some(stored) = entries.next().await.unwrap() {
        assert_eq!(stored.id, stored.entry.id());
        found.push(stored.entry);
    }
    found.sort_by(|a, b| a.object.id.cmp(&b.object.id));
    found
}

fn sorted(mut entries: Vec<QuarantineEntry>) -> Vec<QuarantineEntry> {
    entries.sort_by(|a, b| a.object.id.cmp(&b.object.id));
    entries
}

/// Fails where its count of calls says so.
#[derive(Default)]
struct Faulty {
    /// Bytes that a write gets onto the disk before it fails.
    write: Mutex<Option<usize>>,
    sync: std::sync::atomic::AtomicBool,
    syncs: AtomicUsize,
}

impl Disk for Faulty {
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        match *lock(&self.write) {
            None => file.write_all(bytes),
            Some(most) => {
                file.write_all(&bytes[..most.min(bytes.len())])?;
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        file.sync_all()
    }
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_when_there_is_room_again_nothing_is_hidden() {
    // However much of the line got onto the disk.
    for most in [0, 1, 40, 200, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Faulty::default());
        let builder = DirectoryQuarantine::builder(folder.path().join("q"));
        let quarantine = builder.open_on(disk.clone()).await.unwrap();
        quarantine.put(&entry(1)).await.unwrap();
        *lock(&disk.write) = Some(most);
        let error = quarantine.put(&entry(2)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.is_retryable());
        // A line that got there whole is found, synced, and relied on.
        let again = quarantine.put(&entry(2)).await;
        assert_eq!(again.is_ok(), most == 100_000);
        if most < 200 {
            assert_eq!(live(&quarantine).await, [entry_like(&quarantine, 1).await]);
        }
        *lock(&disk.write) = None;
        quarantine.put(&entry(2)).await.unwrap();
        quarantine.put(&entry(3)).await.unwrap();
        assert_eq!(live(&quarantine).await.len(), 3, "after {most} bytes");
        drop(quarantine);
        let again = DirectoryQuarantine::open(folder.path().join("q"))
            .await
            .unwrap();
        assert_eq!(live(&again).await.len(), 3, "after {most} bytes");
        // A failure that wrote nothing leaves no segment behind.
        if most == 0 {
            assert_eq!(segments(&folder.path().join("q")).len(), 2);
        }
    }
}

async fn entry_like(quarantine: &DirectoryQuarantine, n: usize) -> QuarantineEntry {
    let all = live(quarantine).await;
    let key = format!("key{n}");
    all.into_iter().find(|e| e.object.id.key == key).unwrap()
}

#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let builder = DirectoryQuarantine::builder(folder.path().join("q"));
    let quarantine = builder.open_on(disk.clone()).await.unwrap();
    disk.sync.store(true, Ordering::SeqCst);
    quarantine.put(&entry(1)).await.unwrap_err();
    quarantine.put(&entry(1)).await.unwrap_err();
    assert_eq!(quarantine.live(), 0, "what is not durable is not known");
    disk.sync.store(false, Ordering::SeqCst);
    quarantine.put(&entry(1)).await.unwrap();
    assert_eq!(live(&quarantine).await.len(), 1);
    let stored = quarantine.entries(Filter::new()).next().await.unwrap();
    let stored = stored.unwrap();
    disk.sync.store(true, Ordering::SeqCst);
    let resolved = quarantine.resolve(stored.id, Resolution::Accepted).await;
    resolved.unwrap_err();
    assert_eq!(quarantine.live(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn puts_at_the_same_time_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let builder = DirectoryQuarantine::builder(folder.path().join("q"));
    let quarantine = builder.open_on(disk.clone()).await.unwrap();
    // While the one that appends is held up, all others gather.
    let writer = Arc::clone(&quarantine.shared.writer);
    let (held, hold) = std::sync::mpsc::channel::<()>();
    let (holding, began) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let _writer = lock(&writer);
        holding.send(()).unwrap();
        let _ = hold.recv();
    });
    began.recv().unwrap();
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..100 {
        let own = quarantine.clone();
        puts.spawn(async move { own.put(&entry(n % 50)).await });
        // The first is taken alone.
        let queue = &quarantine.shared.queue;
        while n == 0 && queue.waiting() != Some(0) || n > 0 && queue.waiting() != Some(n) {
            tokio::task::yield_now().await;
        }
    }
    drop(held);
    while let Some(put) = puts.join_next().await {
        put.unwrap().unwrap();
    }
    holder.join().unwrap();
    assert_eq!(
        live(&quarantine).await.len(),
        50,
        "each twice, and kept once"
    );
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(syncs <= 2, "{syncs} syncs for 100 puts");
}

/// Two handles stand for two processes: nothing but the folder is common to them
/// (and what is under way, of which there is nothing here).
#[tokio::test]
async fn processes_see_each_others_puts_and_tombstones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let one = DirectoryQuarantine::open(&path).await.unwrap();
    let other = DirectoryQuarantine::open(&path).await.unwrap();
    one.put(&entry(1)).await.unwrap();
    other.put(&entry(1)).await.unwrap();
    assert_eq!(segments(&path).len(), 1, "known from the other's segment");
    other.put(&entry(2)).await.unwrap();
    assert_eq!(live(&one).await.len(), 2);
    assert!(
        one.resolve(entry(2).id(), Resolution::Dropped)
            .await
            .unwrap()
    );
    assert!(
        !one.resolve(entry(2).id(), Resolution::Dropped)
            .await
            .unwrap()
    );
    assert!(
        !other
            .resolve(entry(2).id(), Resolution::Dropped)
            .await
            .unwrap()
    );
    assert_eq!(live(&other).await.len(), 1);
    // Put after its tombstone, by whom the tombstone is not: it is live again.
    other.put(&entry(2)).await.unwrap();
    assert_eq!(live(&one).await.len(), 2);
}

/// Both write the same entry without having seen the other's.
#[tokio::test]
async fn a_tombstone_ends_only_the_puts_that_it_saw() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let one = DirectoryQuarantine::open(&path).await.unwrap();
    one.put(&entry(1)).await.unwrap();
    let mut entries = one.entries(Filter::new());
    let seen = entries.next().await.unwrap().unwrap();
    let other = DirectoryQuarantine::open(&path).await.unwrap();
    other.put(&entry(1).after_attempts(1)).await.unwrap();
    assert!(
        one.resolve_stored(&seen, Resolution::Accepted)
            .await
            .unwrap()
    );
    for quarantine in [
        &one,
        &other,
        &DirectoryQuarantine::open(&path).await.unwrap(),
    ] {
        let left = live(quarantine).await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].attempt, 1);
    }
    assert!(other.resolve(seen.id, Resolution::Accepted).await.unwrap());
    assert_eq!(live(&one).await.len(), 0);
}

#[tokio::test]
async fn a_reference_never_stands_for_an_entry_of_which_there_is_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = DirectoryQuarantine::open(folder.path().join("q"))
        .await
        .unwrap();
    quarantine.put(&entry(1)).await.unwrap();
    let mut reference = entry(1).after_attempts(3);
    reference.kept = Kept::Reference {
        length: 7,
        sha256: None,
    };
    quarantine.put(&reference).await.unwrap();
    drop(quarantine);
    for _ in 0..2 {
        let quarantine = DirectoryQuarantine::open(folder.path().join("q"))
            .await
            .unwrap();
        let left = live(&quarantine).await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].kept, entry(1).kept);
        assert_eq!(left[0].attempt, 3);
        quarantine.compact().await.unwrap();
    }
}

/// Ten entries in three closed segments; some are resolved in others than
/// their own, and 6 was put again.
async fn history(path: &Path) -> Vec<QuarantineEntry> {
    let mut made = vec![entry(30)];
    // A tombstone in an older segment than the put it ends.
    let older = DirectoryQuarantine::open(path).await.unwrap();
    older.put(&made[0]).await.unwrap();
    let newer = DirectoryQuarantine::open(path).await.unwrap();
    newer.put(&entry(31)).await.unwrap();
    let id = entry(31).id();
    assert!(older.resolve(id, Resolution::Dropped).await.unwrap());
    drop((older, newer));
    for part in 0..3 {
        let quarantine = DirectoryQuarantine::open(path).await.unwrap();
        for n in 0..10 {
            if n % 3 == part {
                let entry = entry(n);
                quarantine.put(&entry).await.unwrap();
                made.push(entry);
            }
        }
    }
    for n in [1, 2, 3, 6, 9] {
        let quarantine = DirectoryQuarantine::open(path).await.unwrap();
        quarantine
            .resolve(entry(n).id(), Resolution::Accepted)
            .await
            .unwrap();
        made.retain(|made| made.id() != entry(n).id());
    }
    let quarantine = DirectoryQuarantine::open(path).await.unwrap();
    let again = entry(6);
    quarantine.put(&again).await.unwrap();
    made.push(again);
    sorted(made)
}

#[tokio::test]
async fn a_compaction_that_stops_anywhere_loses_nothing_and_brings_nothing_back() {
    let mut steps = Vec::new();
    for stop_at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q");
        let expected = history(&path).await;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let open = Folder::open(&path, false, disk).unwrap();
        let mut count = 0;
        // Small segments, so that several are written.
        let stopped = compact::compact(&open, 600, &mut |step| {
            count += 1;
            if count > stop_at {
                return Err(io::Error::other("stopped"));
            }
            if stop_at == count {
                steps.push(step);
            }
            Ok(())
        });
        let finished = stopped.is_ok();
        for _ in 0..3 {
            let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
            assert_eq!(
                live(&quarantine).await,
                expected,
                "stopped after step {stop_at}"
            );
            quarantine.compact().await.unwrap();
        }
        // In the end nothing is left of what was resolved.
        let text: String = segments(&path)
            .iter()
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(!text.contains("tombstone"), "stopped after step {stop_at}");
        assert_eq!(text.lines().count(), expected.len());
        if finished {
            break;
        }
    }
    for step in [
        Step::Locked,
        Step::Written,
        Step::Synced,
        Step::Renamed,
        Step::FolderSynced,
        Step::Deleted,
    ] {
        assert!(steps.contains(&step), "{step:?} in {steps:?}");
    }
    assert!(steps.len() > 10, "{steps:?}");
}

#[tokio::test]
async fn a_segment_in_use_is_not_compacted_and_who_uses_it_finds_the_others_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let expected = history(&path).await;
    let using = DirectoryQuarantine::open(&path).await.unwrap();
    using.put(&entry(20)).await.unwrap();
    let other = DirectoryQuarantine::open(&path).await.unwrap();
    let done = other.compact().await.unwrap();
    assert_eq!(done.in_use, 1);
    assert_eq!(done.segments, 11);
    assert!(done.bytes_after < done.bytes_before);
    // It goes on where it was.
    using.put(&entry(21)).await.unwrap();
    using.put(&entry(4)).await.unwrap();
    assert_eq!(live(&using).await.len(), expected.len() + 2);
    assert_eq!(live(&other).await.len(), expected.len() + 2);
    assert_eq!(segments(&path).len(), 2);
}

#[tokio::test]
async fn two_compactions_at_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let lock = Folder::open(&path, false, disk).unwrap();
    let _lock = lock.lock_compaction().unwrap().unwrap();
    let error = quarantine.compact().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn lines_that_are_not_understood_are_counted_and_outlive_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    history(&path).await;
    let before = live(&DirectoryQuarantine::open(&path).await.unwrap()).await;
    let first = segments(&path).remove(0);
    let text = std::fs::read_to_string(&first).unwrap();
    // Whole lines, but of a later version, and one that was edited by hand.
    let later = text.lines().next().unwrap().replace("\"v\":1", "\"v\":2");
    let content = later.split(",\"crc32\"").next().unwrap();
    let later = format!(
        "{content},\"crc32\":\"{:08x}\"}}",
        crc32fast::hash(content.as_bytes())
    );
    let edited = text.lines().next().unwrap().replace("key30", "key37");
    std::fs::write(
        &first,
        format!("{later}\n{edited}\n{text}\u{0}\u{0}{{\"torn"),
    )
    .unwrap();
    for _ in 0..2 {
        let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
        let mut entries = quarantine.entries(Filter::new());
        let mut count = 0;
        while entries.next().await.unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, before.len());
        assert_eq!((entries.unknown(), entries.damaged()), (1, 1));
        let done = quarantine.compact().await.unwrap();
        assert!(done.unknown <= 1 && done.damaged <= 1);
    }
    let all: String = segments(&path)
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    assert!(all.contains(&later) && all.contains(&edited) && !all.contains("torn"));
}

#[test]
fn a_line_is_the_entry_byte_for_byte_and_any_change_to_it_shows() {
    let mut entry = entry(1).after_attempts(7);
    entry.at = "2026-03-01T12:00:00.123456789Z"
        .parse::<Timestamp>()
        .unwrap();
    entry.object.id.version = Some("v\n".into());
    let put = line::Put {
        bytes: true,
        attempt: 7,
        at: i64::try_from(entry.at.as_nanosecond()).unwrap(),
        nonce: u128::MAX - 5,
    };
    let mut bytes = Vec::new();
    line::write_put(&entry, &entry.id(), put, &mut bytes);
    assert_eq!(bytes.pop(), Some(b'\n'));
    assert_eq!(
        line::read(&bytes),
        line::Line::Put {
            id: entry.id(),
            put
        }
    );
    assert_eq!(line::entry(&bytes).unwrap(), entry);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(line::read(&changed), line::Line::Damaged, "byte {at}");
        assert_eq!(line::read(&bytes[..at]), line::Line::Damaged);
    }
}
