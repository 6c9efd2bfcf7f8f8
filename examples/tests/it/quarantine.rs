//! `quarantine` and `redrive`: what is listed and shown, and what leaves the folder.

use std::path::Path;

use ctforward_core::quarantine::{DirectoryQuarantine, Kept, Reason};
use ctforward_core::read::ReadLimits;
use ctforward_core::sink::MemorySink;
use ctforward_core::source::DirectorySource;
use ctforward_core::{Object, ObjectId, Pipeline, Quarantine, QuarantineEntry};
use tokio_util::sync::CancellationToken;

use crate::support::*;

fn refused(key: &str, offset: u64, bytes: &[u8]) -> QuarantineEntry {
    let object = Object::new(ObjectId::new("bucket", key)).with_etag("e");
    let kept = Kept::Bytes(bytes.to_vec().into());
    let detail = "no\x1b[31m";
    QuarantineEntry::new(object, Reason::Refused, detail, kept).at_offset(offset)
}

async fn fill(folder: &Path, entries: &[QuarantineEntry]) {
    let quarantine = DirectoryQuarantine::open(folder).await.unwrap();
    for entry in entries {
        quarantine.put(entry).await.unwrap();
    }
}

fn hex(entry: &QuarantineEntry) -> String {
    entry.id().iter().map(|b| format!("{b:02x}")).collect()
}

fn steers(text: &str) -> bool {
    text.chars()
        .any(|c| c != '\n' && *ctforward_core::text::printable(&c.to_string()) != c.to_string())
}

#[tokio::test]
async fn entries_are_listed_and_shown_without_steering_the_terminal() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("q");
    let folder_text = folder.to_str().unwrap();
    let bytes = b"{\"a\":\"\xff\x1b[2J\0\xc2\x9b\"}";
    let mut other = refused("other\n\u{202e}", 5, b"[]");
    other.reason = Reason::NotAnObject;
    let first = refused("key\x1b]0;x\x07", 1234, bytes);
    fill(&folder, &[first.clone(), other]).await;

    let ran = run(["quarantine", "list", folder_text]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(!steers(&ran.stdout) && !steers(&ran.stderr), "{ran:?}");
    let rows: Vec<&str> = ran.stdout.lines().collect();
    assert!(rows[1].starts_with(&hex(&first)[..12]), "{rows:?}");
    for part in ["refused", "1,234", "key\\u{1b}", "not_an_object", "all"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let ran = run([
        "quarantine",
        "list",
        folder_text,
        "--json",
        "--reason",
        "refused",
    ])
    .await;
    assert!(!steers(&ran.stdout), "{ran:?}");
    let json = ran.json();
    assert_eq!(json["id"], hex(&first));
    assert_eq!(json["key"], "key\x1b]0;x\x07");
    let ran = run(["quarantine", "list", folder_text, "--limit", "1"]).await;
    assert!(ran.stderr.contains("1 more are not shown"), "{ran:?}");

    let ran = run(["quarantine", "show", folder_text, &hex(&first)[..10]]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(!steers(&ran.stdout), "{ran:?}");
    assert!(ran.stdout.contains("\\u{1b}[2J"), "{ran:?}");
    let output = cli()
        .args(["quarantine", "show", folder_text, &hex(&first), "--raw"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, bytes);
    let file = place.path().join("raw");
    let file_text = file.to_str().unwrap();
    let raw = [
        "quarantine",
        "show",
        folder_text,
        &hex(&first),
        "--raw",
        "--output",
        file_text,
    ];
    assert_eq!(run(raw).await.status, 0);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(run(raw).await.status, 1, "nothing is overwritten");
    let absent = run(["quarantine", "show", folder_text, "0000000000"]).await;
    assert_eq!(absent.status, 1, "{absent:?}");
    let all = run(["quarantine", "list", &format!("{folder_text}-misspelt")]).await;
    assert_eq!(all.status, 1, "{all:?}");
    assert!(!place.path().join("q-misspelt").exists());
    let wrong = run(["quarantine", "list", folder_text, "--reason", "bored"]).await;
    assert_eq!(wrong.status, 2, "{wrong:?}");
}

#[tokio::test]
async fn what_is_accepted_leaves_and_what_remains_shows_in_the_status() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("q");
    let text = folder.to_str().unwrap();
    let entries: Vec<_> = (0..5)
        .map(|n| refused("k", n, record(&format!("R{n}")).as_bytes()))
        .collect();
    let mut bad = refused("k", 99, b"[1]");
    bad.reason = Reason::NotAnObject;
    fill(&folder, &entries).await;
    let standin = standin().await;
    let endpoint = standin.endpoint();
    let one = [
        "redrive",
        text,
        "--endpoint",
        &endpoint,
        "--report",
        "json",
        "--id",
        &hex(&entries[2]),
    ];
    let ran = run(one).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(ran.json()["entries"]["resolved"], 1);
    assert_eq!(received(&standin), [record("R2").into_bytes()]);
    fill(&folder, &[bad]).await;
    let ran = run(["redrive", text, "--endpoint", &endpoint]).await;
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stdout.contains("5 taken = 4 resolved"), "{ran:?}");
    assert_eq!(received(&standin).len(), 5);
    ran.assert_no_secret();
    let ran = run(["quarantine", "compact", text]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("1 entries are live"), "{ran:?}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_the_token_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("q");
    fill(&folder, &[refused("k", 1, b"{}")]).await;
    let standin = standin().await;
    let mut stranger = cli();
    stranger.env("VISIONONE_INGEST_TOKEN", "another");
    let endpoint = standin.endpoint();
    let args = ["redrive", folder.to_str().unwrap(), "--endpoint", &endpoint];
    let ran = run_with(stranger, args).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    let quarantine = DirectoryQuarantine::open(&folder).await.unwrap();
    assert_eq!(quarantine.live(), 1);
}

#[tokio::test]
async fn a_large_record_is_read_from_its_folder_again() {
    let place = tempfile::tempdir().unwrap();
    let logs = place.path().join("logs");
    let large = record(&"x".repeat(3000));
    let document = log_file(&[record("A"), large.clone()]);
    let key = key("111122223333", "us-east-1", 1);
    write(&logs, &key, &gzip(document.as_bytes()));
    // A reader that takes only small records keeps this one by reference.
    let folder = place.path().join("q");
    let quarantine = DirectoryQuarantine::open(&folder).await.unwrap();
    let source = DirectorySource::new(&logs).unwrap();
    let pipeline = Pipeline::builder(source, MemorySink::new())
        .read_limits(ReadLimits::default().with_record_bytes(1000))
        .quarantine(quarantine.clone())
        .build()
        .unwrap();
    let report = pipeline.run(CancellationToken::new()).await;
    assert_eq!(report.records.quarantined, 1);
    let to = place.path().join("out");
    let args = [
        "redrive",
        folder.to_str().unwrap(),
        "--to",
        to.to_str().unwrap(),
    ];
    let ran = run(args).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(std::fs::read_to_string(&to).unwrap().trim_end(), large);
    let ran = run(["quarantine", "list", folder.to_str().unwrap()]).await;
    assert_eq!(
        ran.stdout.lines().last(),
        Some("all           0"),
        "{ran:?}"
    );
}
