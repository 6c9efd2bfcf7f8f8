//! What programs read of a ledger.

use super::*;
use crate::ledger::{Known as _, LedgerKnown};

const LOG: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02/\
                   111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn keys(rows: &[LedgerRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

#[tokio::test]
async fn a_row_keeps_what_was_said_of_its_file() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let id = ObjectId::new("bucket", LOG).with_version("v1");
    let object = Object::new(id).with_etag("e1").with_size(u64::MAX);
    let (ticket, _) = granted(&ledger, &object).await;
    let mut finished = delivered(5)
        .with_sha256(Some([0xab; 32]))
        .with_events(Some((
            time("2024-01-02T03:00:00Z"),
            time("2024-01-02T03:04:59Z"),
        )));
    finished.at = time("2024-01-02T03:10:00.5Z");
    ledger.finish(&ticket, &object, &finished).await.unwrap();
    // Also while the ledger is in use.
    let reader = LedgerReader::open(&path).unwrap();
    let rows = reader.rows(None, 10, &RowFilter::all()).unwrap();
    let mut row = serde_json::to_value(&rows[0]).unwrap();
    assert_eq!(rows.len(), 1);
    let claimed = row["claimed_at"].take();
    assert!(time(claimed.as_str().unwrap()) <= Timestamp::now());
    assert_eq!(
        row,
        serde_json::json!({
            "bucket": "bucket", "key": LOG, "version": "v1", "etag": "e1", "size": u64::MAX,
            "account": "111122223333", "region": "us-east-1", "state": "delivered",
            "records": {"in": 5, "accepted": 5, "filtered": 0, "duplicate": 0, "quarantined": 0,
                        "undecided": 0, "resumed": 0},
            "compressed": 10, "inflated": 100, "sent": 90, "low_water": 0, "sha256": "ab".repeat(32),
            "first_event": "2024-01-02T03:00:00Z", "last_event": "2024-01-02T03:04:59Z",
            "claimed_at": null, "accepted_at": "2024-01-02T03:10:00.5Z", "owner": "worker",
            "fence": 1, "lease_until": null,
        })
    );
    // Written anew, it begins anew.
    granted(&ledger, &object.with_etag("e2")).await;
    let row = &reader.rows(None, 10, &RowFilter::all()).unwrap()[0];
    assert_eq!((row.state, row.fence), (RowState::InProgress, 2));
    assert_eq!(
        (row.sha256, row.accepted_at, row.last_event),
        (None, None, None)
    );
    assert_eq!((row.records, row.inflated), (RecordBooks::default(), 0));
}

#[tokio::test]
async fn rows_come_in_pages_by_key_newest_first_and_filtered() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    for (n, key) in ["b", "a\u{1b}", "c", LOG, ""].into_iter().enumerate() {
        let object = object(key);
        let (ticket, _) = granted(&ledger, &object).await;
        let mut finished = delivered(1);
        finished.quarantined = key == "c";
        finished.at = Timestamp::now() + Duration::from_secs(100 * n as u64);
        if key != "b" {
            ledger.finish(&ticket, &object, &finished).await.unwrap();
        }
    }
    let reader = LedgerReader::open(&path).unwrap();
    let all = RowFilter::all();
    let mut rows = reader.rows(None, 2, &all).unwrap();
    while let Some(last) = rows.last() {
        let after = (last.bucket.as_str(), last.key.as_str());
        let more = reader.rows(Some(after), 2, &all).unwrap();
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    assert_eq!(keys(&rows), ["", LOG, "a\u{1b}", "b", "c"]);
    let newest = reader.newest(3, &all).unwrap();
    assert_eq!(keys(&newest), ["", LOG, "c"]);
    let quarantined = RowFilter::all().state(RowState::Quarantined);
    assert_eq!(keys(&reader.rows(None, 9, &quarantined).unwrap()), ["c"]);
    let account = RowFilter::all().account("111122223333");
    assert_eq!(keys(&reader.rows(None, 9, &account).unwrap()), [LOG]);
    let neither = account.state(RowState::InProgress);
    assert_eq!(reader.newest(9, &neither).unwrap(), []);
}

#[tokio::test]
async fn accounts_and_regions_that_keys_make_up_are_told_apart_up_to_a_limit() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    for account in 1..=5 {
        let file = object(&LOG.replace("111122223333", &format!("{account:012}")));
        let (ticket, _) = granted(&ledger, &file).await;
        ledger.finish(&ticket, &file, &delivered(1)).await.unwrap();
    }
    drop(ledger);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let status = LedgerStatus::read_with(&connection, 3).unwrap();
    assert_eq!((status.last_seen.len(), status.last_seen_others), (3, 2));
    // What is not told apart is counted all the same.
    assert_eq!((status.delivered, status.records.accepted), (5, 5));
    let whole = LedgerReader::open(&path).unwrap().status().unwrap();
    assert_eq!((whole.last_seen.len(), whole.last_seen_others), (5, 0));
}

