//! A quarantine in a folder: what is put is found again, byte for byte, whatever
//! happens to the process and its segments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ctforward_core::quarantine::{DirectoryQuarantine, Filter, Kept, Reason, Resolution};
use ctforward_core::{ErrorKind, Object, ObjectId, Quarantine, QuarantineEntry};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

pub(crate) fn entry(key: &str, offset: u64, kept: impl Into<Bytes>) -> QuarantineEntry {
    let object = Object::new(ObjectId::new("bucket", key))
        .with_etag("e")
        .with_size(99);
    let kept = Kept::Bytes(kept.into());
    QuarantineEntry::new(object, Reason::Refused, "no", kept).at_offset(offset)
}

pub(crate) async fn live(quarantine: &DirectoryQuarantine) -> BTreeMap<[u8; 32], QuarantineEntry> {
    let mut entries = quarantine.entries(Filter::new());
    let mut found = BTreeMap::new();
    while let Some(stored) = entries.next().await.unwrap() {
        assert_eq!(stored.id, stored.entry.id());
        assert!(found.insert(stored.id, stored.entry).is_none(), "each once");
    }
    found
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    found.sort();
    found
}

fn hostile() -> Vec<Vec<u8>> {
    let mut large = vec![b'x'; 1 << 20];
    large[1000] = b'\n';
    let mut binary: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    binary[7] = 0;
    vec![
        Vec::new(),
        b"{\"a\":\"\xff\xfe\"}".to_vec(),
        b"line\nbreak\r\n\t\x1b[2J\x07\x7f\"\\".to_vec(),
        "c1 \u{9b}31m bidi \u{202e} \u{2066} \u{2028} bom \u{feff} 日本 \u{10ffff}".into(),
        b"nul\0inside".to_vec(),
        b"\",\"crc32\":\"00000000\"}\n{\"v\":1}".to_vec(),
        large,
        binary,
    ]
}

#[tokio::test]
async fn hostile_keys_and_bytes_come_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let mut expected = BTreeMap::new();
    let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
    for (n, bytes) in hostile().into_iter().enumerate() {
        let key = format!("../../{n}\n\x1b[31m\u{202e}\0\"\\/x");
        for (reason, kept) in [
            (Reason::BadText, Kept::Bytes(bytes.clone().into())),
            (
                Reason::OverReaderCap,
                Kept::Reference {
                    length: u64::MAX,
                    sha256: Some(Sha256::digest(&bytes).into()),
                },
            ),
        ] {
            let mut entry = entry(&key, u64::MAX - n as u64, "");
            entry.reason = reason;
            entry.kept = kept;
            entry.object.id.version = Some("v\u{9b}".into());
            entry.detail = key.clone();
            quarantine.put(&entry).await.unwrap();
            expected.insert(entry.id(), entry);
        }
    }
    for (n, reason) in Reason::ALL.into_iter().enumerate() {
        let object = Object::new(ObjectId::new("", ""));
        let kept = Kept::Reference {
            length: 0,
            sha256: None,
        };
        let mut entry = QuarantineEntry::new(object, reason, "", kept);
        entry.attempt = n as u32;
        quarantine.put(&entry).await.unwrap();
        expected.insert(entry.id(), entry);
    }
    assert!(live(&quarantine).await == expected);
    drop(quarantine);
    let again = DirectoryQuarantine::open(&path).await.unwrap();
    assert_eq!(again.live(), expected.len());
    assert!(live(&again).await == expected);
    // Names come from nothing that was put.
    for segment in segments(&path) {
        let name = segment.file_name().unwrap().to_str().unwrap();
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        );
    }
}

