use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use ctforward_core::ledger::{Claim, Finished, Ledger as _, SqliteLedger};
use ctforward_core::pipeline::FileBooks;
use ctforward_core::text::printable;
use ctforward_core::{Object, ObjectId};

use super::*;

/// Keys that steer terminals, forge lines and are formulas.
const HOSTILE: [&str; 5] = [
    "=cmd|' /C calc'!A0",
    "\x1b]0;owned\x07\r\nfiles 0 known",
    "\u{202e}gpj.exe\u{9b}31m",
    "a,\"b\"\u{2028}c",
    "\t-1",
];

const LOG: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02/\
                   111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: LedgerArgs,
}

async fn filled(path: &Path) -> SqliteLedger {
    let ledger = SqliteLedger::open(path).unwrap();
    for key in HOSTILE.into_iter().chain([LOG]) {
        let object = Object::new(ObjectId::new("bucket", key)).with_etag(key);
        let claim = ledger.claim(&object, key, Duration::from_secs(60)).await;
        let Ok(Claim::Granted { ticket, .. }) = claim else {
            panic!("{claim:?}");
        };
        if key != HOSTILE[1] {
            let mut books = FileBooks::default();
            (books.records.read, books.records.accepted) = (1200, 1200);
            let mut finished = Finished::delivered(books);
            finished.quarantined = key == HOSTILE[0];
            ledger.finish(&ticket, &object, &finished).await.unwrap();
        }
    }
    ledger
}

fn shown(path: &Path, words: &[&str]) -> (String, ExitCode) {
    let line = ["ledger"].iter().chain(words).copied();
    let line = line.chain(["--ledger", path.to_str().unwrap()]);
    let what = Line::parse_from(line).args.what;
    let mut out = Vec::new();
    let code = match show(&what, &LedgerReader::open(path).unwrap(), &mut out) {
        Ok(code) => code,
        Err(Stop::Output(error)) => panic!("{error}"),
        Err(Stop::Failed(failure)) => panic!("{failure:?}"),
    };
    let out = String::from_utf8(out).unwrap();
    for line in out.lines() {
        assert_eq!(printable(line), line);
    }
    (out, code)
}

#[tokio::test]
async fn every_command_shows_a_ledger_in_use_and_nothing_in_it_steers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = filled(&path).await;

    let (text, code) = shown(&path, &["status"]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(text.contains("6 known = 4 delivered + 1 quarantined + 1 in progress"));
    assert!(text.contains("6,000 in = 6,000 accepted"), "{text}");
    assert!(text.contains("s3://bucket/\\u{1b}]0;owned"), "{text}");
    assert!(text.contains("they balance"));
    assert_eq!(text.matches("111122223333  us-east-1").count(), 1);

    let (json, _) = shown(&path, &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["balanced"], true);
    assert_eq!(json["oldest_unfinished"]["key"], HOSTILE[1]);

    let (all, _) = shown(&path, &["list"]);
    assert_eq!(all.lines().count(), 7, "{all}");
    let (some, _) = shown(&path, &["list", "--newest", "--limit", "2"]);
    assert_eq!(some.lines().count(), 4, "{some}");
    assert!(some.contains("there are more"));
    let (open, _) = shown(&path, &["list", "--state", "in-progress"]);
    assert_eq!(open.lines().count(), 2);
    let (one, _) = shown(&path, &["list", "--account", "111122223333"]);
    assert!(one.contains(LOG) && one.lines().count() == 2, "{one}");

    let (json, _) = shown(&path, &["export"]);
    let keys: Vec<String> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|row| row["key"].as_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<&str> = HOSTILE.into_iter().chain([LOG]).collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);

    let (csv, _) = shown(&path, &["export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 7);
    assert!(csv.contains("bucket,'=cmd|' /C calc'!A0,,'=cmd|"), "{csv}");
    assert!(csv.contains(",'\\u{9}-1,"), "{csv}");
    let (csv, _) = shown(
        &path,
        &["export", "--format", "csv", "--state", "quarantined"],
    );
    assert_eq!(csv.lines().count(), 2);
    ledger.close().await;
}

#[tokio::test]
async fn an_export_goes_on_over_its_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Arc::new(SqliteLedger::open(&path).unwrap());
    // Claims that wait together are committed together.
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..2345 {
        let object = Object::new(ObjectId::new("bucket", format!("{n:05}")));
        let ledger = Arc::clone(&ledger);
        claims.spawn(async move { ledger.claim(&object, "w", Duration::ZERO).await.unwrap() });
    }
    claims.join_all().await;
    let (json, _) = shown(&path, &["export"]);
    let keys = json.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["key"].as_str().unwrap().to_owned()
    });
    assert!(keys.eq((0..2345).map(|n| format!("{n:05}"))));
}