#[tokio::test]
async fn the_status_adds_up_and_an_unbalanced_row_shows() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    let empty = reader.status().unwrap();
    assert_eq!((empty.files(), empty.balanced()), (0, true));
    for (key, hour) in [(LOG.to_owned(), 3), (LOG.replace("0305Z", "0405Z"), 4)] {
        let file = object(&key);
        let (ticket, _) = granted(&ledger, &file).await;
        let event = time(&format!("2024-01-02T0{hour}:00:00Z"));
        let mut finished = delivered(2).with_events(Some((event, event)));
        finished.at = event + Duration::from_secs(300);
        ledger.finish(&ticket, &file, &finished).await.unwrap();
    }
    let (open, _) = granted(&ledger, &object("open")).await;
    let mut records = RecordBooks::default();
    (records.read, records.filtered) = (4, 4);
    ledger
        .progress(&open, &object("open"), &Mark::new(9, records))
        .await
        .unwrap();
    let status = reader.status().unwrap();
    assert_eq!(
        (status.in_progress, status.delivered, status.quarantined),
        (1, 2, 0)
    );
    assert_eq!((status.records.accepted, status.partial.filtered), (4, 4));
    assert_eq!((status.compressed, status.inflated), (20, 200));
    assert_eq!(status.first_event, Some(time("2024-01-02T03:00:00Z")));
    assert_eq!(status.last_event, Some(time("2024-01-02T04:00:00Z")));
    assert_eq!(status.oldest_unfinished.as_ref().unwrap().key, "open");
    assert_eq!(
        serde_json::to_value(&status.last_seen).unwrap(),
        serde_json::json!([{"account": "111122223333", "region": "us-east-1",
            "event": "2024-01-02T04:00:00Z", "accepted_at": "2024-01-02T04:05:00Z"}])
    );
    assert!(status.balanced());

    // Two errors that would cancel out in the sums.
    let other = beside(&path);
    for (key, change) in [(LOG, "accepted + 1"), ("open", "accepted - 1")] {
        let sql = format!("UPDATE files SET accepted = {change} WHERE key = ?1");
        other.execute(&sql, [key]).unwrap();
    }
    let status = reader.status().unwrap();
    assert_eq!((status.unbalanced, status.balanced()), (2, false));
}

#[tokio::test]
async fn a_row_answers_for_the_object_as_it_is_now() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    for (key, quarantined) in [("done", false), ("kept", true)] {
        let object = object(key).with_size(5);
        let (ticket, _) = granted(&ledger, &object).await;
        let mut finished = delivered(1);
        finished.quarantined = quarantined;
        ledger.finish(&ticket, &object, &finished).await.unwrap();
    }
    granted(&ledger, &object("begun")).await;
    // It was archived when it was asked for, and nothing of it was read.
    let missed = Object::new(ObjectId::new("bucket", "missed"));
    let (ticket, _) = granted(&ledger, &missed).await;
    let mut finished = delivered(0);
    finished.quarantined = true;
    ledger.finish(&ticket, &missed, &finished).await.unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    let state = |object: &Object| reader.state(object).unwrap();
    assert_eq!(state(&object("done")), Some(RowState::Delivered));
    assert_eq!(state(&object("kept")), Some(RowState::Quarantined));
    assert_eq!(state(&object("begun")), Some(RowState::InProgress));
    assert_eq!(
        state(&object("begun").with_etag("e2")),
        Some(RowState::InProgress)
    );
    assert_eq!(state(&object("Done")), None);
    assert_eq!(state(&object("missed")), None);
    let elsewhere = Object::new(ObjectId::new("other", "done"));
    assert_eq!(state(&elsewhere), None);
    // As a claim has it: what is not known is no difference.
    let unknown = Object::new(ObjectId::new("bucket", "done"));
    assert_eq!(state(&unknown), Some(RowState::Delivered));
    let changed = [object("done").with_etag("e2"), object("done").with_size(6)];
    for object in &changed {
        assert_eq!(state(object), None);
    }
    // Asked for many at once, *finished* is what a claim would answer as delivered.
    let known = LedgerKnown::open(&path).unwrap();
    let asked = [
        object("done").with_size(5),
        object("kept"),
        object("begun"),
        object("missed"),
        object("new"),
        elsewhere.clone(),
        changed[0].clone(),
        changed[1].clone(),
        unknown.clone(),
    ];
    let finished = known.finished(&asked).await.unwrap();
    let expected = [true, true, false, false, false, false, false, false, true];
    assert_eq!(finished, expected);
    assert!(known.finished(&[]).await.unwrap().is_empty());
    // Asking changed nothing; a claim begins it anew.
    assert_eq!(state(&unknown), Some(RowState::Delivered));
    granted(&ledger, &changed[1]).await;
    assert_eq!(state(&changed[1]), Some(RowState::InProgress));
}