#[tokio::test]
async fn segments_are_json_lines_for_any_tool_and_safe_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
    for (n, bytes) in hostile().into_iter().enumerate() {
        quarantine
            .put(&entry("k\x1b", n as u64, bytes))
            .await
            .unwrap();
    }
    let id = entry("k\x1b", 0, "").id();
    assert!(quarantine.resolve(id, Resolution::Dropped).await.unwrap());
    let [segment] = &segments(&path)[..] else {
        panic!("one segment")
    };
    let text = std::fs::read_to_string(segment).unwrap();
    let steers =
        |c: char| c != '\n' && ctforward_core::text::printable(&c.to_string()) != c.to_string();
    assert!(!text.contains(steers));
    let mut lines = text.lines();
    for (n, bytes) in hostile().into_iter().enumerate() {
        let line: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        assert_eq!(line["bucket"], "bucket");
        assert_eq!(line["key"], "k\x1b");
        assert_eq!(line["etag"], "e");
        assert_eq!(line["size"], 99);
        assert_eq!(line["offset"], n);
        assert_eq!(line["length"], bytes.len());
        assert_eq!(line["reason"], "refused");
        assert_eq!(line["attempt"], 0);
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(line["sha256"], hash);
        match std::str::from_utf8(&bytes) {
            Ok(text) if !bytes.contains(&0) => assert_eq!(line["text"], text),
            _ => assert!(line["base64"].is_string() && line["text"].is_null()),
        }
    }
    let tombstone: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(tombstone["tombstone"], hex);
    assert_eq!(tombstone["outcome"], "dropped");
    assert!(lines.next().is_none());
}

#[tokio::test]
async fn full_segments_are_followed_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let builder = DirectoryQuarantine::builder(&path).segment_bytes(1000);
    let quarantine = builder.open().await.unwrap();
    for n in 0..20 {
        quarantine
            .put(&entry("k", n, "x".repeat(400)))
            .await
            .unwrap();
    }
    assert_eq!(segments(&path).len(), 10);
    assert_eq!(live(&quarantine).await.len(), 20);
}

