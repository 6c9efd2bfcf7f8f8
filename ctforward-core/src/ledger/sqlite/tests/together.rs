//! Calls that are committed together, and callers that go away.

use std::sync::Arc;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refused_call_undoes_none_of_the_others() {
    let (_folder, path) = place();
    let ledger = Arc::new(SqliteLedger::open(&path).unwrap());
    let (lost, _) = granted(&ledger, &object("lost")).await;
    ledger.release(&lost).await.unwrap();
    // While this is held, calls queue up and go into one transaction.
    let blocker = beside(&path);
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (ledger, lost) = (Arc::clone(&ledger), lost.clone());
        calls.spawn(async move {
            if n % 10 == 3 {
                let refused = ledger.finish(&lost, &lost.object, &delivered(1)).await;
                return refused.unwrap_err().kind() == ErrorKind::Changed;
            }
            granted(&ledger, &object(&format!("k{n}"))).await.0.fence == 1
        });
    }
    tokio::task::yield_now().await;
    blocker.execute_batch("ROLLBACK").unwrap();
    while let Some(as_expected) = calls.join_next().await {
        assert!(as_expected.unwrap());
    }
    let rows: u32 = blocker
        .query_row(
            "SELECT count(*) FROM files WHERE lease IS NOT NULL",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, 90);
}

#[tokio::test]
async fn a_grant_whose_caller_went_away_is_given_back() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let file = object("k");
    // Polled once, so that the call is on its way, and dropped without its answer.
    let mut claim = Box::pin(ledger.claim(&file, "gone", LEASE));
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(claim.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    drop(claim);
    // Whichever of the two saw it first, the release is queued or done by now, or
    // comes right behind the claim.
    let mut tries = 0;
    while is_held(&ledger, &file).await {
        tries += 1;
        assert!(tries < 1000, "the lease was not given back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_grant_that_lies_unread_is_given_back() {
    let (_folder, path) = place();
    let ledger = SqliteLedger::open(&path).unwrap();
    let file = object("k");
    let mut claim = Box::pin(ledger.claim(&file, "gone", LEASE));
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(claim.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    // A later call was answered, so the grant was handed over; its caller has not looked.
    granted(&ledger, &object("other")).await;
    assert!(is_held(&ledger, &file).await);
    drop(claim);
    assert_eq!(granted(&ledger, &file).await.0.fence, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_that_race_grant_each_file_once() {
    let (_folder, path) = place();
    let instances = [
        Arc::new(SqliteLedger::open(&path).unwrap()),
        Arc::new(SqliteLedger::open(&path).unwrap()),
    ];
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..200 {
        for ledger in &instances {
            let ledger = Arc::clone(ledger);
            claims.spawn(async move {
                let file = object(&format!("k{n}"));
                let claim = ledger.claim(&file, "racer", LEASE).await.unwrap();
                u32::from(matches!(claim, Claim::Granted { .. }))
            });
        }
    }
    let granted: u32 = claims.join_all().await.iter().sum();
    assert_eq!(granted, 200);
    for ledger in &instances {
        for n in [0, 199] {
            assert!(is_held(ledger, &object(&format!("k{n}"))).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_create_one_ledger_at_the_same_time() {
    let (_folder, path) = place();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let path = path.clone();
        opening.spawn_blocking(move || SqliteLedger::open(path).unwrap());
    }
    let ledgers = opening.join_all().await;
    granted(&ledgers[0], &object("k")).await;
    assert!(is_held(&ledgers[7], &object("k")).await);
}
