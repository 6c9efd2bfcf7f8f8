//! Against MiniStack.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use ctforward_aws::dynamodb::{DynamoLedger, create_table};
use ctforward_core::ledger::{Claim, Finished, Known, Ledger, Mark};
use ctforward_core::pipeline::{FileBooks, RecordBooks};
use ctforward_core::{ErrorKind, testing};
use tokio::task::JoinSet;

use super::{LONG, client_for, granted, ledger, object};
use crate::PATIENCE;
use crate::emulator::Emulator;

/// A ledger in a table of its own.
async fn fresh(emulator: &Emulator) -> DynamoLedger {
    static TABLES: AtomicUsize = AtomicUsize::new(0);
    let table = format!("ledger-{}", TABLES.fetch_add(1, Ordering::Relaxed));
    create_table(&client_for(&emulator.url), &table, false)
        .await
        .unwrap();
    ledger(&emulator.url, &table)
}

async fn item(ledger: &DynamoLedger, url: &str, id: &str) -> HashMap<String, AttributeValue> {
    let got = client_for(url)
        .get_item()
        .table_name(ledger.table())
        .key("id", AttributeValue::S(id.to_owned()))
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    got.item.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_conforms() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let short = Duration::from_millis(300);
    testing::ledger::check(async || fresh(&emulator).await, short, tokio::time::sleep)
        .await
        .assert();
    let reopen = async |old: DynamoLedger| ledger(&emulator.url, old.table());
    testing::ledger::check_reopened(async || fresh(&emulator).await, reopen)
        .await
        .assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_files_and_take_over_what_a_dead_one_held() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let table = fresh(&emulator).await.table().to_owned();
    // A third one took some files, decided part of them, and died.
    let dead = ledger(&emulator.url, &table);
    let mut stale = Vec::new();
    for number in 0..10 {
        let short = Duration::from_millis(500);
        let (ticket, _) = granted(&dead, &object(number), "dead", short).await;
        let mark = Mark::new(number as u64 + 1, RecordBooks::default());
        dead.progress(&ticket, &object(number), &mark)
            .await
            .unwrap();
        stale.push(ticket);
    }
    let work = Arc::new(std::sync::Mutex::new(HashMap::<usize, (usize, u64)>::new()));
    let mut workers = JoinSet::new();
    for worker in ["a", "b"] {
        let ledger = Arc::new(ledger(&emulator.url, &table));
        let work = Arc::clone(&work);
        workers.spawn(async move {
            let end = Instant::now() + PATIENCE;
            let mut open: Vec<usize> = (0..60).collect();
            while !open.is_empty() && Instant::now() < end {
                let mut still = Vec::new();
                for number in open {
                    let file = object(number);
                    match ledger.claim(&file, worker, LONG).await.unwrap() {
                        Claim::Granted { ticket, resume } => {
                            let low = resume.mark.low_water;
                            work.lock().unwrap().entry(number).or_insert((0, low)).0 += 1;
                            let finished = Finished::delivered(FileBooks::default());
                            ledger.finish(&ticket, &file, &finished).await.unwrap();
                        }
                        Claim::HeldBy { .. } => still.push(number),
                        _ => {}
                    }
                }
                open = still;
            }
            assert!(open.is_empty(), "{worker} never saw the end of {open:?}");
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    let work = work.lock().unwrap().clone();
    assert_eq!(work.len(), 60, "each file was worked on");
    for (number, (times, low_water)) in work {
        assert_eq!(times, 1, "file {number} was worked on {times} times");
        let expected = if number < 10 { number as u64 + 1 } else { 0 };
        assert_eq!(low_water, expected, "file {number}");
    }
    for (number, ticket) in stale.iter().enumerate() {
        let finished = Finished::delivered(FileBooks::default());
        let late = dead.finish(ticket, &object(number), &finished).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Changed);
    }
}

#[tokio::test]
async fn many_files_are_asked_for_at_once_and_answered_in_their_order() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let ledger = fresh(&emulator).await;
    let mut asked = Vec::new();
    let mut expected = Vec::new();
    for number in 0..230 {
        let file = object(number);
        if number % 3 == 0 {
            let (ticket, _) = granted(&ledger, &file, "a", LONG).await;
            if number % 2 == 0 {
                let finished = Finished::delivered(FileBooks::default());
                ledger.finish(&ticket, &file, &finished).await.unwrap();
            }
        }
        asked.push(file);
        expected.push(number % 6 == 0);
    }
    // The same once more, rewritten since, and of unknown ETag.
    asked.extend([
        object(0),
        object(0).with_etag("other"),
        object(6).with_size(1),
    ]);
    expected.extend([true, false, false]);
    assert_eq!(ledger.finished(&asked).await.unwrap(), expected);
    assert!(ledger.finished(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_row_past_its_time_is_unknown_and_its_file_may_be_claimed() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let table = "expiring";
    create_table(&client_for(&emulator.url), table, true)
        .await
        .unwrap();
    // What is there already is left as it is.
    create_table(&client_for(&emulator.url), table, true)
        .await
        .unwrap();
    let second = Duration::from_secs(1);
    let ledger = DynamoLedger::builder(client_for(&emulator.url), table)
        .forget_after(second, second)
        .build()
        .unwrap();
    let file = object(1);
    let id = format!("5:trail/{}", file.id.key);
    let (ticket, _) = granted(&ledger, &file, "a", LONG).await;
    let mark = Mark::new(9, RecordBooks::default());
    ledger.progress(&ticket, &file, &mark).await.unwrap();
    assert!(!item(&ledger, &emulator.url, &id).await.contains_key("ttl"));
    let finished = Finished::delivered(FileBooks::default());
    ledger.finish(&ticket, &file, &finished).await.unwrap();
    assert!(item(&ledger, &emulator.url, &id).await.contains_key("ttl"));
    assert_eq!(
        ledger.finished(std::slice::from_ref(&file)).await.unwrap(),
        [true]
    );
    let end = Instant::now() + PATIENCE;
    while ledger.finished(std::slice::from_ref(&file)).await.unwrap() == [true] {
        assert!(Instant::now() < end, "it never expires");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (again, resume) = granted(&ledger, &file, "b", LONG).await;
    assert_eq!(resume.mark, Mark::default());
    assert!(again.fence > ticket.fence);
    // In progress it never expires, and what was known of its end is gone.
    let row = item(&ledger, &emulator.url, &id).await;
    assert!(
        !row.contains_key("ttl") && !row.contains_key("accepted_at"),
        "{row:?}"
    );
    let late = ledger.finish(&ticket, &file, &finished).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn a_ticket_of_a_row_that_was_deleted_fits_no_later_one() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let ledger = fresh(&emulator).await;
    let file = object(1);
    let (ticket, _) = granted(&ledger, &file, "a", LONG).await;
    let id = AttributeValue::S(format!("5:trail/{}", file.id.key));
    let client = client_for(&emulator.url);
    let deleted = client
        .delete_item()
        .table_name(ledger.table())
        .key("id", id);
    deleted.send().await.unwrap();
    let lost = ledger.renew(&ticket, LONG).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Changed);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (_, _) = granted(&ledger, &file, "a", LONG).await;
    let finished = Finished::delivered(FileBooks::default());
    let lost = ledger.finish(&ticket, &file, &finished).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Changed);
}

#[tokio::test]
async fn a_table_that_is_none_of_a_ledger_is_said_to_be_so() {
    let Some(emulator) = Emulator::start().await else {
        return;
    };
    let missing = ledger(&emulator.url, "no-such-table");
    let error = missing.claim(&object(1), "a", LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("no such table"), "{error}");

    let client = client_for(&emulator.url);
    let attribute = AttributeDefinition::builder()
        .attribute_name("other")
        .attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder()
        .attribute_name("other")
        .key_type(KeyType::Hash);
    client
        .create_table()
        .table_name("others")
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute.build().unwrap())
        .key_schema(key.build().unwrap())
        .send()
        .await
        .unwrap();
    let others = ledger(&emulator.url, "others");
    let error = others.claim(&object(1), "a", LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("partition key id"), "{error}");

    // A row that a later version wrote is neither delivered nor granted.
    let ours = fresh(&emulator).await;
    let id = format!("5:trail/{}", object(1).id.key);
    client
        .put_item()
        .table_name(ours.table())
        .item("id", AttributeValue::S(id))
        .item("v", AttributeValue::N("2".to_owned()))
        .send()
        .await
        .unwrap();
    let error = ours.claim(&object(1), "a", LONG).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(ours.finished(&[object(1)]).await.unwrap(), [false]);
}