#[tokio::test]
async fn filters_take_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let quarantine = DirectoryQuarantine::open(folder.path().join("q"))
        .await
        .unwrap();
    let mut other = entry("b/1", 0, "x");
    other.reason = Reason::BadText;
    other.object.id.bucket = "other".into();
    let all = [entry("a/1", 0, "x"), entry("b/1", 0, "x"), other];
    for entry in &all {
        quarantine.put(entry).await.unwrap();
    }
    let hex: String = all[1].id().iter().map(|b| format!("{b:02X}")).collect();
    for (filter, expected) in [
        (Filter::new(), vec![0, 1, 2]),
        (Filter::new().reasons([Reason::BadText]), vec![2]),
        (
            Filter::new().reasons([Reason::BadText, Reason::Refused]),
            vec![0, 1, 2],
        ),
        (Filter::new().bucket("bucket"), vec![0, 1]),
        (Filter::new().key_prefix("b/"), vec![1, 2]),
        (Filter::new().ids([&hex[..12]]), vec![1]),
        (Filter::new().ids([&hex]).bucket("other"), vec![]),
    ] {
        let mut entries = quarantine.entries(filter.clone());
        let mut found = Vec::new();
        while let Some(stored) = entries.next().await.unwrap() {
            found.push(all.iter().position(|e| e.id() == stored.id).unwrap());
        }
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_it_and_links_and_open_folders_are_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/q");
    let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
    quarantine.put(&entry("k", 0, "x")).await.unwrap();
    quarantine.put(&entry("k", 1, "x")).await.unwrap();
    quarantine
        .resolve(entry("k", 1, "").id(), Resolution::Dropped)
        .await
        .unwrap();
    drop(quarantine);
    let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
    quarantine.compact().await.unwrap();
    drop(quarantine);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in std::fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let refused = async |path: &Path, says: &str| {
        let error = DirectoryQuarantine::open(path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    refused(&link, "is a link").await;
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    refused(&file, "no folder").await;
    for open in [0o770, 0o702] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).unwrap();
        refused(&path, "chmod 700").await;
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    // A segment that is a link: nobody knows whose bytes these are.
    let segment = segments(&path).remove(0);
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&segment, &elsewhere).unwrap();
    symlink(&elsewhere, &segment).unwrap();
    refused(&path, "is a link").await;
    let missing = folder.path().join("missing");
    let missing = DirectoryQuarantine::builder(missing).create(false).open();
    assert_eq!(missing.await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// What a run of processes does to one quarantine.
#[derive(Clone, Debug)]
enum Act {
    Put(u8, u8),
    Resolve(u8),
    /// The process ends and another begins.
    Reopen,
    Compact,
    /// The process ends while it appends: a part of the last line is there.
    Tear(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..12_u8, 0..3_u8).prop_map(|(n, attempt)| Act::Put(n, attempt)),
        3 => (0..12_u8).prop_map(Act::Resolve),
        2 => Just(Act::Reopen),
        1 => Just(Act::Compact),
        1 => any::<u16>().prop_map(Act::Tear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn it_holds_what_was_put_and_not_resolved(
        acts in proptest::collection::vec(act(), 1..60),
        segment_bytes in 1..4000_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(follow(acts, segment_bytes));
    }
}

async fn follow(acts: Vec<Act>, segment_bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let open = async || {
        let builder = DirectoryQuarantine::builder(&path).segment_bytes(segment_bytes);
        builder.open().await.unwrap()
    };
    let mut quarantine = open().await;
    let mut model: BTreeMap<[u8; 32], QuarantineEntry> = BTreeMap::new();
    for act in acts {
        match act {
            Act::Put(n, attempt) => {
                let entry = entry("k", n.into(), vec![n; n.into()]).after_attempts(attempt.into());
                quarantine.put(&entry).await.unwrap();
                let known = model.entry(entry.id()).or_insert_with(|| entry.clone());
                if known.attempt < entry.attempt {
                    *known = entry;
                }
            }
            Act::Resolve(n) => {
                let id = entry("k", n.into(), "").id();
                let resolved = quarantine.resolve(id, Resolution::Dropped).await.unwrap();
                assert_eq!(resolved, model.remove(&id).is_some());
            }
            Act::Reopen => {
                drop(quarantine);
                quarantine = open().await;
            }
            Act::Compact => {
                quarantine.compact().await.unwrap();
            }
            Act::Tear(at) => {
                // What was acknowledged stays; of one more line only a part got there.
                let before = segments(&path);
                let extra = entry("torn", 0, "x".repeat(100));
                quarantine.put(&extra).await.unwrap();
                drop(quarantine);
                let new = segments(&path);
                let last = new.iter().find(|path| !before.contains(path));
                let last = last.or(new.last()).unwrap().clone();
                let bytes = std::fs::read(&last).unwrap();
                let begin = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n');
                let begin = begin.map_or(0, |at| at + 1);
                if bytes[begin..].windows(6).any(|w| w == b"\"torn\"") {
                    let most = bytes.len() - begin;
                    std::fs::write(&last, &bytes[..begin + usize::from(at) % most]).unwrap();
                } else {
                    let again = open().await;
                    again
                        .resolve(extra.id(), Resolution::Dropped)
                        .await
                        .unwrap();
                }
                quarantine = open().await;
            }
        }
        assert_eq!(quarantine.live(), model.len());
        assert_eq!(live(&quarantine).await, model);
    }
    drop(quarantine);
    let quarantine = open().await;
    quarantine.compact().await.unwrap();
    assert_eq!(live(&quarantine).await, model);
}

/// The real thing: a file that may not grow, in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn where_the_file_may_not_grow_nothing_is_acknowledged_and_what_was_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q");
    let status = std::process::Command::new("sh")
        // 8 blocks are 4 or 8 KiB; the signal that comes with the limit is ignored.
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact quarantine::fill --nocapture")
        .arg(std::env::current_exe().unwrap())
        .env("CTFORWARD_TEST_FILL", &path)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let acknowledged = std::fs::read_to_string(path.with_extension("count")).unwrap();
        let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
        let left = live(&quarantine).await;
        let mut counted = 0;
        for offset in acknowledged.split_whitespace() {
            let id = entry("k", offset.parse().unwrap(), "").id();
            assert!(left.contains_key(&id), "{offset}");
            counted += 1;
        }
        assert!(counted >= 4, "{acknowledged}");
    });
}

/// Part of the test above; alone it has nothing to fill.
#[tokio::test]
async fn fill() {
    let Some(path) = std::env::var_os("CTFORWARD_TEST_FILL") else {
        return;
    };
    let path = PathBuf::from(path);
    let quarantine = DirectoryQuarantine::open(&path).await.unwrap();
    let (mut acknowledged, mut refused) = (String::new(), 0);
    for n in 0..20 {
        match quarantine.put(&entry("k", n, "x".repeat(1200))).await {
            Ok(()) => acknowledged.push_str(&format!("{n} ")),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    std::fs::write(path.with_extension("count"), acknowledged).unwrap();
}
