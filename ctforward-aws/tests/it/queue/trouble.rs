//! A queue that fails.

use std::time::Duration;

use ctforward_core::deliver::Denied;
use ctforward_core::{ErrorKind, Retry, Source};

use super::fake::{Fault, Queue};
use super::*;

#[tokio::test]
async fn errors_of_receive_throttling_and_access_are_counted_apart() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let every = Duration::from_secs(60);
    let mut source = source(&queue).denied(Denied::Probe(every)).build().unwrap();
    let stats = source.stats();
    for (status, code, kind, retry) in [
        (
            400,
            "RequestThrottled",
            ErrorKind::Throttled,
            Retry::Backoff,
        ),
        (
            500,
            "InternalFailure",
            ErrorKind::Unavailable,
            Retry::Backoff,
        ),
        (
            400,
            "AccessDeniedException",
            ErrorKind::Unauthorized,
            Retry::After(every),
        ),
        (
            400,
            "QueueDoesNotExist",
            ErrorKind::Config,
            Retry::After(every),
        ),
    ] {
        queue.fault("ReceiveMessage", Fault::Answer(status, code));
        let error = within(source.next()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
        assert_eq!(stats.failing().map(|e| e.kind()), Some(kind));
    }
    // And it goes on as if nothing had been.
    accepted(file(&mut source).await).await.unwrap();
    let counts = stats.get();
    assert_eq!(
        (counts.throttled, counts.receive_errors, counts.denied),
        (1, 2, 1)
    );
    assert!(stats.failing().is_none());
}

#[tokio::test]
async fn the_depth_is_what_the_queue_says_or_unknown_and_no_error_of_the_source() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    notify(&queue, &["b"]);
    let wait = Duration::from_secs(20);
    let mut source = source(&queue).visibility(wait).build().unwrap();
    let (depth, stats) = (source.depth(), source.stats());
    let said = depth.ask().await.unwrap();
    assert_eq!((said.waiting, said.in_flight, said.delayed), (2, 0, 0));
    let held = file(&mut source).await;
    assert_eq!(depth.ask().await.unwrap().in_flight, 2);
    // Denied, or an answer without numbers: an error of this call and of nothing else.
    queue.fault(
        "GetQueueAttributes",
        Fault::Answer(403, "AccessDeniedException"),
    );
    let error = depth.ask().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(stats.failing().is_none());
    assert_eq!((stats.get().denied, stats.get().receive_errors), (0, 0));
    accepted(held).await.unwrap();
}

#[tokio::test]
async fn access_denied_is_final_unless_told_otherwise() {
    let queue = Queue::start().await;
    let mut source = source(&queue).build().unwrap();
    queue.fault("ReceiveMessage", Fault::Answer(403, "AccessDenied"));
    let error = within(source.next()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_delete_that_fails_for_some_is_told_again_for_these() {
    let queue = Queue::start().await;
    let mut source = source(&queue).build().unwrap();
    for name in ["a", "b", "c"] {
        notify(&queue, &[name]);
    }
    let all = files(&mut source, 3).await;
    queue.fault(
        "DeleteMessageBatch",
        Fault::Entry("\"b\"", "InternalError", false),
    );
    queue.fault(
        "DeleteMessageBatch",
        Fault::Answer(503, "ServiceUnavailable"),
    );
    let mut accepts = tokio::task::JoinSet::new();
    for file in all {
        accepts.spawn(accepted(file));
    }
    while let Some(done) = accepts.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(queue.left().is_empty());
}

#[tokio::test]
async fn a_delete_that_is_refused_is_an_error_of_the_accept_and_of_no_other() {
    let queue = Queue::start().await;
    let mut source = source(&queue).build().unwrap();
    notify(&queue, &["a"]);
    notify(&queue, &["b"]);
    let mut all = files(&mut source, 2).await;
    queue.fault(
        "DeleteMessageBatch",
        Fault::Entry("\"b\"", "InvalidSomething", true),
    );
    let (b, a) = (all.pop().unwrap(), all.pop().unwrap());
    let (a, b) = tokio::join!(accepted(a), accepted(b));
    assert!(a.is_ok());
    assert!(b.is_err());
    assert_eq!(queue.left().len(), 1);
    assert_eq!(source.stats().get().delete_errors, 1);
}

#[tokio::test]
async fn a_queue_that_gives_messages_and_lets_none_be_deleted_is_failing() {
    let queue = Queue::start().await;
    let mut source = source(&queue).build().unwrap();
    let stats = source.stats();
    for name in ["a", "b", "c"] {
        notify(&queue, &[name]);
    }
    let mut all = files(&mut source, 3).await;
    assert!(stats.failing().is_none());
    for code in ["AccessDeniedException", "KmsAccessDenied"] {
        queue.fault("DeleteMessageBatch", Fault::Answer(400, code));
        let error = accepted(all.pop().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        // Receiving goes well all the while.
        notify(&queue, &["d"]);
        drop(file(&mut source).await);
        let failing = stats.failing().unwrap();
        assert_eq!(failing.message(), error.message());
        assert!(failing.message().contains("deleting"), "{failing}");
    }
    assert_eq!(stats.get().denied, 2);
    accepted(all.pop().unwrap()).await.unwrap();
    assert!(stats.failing().is_none());
}

#[tokio::test]
async fn a_queue_that_lets_no_message_be_given_back_is_failing() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    notify(&queue, &["b"]);
    let mut source = source(&queue).build().unwrap();
    let stats = source.stats();
    let mut all = files(&mut source, 2).await;
    queue.fault(
        "ChangeMessageVisibilityBatch",
        Fault::Answer(403, "AccessDenied"),
    );
    drop(all.pop());
    until("it is failing", || stats.failing().is_some()).await;
    let failing = stats.failing().unwrap();
    assert!(
        failing.message().contains("sqs:ChangeMessageVisibility"),
        "{failing}"
    );
    drop(all.pop());
    until("it is not", || stats.failing().is_none()).await;
}

#[tokio::test]
async fn a_slow_answer_to_a_receive_loses_nothing_even_where_the_call_is_dropped() {
    let queue = Queue::start().await;
    notify(&queue, &["a"]);
    let mut source = source(&queue).build().unwrap();
    queue.fault("ReceiveMessage", Fault::Slow(Duration::from_millis(200)));
    let dropped = tokio::time::timeout(Duration::from_millis(50), source.next()).await;
    assert!(dropped.is_err());
    let a = file(&mut source).await;
    accepted(a).await.unwrap();
    assert_eq!(queue.deleted().len(), 1);
}

#[tokio::test]
async fn what_was_not_handed_over_is_given_back_where_the_source_is_dropped() {
    let queue = Queue::start().await;
    for name in ["a", "b", "c"] {
        notify(&queue, &[name]);
    }
    let mut source = source(&queue).build().unwrap();
    let a = file(&mut source).await;
    drop(source);
    until("the others are shown", || {
        queue
            .left()
            .iter()
            .filter(|m| !m.changes.is_empty())
            .count()
            == 2
    })
    .await;
    accepted(a).await.unwrap();
    assert_eq!(queue.left().len(), 2);
}
