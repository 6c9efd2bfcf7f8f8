//! What becomes of each message.

use std::time::Duration;

use ctforward_aws::sqs::DeadLetters;
use ctforward_core::{Error, ErrorKind, Intake, Source};

use super::fake::{Fault, Queue};
use super::*;

fn why() -> Error {
    Error::new(ErrorKind::Unavailable, "testing", "the sink is away")
}

#[tokio::test]
async fn many_accepts_are_few_deletes_and_each_waits_for_the_answer() {
    let queue = Queue::start().await;
    let names: Vec<String> = (0..25).map(|n| format!("k{n}")).collect();
    for name in &names {
        notify(&queue, &[name]);
    }
    let mut source = source(&queue).build().unwrap();
    let files = files(&mut source, 25).await;
    assert!(queue.deleted().is_empty());
    let mut accepts = tokio::task::JoinSet::new();
    for file in files {
        accepts.spawn(accepted(file));
    }
    while let Some(done) = accepts.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(queue.deleted().len(), 25);
    assert!(queue.left().is_empty());
    let calls = queue.calls("DeleteMessageBatch").len();
    assert!((3..=6).contains(&calls), "{calls} calls");
    let stats = source.stats().get();
    assert_eq!(
        (
            stats.deleted,
            stats.messages_held,
            stats.files_held,
            stats.bytes_held
        ),
        (25, 0, 0, 0)
    );
}

#[tokio::test]
async fn an_accept_ends_only_after_the_queue_answered() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let mut source = source(&queue).build().unwrap();
    let file = file(&mut source).await;
    queue.fault("DeleteMessageBatch", Fault::Slow(Duration::from_secs(1)));
    let accept = tokio::spawn(accepted(file));
    until("the delete", || {
        !queue.calls("DeleteMessageBatch").is_empty()
    })
    .await;
    assert!(!accept.is_finished());
    accept.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_of_many_files_is_deleted_after_the_last_of_them() {
    let queue = Queue::start().await;
    notify(&queue, &["a", "b", "c"]);
    let mut source = source(&queue).build().unwrap();
    let mut files = files(&mut source, 3).await;
    let last = files.pop().unwrap();
    for file in files {
        accepted(file).await.unwrap();
    }
    assert!(queue.calls("DeleteMessageBatch").is_empty());
    accepted(last).await.unwrap();
    assert!(queue.left().is_empty());
}

#[tokio::test]
async fn a_message_is_given_back_where_one_of_its_files_is_with_the_longest_pause() {
    let queue = Queue::start().await;
    notify(&queue, &["a", "b", "c"]);
    let mut source = source(&queue).build().unwrap();
    let mut files = files(&mut source, 3).await.into_iter();
    let mut one = || files.next().unwrap();
    let hour = Some(Duration::from_secs(3600));
    within(one().receipt.release(&why(), hour)).await.unwrap();
    drop(one());
    accepted(one()).await.unwrap();
    let left = queue.left();
    assert!(queue.deleted().is_empty());
    assert_eq!(left[0].changes, [3600]);
}

