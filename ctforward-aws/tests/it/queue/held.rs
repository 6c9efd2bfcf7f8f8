//! Messages that are held, and those that are lost.

use std::time::Duration;

use ctforward_core::{ErrorKind, Receipt as _, Source};

use super::fake::{Fault, Queue};
use super::*;

const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_message_stays_invisible_for_longer_than_its_visibility_while_nobody_asks() {
    let queue = Queue::start().await;
    for n in 0..12 {
        notify(&queue, &[&format!("k{n}")]);
    }
    let mut holding = source(&queue).visibility(SHORT).build().unwrap();
    let held = files(&mut holding, 12).await;
    // Nobody calls next any more.
    until("four extensions of each", || {
        queue.left().iter().all(|m| m.changes.len() >= 4)
    })
    .await;
    let calls = queue.calls("ChangeMessageVisibilityBatch").len();
    let extensions: usize = queue.left().iter().map(|m| m.changes.len()).sum();
    assert!(
        calls * 5 <= extensions,
        "{extensions} extensions in {calls} calls"
    );
    let mut other = source(&queue).build().unwrap();
    let seen = tokio::time::timeout(Duration::from_millis(300), other.next()).await;
    assert!(seen.is_err(), "nobody else is given one");
    for file in held {
        accepted(file).await.unwrap();
    }
    assert!(queue.left().is_empty());
}

#[tokio::test]
async fn a_handle_that_expired_stops_the_work_and_deletes_nothing() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    notify(&queue, &["b"]);
    let mut source = source(&queue).visibility(SHORT).build().unwrap();
    let mut both = files(&mut source, 2).await;
    let (b, a) = (both.pop().unwrap(), both.pop().unwrap());
    assert!(a.receipt.lost().is_none());
    queue.expire("\"a\"");
    until("the loss", || a.receipt.lost().is_some()).await;
    assert!(a.receipt.hold_until().unwrap() <= tokio::time::Instant::now());
    assert!(b.receipt.lost().is_none(), "its sibling is not lost");
    let error = accepted(a).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    accepted(b).await.unwrap();
    assert_eq!(queue.deleted().len(), 1);
    assert_eq!(queue.left().len(), 1);
    let stats = source.stats().get();
    assert_eq!(
        (
            stats.lost,
            stats.deleted,
            stats.files_held,
            stats.messages_held
        ),
        (1, 1, 0, 0)
    );
}

#[tokio::test]
async fn an_extension_that_fails_for_a_moment_loses_nothing() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let mut source = source(&queue).visibility(SHORT).build().unwrap();
    let a = file(&mut source).await;
    queue.fault(
        "ChangeMessageVisibilityBatch",
        Fault::Answer(500, "InternalFailure"),
    );
    queue.fault(
        "ChangeMessageVisibilityBatch",
        Fault::Entry("\"a\"", "InternalError", false),
    );
    queue.fault(
        "ChangeMessageVisibilityBatch",
        Fault::Answer(400, "RequestThrottled"),
    );
    until("extensions again", || queue.left()[0].changes.len() >= 2).await;
    assert!(a.receipt.lost().is_none());
    accepted(a).await.unwrap();
    assert_eq!(source.stats().get().throttled, 1);
}

#[tokio::test]
async fn a_message_that_comes_again_while_it_is_held_is_the_same_one() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let mut source = source(&queue).build().unwrap();
    let a = file(&mut source).await;
    queue.repeat();
    notify(&queue, &["b"]);
    let b = file(&mut source).await;
    assert_eq!(b.object.id.key, "b");
    assert_eq!(queue.left()[0].receives, 2);
    assert_eq!(source.stats().get().repeated, 1);
    // By the newer handle, which alone deletes it.
    accepted(a).await.unwrap();
    accepted(b).await.unwrap();
    assert!(queue.left().is_empty());
}
