//! What was answered is in the files, whenever the power goes.

use std::fs;

use super::*;
use crate::ledger::sqlite::writer::Outlives;

fn copy(path: &Path, to: &Path) {
    fs::copy(path, to).unwrap();
    let (log, to) = (
        path.with_file_name("ledger.db-wal"),
        to.with_file_name("copy.db-wal"),
    );
    fs::copy(log, to).unwrap();
}

async fn holds(path: &Path, finished: &[Object]) {
    let ledger = SqliteLedger::open(path).unwrap();
    for file in finished {
        assert!(is_delivered(&ledger, file).await, "{}", file.id);
    }
    let whole: String = beside(path)
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(whole, "ok");
}

#[tokio::test]
async fn a_copy_taken_between_two_calls_holds_everything_answered() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let mut finished = Vec::new();
    for n in 0..200 {
        let file = object(&format!("{n:0>300}"));
        let (ticket, _) = granted(&ledger, &file).await;
        ledger.finish(&ticket, &file, &delivered(1)).await.unwrap();
        finished.push(file);
        if n % 40 == 17 {
            let folder = tempfile::tempdir().unwrap();
            let to = folder.path().join("copy.db");
            copy(&path, &to);
            holds(&to, &finished).await;
        }
    }
}

#[tokio::test]
async fn a_log_torn_behind_what_was_answered_holds_it() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let log = path.with_file_name("ledger.db-wal");
    let mut finished = Vec::new();
    for n in 0..12 {
        let file = object(&format!("k{n}"));
        let (ticket, _) = granted(&ledger, &file).await;
        ledger.finish(&ticket, &file, &delivered(1)).await.unwrap();
        finished.push((file, fs::metadata(&log).unwrap().len()));
    }
    // Cut at each place where a call was answered, and between two of them.
    for (n, (_, length)) in finished.iter().enumerate().skip(1) {
        for cut in [*length, length - 1, length - 4096] {
            let folder = tempfile::tempdir().unwrap();
            let to = folder.path().join("copy.db");
            copy(&path, &to);
            let torn = fs::OpenOptions::new()
                .write(true)
                .open(to.with_file_name("copy.db-wal"))
                .unwrap();
            torn.set_len(cut).unwrap();
            let whole = if cut == *length { n + 1 } else { n };
            let answered: Vec<Object> = finished[..whole].iter().map(|f| f.0.clone()).collect();
            holds(&to, &answered).await;
        }
    }
}

#[tokio::test]
async fn what_must_outlive_a_failure_of_power_is_synced_and_closing_leaves_one_file() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let is = |outlives, pragma: &'static str, expected: rusqlite::types::Value| {
        ledger.call(outlives, move |store| {
            let value: rusqlite::types::Value = store
                .connection
                .query_row(pragma, [], |row| row.get(0))
                .unwrap();
            assert_eq!(value, expected, "{outlives:?}");
            Ok(())
        })
    };
    let (full, normal) = (2.into(), 1.into());
    for (outlives, level) in [(Outlives::Power, full), (Outlives::Process, normal)] {
        for _ in 0..2 {
            let now = rusqlite::types::Value::clone(&level);
            is(outlives, "PRAGMA synchronous", now).await.unwrap();
        }
    }
    let wal = "wal".to_owned().into();
    let mode = is(Outlives::Power, "PRAGMA journal_mode", wal);
    mode.await.unwrap();
    granted(&ledger, &object("k")).await;
    assert!(path.with_file_name("ledger.db-wal").exists());
    drop(ledger);
    assert!(!path.with_file_name("ledger.db-wal").exists());
    assert!(!path.with_file_name("ledger.db-shm").exists());
}

/// A finish among calls that need no sync, in one commit, is synced with them.
#[tokio::test]
async fn one_that_asks_for_it_has_all_of_a_commit_synced() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let level = |outlives| {
        ledger.call(outlives, move |store| {
            let level: i64 = store
                .connection
                .query_row("PRAGMA synchronous", [], |row| row.get(0))
                .unwrap();
            store.seen.key()?;
            // One byte of the answer is enough to carry it.
            Ok([u8::try_from(level).unwrap(); 32])
        })
    };
    // Holds the thread, so that those behind it wait together.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let held = ledger.call(Outlives::Process, move |_| {
        wait.recv().unwrap();
        Ok(())
    });
    let free = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        go.send(()).unwrap();
        Ok(())
    };
    let (_, first, second, _) =
        tokio::try_join!(held, level(Outlives::Process), level(Outlives::Power), free).unwrap();
    assert_eq!((first[0], second[0]), (2, 2));
    assert_eq!(level(Outlives::Process).await.unwrap()[0], 1);
}