#[tokio::test]
async fn a_pause_grows_with_each_receive_and_one_asked_for_is_never_cut_short() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    for receives in 1..=4 {
        // Each time by another process.
        let mut source = source(&queue)
            .backoff(Duration::from_secs(8), Duration::from_secs(20))
            .build()
            .unwrap();
        let file = file(&mut source).await;
        let after = (receives == 4).then(|| Duration::from_millis(40_500));
        within(file.receipt.release(&why(), after)).await.unwrap();
        queue.repeat();
    }
    let changes = queue.left()[0].changes.clone();
    let within = [4..=8, 8..=16, 10..=20, 41..=41];
    assert_eq!(changes.len(), 4);
    for (seconds, range) in changes.iter().zip(within) {
        assert!(range.contains(seconds), "{changes:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_or_is_not_allowed_is_handed_over_with_its_body() {
    let queue = Queue::start().await;
    let others = created("elsewhere", &["x", "y"]);
    let mixed = created(BUCKET, &["good"]).replace(
        "]}",
        &format!(
            ",{}",
            &created("elsewhere", &["bad"])["{\"Records\":[".len()..]
        ),
    );
    for body in ["no JSON", &others, &mixed] {
        queue.send(body);
    }
    let mut source = source(&queue).build().unwrap();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        match next(&mut source).await {
            Intake::Foreign {
                bytes,
                reason,
                receipt,
            } => {
                assert!(!reason.is_retryable());
                bodies.push(String::from_utf8(bytes.to_vec()).unwrap());
                within(receipt.accept()).await.unwrap();
            }
            Intake::File(file) => {
                assert_eq!(file.object.id.key, "good");
                accepted(file).await.unwrap();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bodies, ["no JSON", &others, &mixed]);
    assert!(queue.left().is_empty());
    assert_eq!(source.stats().get().foreign, 3);
}

#[tokio::test]
async fn what_can_never_work_is_left_to_the_dead_letter_queue_by_a_setting() {
    let queue = Queue::start().await;
    queue.with_dead_letters();
    queue.send("no JSON");
    notify(&queue, &["good"]);
    let build = || {
        source(&queue)
            .dead_letters(DeadLetters::Queue)
            .build()
            .unwrap()
    };
    let mut source = build();
    let good = file(&mut source).await;
    accepted(good).await.unwrap();
    until("it is shown again later", || {
        queue.left()[0].changes.len() == 1
    })
    .await;
    assert!(queue.left()[0].changes[0] >= 5);
    assert_eq!(queue.left()[0].body, "no JSON");
    assert_eq!(source.stats().get().left_to_dead_letters, 1);
}

#[tokio::test]
async fn a_queue_without_dead_letters_is_refused_where_they_are_counted_on() {
    let queue = Queue::start().await;
    queue.send("no JSON");
    let mut source = source(&queue)
        .dead_letters(DeadLetters::Queue)
        .build()
        .unwrap();
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(queue.calls("ReceiveMessage").is_empty());
}

#[tokio::test]
async fn what_is_rightly_no_file_is_passed_over_and_acknowledged() {
    let queue = Queue::start().await;
    queue.send(r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-03-01T12:00:00.000Z","Bucket":"trail","RequestId":"r","HostId":"h"}"#);
    let mut source = source(&queue).until_empty(1).build().unwrap();
    match next(&mut source).await {
        Intake::Skip { receipt, .. } => within(receipt.accept()).await.unwrap(),
        other => panic!("{other:?}"),
    }
    assert!(queue.left().is_empty());
    assert!(within(source.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn no_more_is_received_than_may_be_in_flight() {
    let queue = Queue::start().await;
    for name in ["a", "b", "c"] {
        notify(&queue, &[name]);
    }
    let mut source = source(&queue).max_files(2).build().unwrap();
    let mut two = files(&mut source, 2).await;
    let early = tokio::time::timeout(Duration::from_millis(100), source.next()).await;
    assert!(early.is_err());
    assert_eq!(queue.calls("ReceiveMessage").len(), 1);
    accepted(two.remove(0)).await.unwrap();
    assert_eq!(file(&mut source).await.object.id.key, "c");
    let asked: Vec<u64> = queue
        .calls("ReceiveMessage")
        .iter()
        .map(|call| call["MaxNumberOfMessages"].as_u64().unwrap())
        .collect();
    assert_eq!(asked, [2, 1]);
}

#[tokio::test]
async fn bytes_in_flight_bound_the_intake_too() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let mut source = source(&queue).max_bytes(10).build().unwrap();
    let first = file(&mut source).await;
    notify(&queue, &["b"]);
    let early = tokio::time::timeout(Duration::from_millis(100), source.next()).await;
    assert!(early.is_err());
    drop(first);
    assert_eq!(file(&mut source).await.object.id.key, "b");
}

#[tokio::test]
async fn a_queue_is_drained_only_when_nothing_is_held() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let mut source = source(&queue).until_empty(1).build().unwrap();
    let held = file(&mut source).await;
    let early = tokio::time::timeout(Duration::from_millis(1500), source.next()).await;
    assert!(early.is_err(), "something is still held");
    accepted(held).await.unwrap();
    assert!(within(source.next()).await.unwrap().is_none());
    assert!(within(source.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_claims_a_huge_file_keeps_no_other_out() {
    let queue = Queue::start().await;
    queue.send(created(BUCKET, &["a"]).replace("\"size\":10", "\"size\":1099511627776"));
    let mut source = source(&queue).build().unwrap();
    let huge = file(&mut source).await;
    assert_eq!(source.stats().get().bytes_held, 64 << 20);
    notify(&queue, &["b"]);
    assert_eq!(file(&mut source).await.object.id.key, "b");
    drop(huge);
}

#[tokio::test]
async fn what_was_not_handed_over_is_given_back_at_once_when_the_source_goes() {
    let queue = Queue::start().await;
    for name in ["a", "b", "c"] {
        notify(&queue, &[name]);
    }
    let mut source = source(&queue).build().unwrap();
    let held = file(&mut source).await;
    let stats = source.stats();
    drop(source);
    until("two are shown", || {
        queue.left().iter().filter(|m| m.changes == [0]).count() == 2
    })
    .await;
    let early = tokio::time::timeout(Duration::from_millis(50), stats.told()).await;
    assert!(early.is_err(), "one is held");
    accepted(held).await.unwrap();
    within(stats.told()).await;
    assert_eq!(queue.left().len(), 2);
    assert_eq!(stats.get().messages_held, 0);
}

#[tokio::test]
async fn what_a_call_under_way_brings_is_given_back_at_once_when_the_source_is_gone() {
    let queue = Queue::start().await;
    let mut source = source(&queue).build().unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), source.next()).await;
    assert!(early.is_err());
    let stats = source.stats();
    drop(source);
    notify(&queue, &["a"]);
    within(stats.told()).await;
    let left = queue.left();
    assert_eq!((left[0].receives, &*left[0].changes), (1, &[0][..]));
}
