//! The ledger in a SQLite file, which is its store of remembered records too.

use std::time::Duration;

use ctforward_core::ledger::SqliteLedger;
use ctforward_core::testing;
use tempfile::TempDir;

/// A ledger in a folder that outlives it.
fn ledger(folder: &TempDir, name: u64) -> SqliteLedger {
    SqliteLedger::open(folder.path().join(format!("{name}.sqlite"))).unwrap()
}

fn next() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

async fn reopen(ledger: SqliteLedger) -> SqliteLedger {
    let path = ledger.path().to_owned();
    ledger.close().await;
    SqliteLedger::open(path).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_in_a_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let make = async || ledger(&folder, next());
    let short = Duration::from_millis(100);
    testing::ledger::check(make, short, tokio::time::sleep)
        .await
        .assert();
    testing::ledger::check_reopened(make, reopen).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_in_a_file_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let make = async || ledger(&folder, next());
    testing::seen::check(make).await.assert();
    testing::seen::check_reopened(make, reopen).await.assert();
}
