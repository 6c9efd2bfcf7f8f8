//! Remembered records.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::ledger::MemoryLedger;

fn record(number: u32, at: Timestamp) -> Seen {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Seen::new(id, id.map(|byte| !byte), at)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn numbers(seen: &[Seen]) -> Vec<u32> {
    seen.iter()
        .map(|one| u32::from_be_bytes([one.id[0], one.id[1], one.id[2], one.id[3]]))
        .collect()
}

#[tokio::test]
async fn what_was_remembered_is_recalled_after_a_restart_to_the_nanosecond() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let now = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
    let seen: Vec<Seen> = (0..1000).map(|n| record(n, now)).collect();
    ledger.remember(&seen).await.unwrap();
    ledger.close().await;
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.recall(5000, Timestamp::MIN).await.unwrap(), seen);
    assert_eq!(ledger.recall(10, now).await.unwrap(), seen[990..]);
    let later = now + SignedDuration::from_nanos(1);
    assert_eq!(ledger.recall(5000, later).await.unwrap(), []);
}

#[tokio::test]
async fn the_newest_are_kept_and_the_table_stays_bounded() {
    let (_folder, path) = place();
    let open = |newest| {
        SqliteOptions::new()
            .remember_newest(newest)
            .open(&path)
            .unwrap()
    };
    let kept_now = || -> u32 {
        let count = "SELECT coalesce(sum(length(records)) / 32, 0) FROM seen";
        beside(&path)
            .query_row(count, [], |row| row.get(0))
            .unwrap()
    };
    let ledger = open(320);
    for call in 0..50 {
        let seen: Vec<Seen> = (0..17).map(|n| record(call * 17 + n, at(1))).collect();
        ledger.remember(&seen).await.unwrap();
        assert!(kept_now() <= 320 + 20 + 17, "{}", kept_now());
    }
    let kept = numbers(&ledger.recall(320, Timestamp::MIN).await.unwrap());
    assert_eq!(kept, (850 - 320..850).collect::<Vec<_>>());
    // More than are kept in one call, and a smaller setting.
    let many: Vec<Seen> = (1000..2000).map(|n| record(n, at(1))).collect();
    ledger.remember(&many).await.unwrap();
    assert_eq!(kept_now(), 320);
    drop(ledger);
    let ledger = open(10);
    ledger.remember(&many[..1]).await.unwrap();
    assert_eq!(kept_now(), 10);
    drop(ledger);
    let ledger = open(0);
    ledger.remember(&many).await.unwrap();
    assert_eq!(kept_now(), 0);
}

#[tokio::test]
async fn what_is_older_than_the_setting_is_forgotten() {
    let (_folder, path) = place();
    let ledger = SqliteOptions::new()
        .remember_newest(16)
        .remember_for(Duration::from_secs(3600))
        .open(&path)
        .unwrap();
    let now = Timestamp::now();
    let old = now - SignedDuration::from_hours(2);
    ledger
        .remember(&[record(1, old), record(2, now)])
        .await
        .unwrap();
    let kept = ledger.recall(100, Timestamp::MIN).await.unwrap();
    assert_eq!(numbers(&kept), [2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn it_recalls_as_the_ledger_in_memory(
        calls in prop::collection::vec(prop::collection::vec(-3..3_i64, 0..8), 1..8),
        most in 0..40_usize,
        since in -4..4_i64,
    ) {
        let (_folder, path) = quick_place();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (ledger, memory) = (SqliteLedger::open(&path).unwrap(), MemoryLedger::new());
            let mut number = 0;
            for call in calls {
                let seen: Vec<Seen> = call
                    .iter()
                    .map(|second| { number += 1; record(number, at(*second)) })
                    .collect();
                ledger.remember(&seen).await.unwrap();
                memory.remember(&seen).await.unwrap();
            }
            let got = ledger.recall(most, at(since)).await.unwrap();
            prop_assert_eq!(got, memory.recall(most, at(since)).await.unwrap());
            Ok(())
        })?;
    }
}
