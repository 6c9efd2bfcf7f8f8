//! A locked file, a full disk, a damaged file, a thread that dies.

use super::*;
use crate::error::Retry;
use crate::ledger::sqlite::writer::Outlives;

fn short() -> SqliteOptions {
    SqliteOptions::new().busy_timeout(Duration::from_millis(20))
}

#[tokio::test]
async fn a_file_locked_by_another_process_is_worth_a_retry() {
    let (_folder, path) = place();
    let ledger = short().open(&path).unwrap();
    let (ticket, _) = granted(&ledger, &object("k")).await;
    let other = beside(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = ledger
        .finish(&ticket, &object("k"), &delivered(1))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Backoff)
    );
    other.execute_batch("ROLLBACK").unwrap();
    ledger
        .finish(&ticket, &object("k"), &delivered(1))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_is_worth_a_retry_and_loses_no_row() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let limit = |pages: u32| {
        ledger.call(Outlives::Power, move |store| {
            // It answers with the limit, as a row.
            let pragma = format!("PRAGMA max_page_count = {pages}");
            let set = store.connection.query_row(&pragma, [], |_| Ok(()));
            set.map_err(fault::sqlite)
        })
    };
    limit(12).await.unwrap();
    let mut done = Vec::new();
    let error = loop {
        let file = object(&format!("{:0>900}", done.len()));
        match ledger.claim(&file, "worker", LEASE).await {
            Ok(Claim::Granted { ticket, .. }) => {
                if let Err(error) = ledger.finish(&ticket, &file, &delivered(1)).await {
                    break error;
                }
                done.push(file);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::Backoff)
    );
    assert!(done.len() > 3, "{}", done.len());
    limit(1000).await.unwrap();
    for file in &done {
        assert!(is_delivered(&ledger, file).await);
    }
    granted(&ledger, &object("there is room again")).await;
}

#[tokio::test]
async fn a_damaged_file_is_not_worth_a_retry() {
    use std::io::{Seek as _, Write as _};
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    for n in 0..50 {
        granted(&ledger, &object(&format!("{n:0>900}"))).await;
    }
    ledger.close().await;
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // The first page holds the tables' definitions; what follows is the tables.
    file.seek(std::io::SeekFrom::Start(4096)).unwrap();
    file.write_all(&[0xa5; 40_000]).unwrap();
    drop(file);
    let ledger = SqliteLedger::open(&path).unwrap();
    let error = ledger
        .claim(&object("k"), "worker", LEASE)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Other, Retry::Never)
    );
}

#[tokio::test]
async fn when_the_thread_dies_every_call_is_an_error() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let (ticket, _) = granted(&ledger, &object("k")).await;
    let died = ledger
        .call(Outlives::Power, |_| -> Result<()> { panic!("injected") })
        .await;
    assert_eq!(died.unwrap_err().kind(), ErrorKind::Other);
    let finish = ledger.finish(&ticket, &object("k"), &delivered(1)).await;
    assert_eq!(finish.unwrap_err().retry(), Retry::Never);
    assert!(ledger.claim(&object("l"), "w", LEASE).await.is_err());
    assert!(ledger.renew(&ticket, LEASE).await.is_err());
    assert!(ledger.recall(1, Timestamp::MIN).await.is_err());
    // And another instance takes over at once.
    let next = SqliteLedger::open(&path).unwrap();
    assert_eq!(granted(&next, &object("k")).await.0.fence, 2);
}

#[tokio::test]
async fn a_transaction_that_sqlite_gave_up_answers_nobody_with_success() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let lost = ledger
        .call(Outlives::Power, |store| {
            store
                .connection
                .execute_batch("ROLLBACK")
                .map_err(fault::sqlite)
        })
        .await;
    assert!(lost.unwrap_err().is_retryable());
    granted(&ledger, &object("k")).await;
}
