//! The contract of [`SeenStore`].

use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;

use super::{Clause, Findings, called, ensure, patiently};
use crate::ledger::{Seen, SeenStore};

/// Whether a store keeps the contract of [`SeenStore`]. `make` makes an empty one,
/// once for each clause.
pub async fn check<S: SeenStore + 'static>(make: impl AsyncFn() -> S) -> Findings {
    let mut findings = Findings::new("SeenStore");
    let new = async || make().await;
    let clause = "what was remembered is recalled as it was, oldest first";
    findings.note(clause, patiently(recalled(new().await)).await);
    let clause = "no more than the newest are recalled";
    findings.note(clause, patiently(newest(new().await)).await);
    let clause = "nothing accepted before the time given is recalled";
    findings.note(clause, patiently(since(new().await)).await);
    let clause = "the key is the same at each call";
    findings.note(clause, patiently(same_key(new().await)).await);
    let clause = "what is remembered at once is all recalled";
    findings.note(clause, patiently(at_once(Arc::new(new().await))).await);
    findings
}

/// Whether a store recalls the same after it was opened anew. What is not yet
/// written when a process ends may be lost; what is closed in order may not.
/// `reopen` closes one and opens it again.
pub async fn check_reopened<S: SeenStore + 'static>(
    make: impl AsyncFn() -> S,
    reopen: impl AsyncFn(S) -> S,
) -> Findings {
    let mut findings = Findings::new("SeenStore, opened anew");
    let clause = "what was remembered is recalled after opening anew";
    let reopened = async {
        let store = make().await;
        called("remember", store.remember(&records(0..20)).await)?;
        let store = reopen(store).await;
        recalls(&store, 100, begin(), &records(0..20)).await
    };
    findings.note(clause, patiently(reopened).await);
    let clause = "the key is the same after opening anew";
    let key = async {
        let store = make().await;
        let before = called("key", store.key().await)?;
        let store = reopen(store).await;
        let after = called("key", store.key().await)?;
        ensure(before == after, || "it is another one".to_owned())
    };
    findings.note(clause, patiently(key).await);
    findings
}

async fn same_key(store: impl SeenStore) -> Clause {
    let first = called("key", store.key().await)?;
    called("remember", store.remember(&records(0..1)).await)?;
    let second = called("key", store.key().await)?;
    ensure(first == second, || "it is another one".to_owned())?;
    ensure(first != [0; 32], || "it is nothing but zeros".to_owned())
}

async fn recalled(store: impl SeenStore) -> Clause {
    recalls(&store, 100, begin(), &[]).await?;
    called("remember of nothing", store.remember(&[]).await)?;
    called("remember", store.remember(&records(0..3)).await)?;
    recalls(&store, 100, begin(), &records(0..3)).await?;
    // Batches end in any order: oldest is what was accepted first.
    called("remember", store.remember(&records(7..9)).await)?;
    called("remember", store.remember(&records(3..7)).await)?;
    recalls(&store, 100, begin(), &records(0..9)).await
}

async fn newest(store: impl SeenStore) -> Clause {
    called("remember", store.remember(&records(0..50)).await)?;
    for most in [0, 1, 7, 49, 50, 51, usize::MAX] {
        let from = 50_usize.saturating_sub(most);
        recalls(&store, most, begin(), &records(from..50)).await?;
    }
    Ok(())
}

async fn since(store: impl SeenStore) -> Clause {
    called("remember", store.remember(&records(0..20)).await)?;
    let at = |index: usize| records(index..index + 1)[0].at;
    let moment = SignedDuration::from_millis(1);
    recalls(&store, 100, at(8), &records(8..20)).await?;
    recalls(&store, 100, at(8) + moment, &records(9..20)).await?;
    recalls(&store, 3, at(8), &records(17..20)).await?;
    recalls(&store, 100, at(19) + moment, &[]).await?;
    recalls(&store, 100, Timestamp::UNIX_EPOCH, &records(0..20)).await
}

async fn at_once<S: SeenStore + 'static>(store: Arc<S>) -> Clause {
    let mut calls = JoinSet::new();
    for call in 0..16 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.remember(&records(call * 5..call * 5 + 5)).await });
    }
    while let Some(call) = calls.join_next().await {
        let call = call.map_err(|error| format!("a call ended with {error}"))?;
        called("one of many calls at once", call)?;
    }
    recalls(&store, 1000, begin(), &records(0..80)).await
}

async fn recalls(
    store: &impl SeenStore,
    most: usize,
    since: Timestamp,
    expected: &[Seen],
) -> Clause {
    let got = called("recall", store.recall(most, since).await)?;
    ensure(got == expected, || {
        let ids = |seen: &[Seen]| seen.iter().map(|s| s.id[0]).collect::<Vec<_>>();
        format!(
            "of the newest {most} since {since}, {:?} were recalled, not {:?} (by their first byte)",
            ids(&got),
            ids(expected)
        )
    })
}

/// Two minutes ago, to the second: what is older may be forgotten for good.
fn begin() -> Timestamp {
    static BEGIN: LazyLock<Timestamp> = LazyLock::new(|| {
        Timestamp::from_second(Timestamp::now().as_second() - 120).unwrap_or(Timestamp::UNIX_EPOCH)
    });
    *BEGIN
}

fn records(which: std::ops::Range<usize>) -> Vec<Seen> {
    let begin = begin();
    which
        .map(|index| {
            let n = u8::try_from(index).unwrap_or(u8::MAX);
            // Ids and contents in an order of their own, so that none is taken for time.
            let id = [n.wrapping_mul(113); 16];
            let at = begin + SignedDuration::from_secs(i64::from(n));
            Seen::new(id, [n ^ 0xa5; 16], at)
        })
        .collect()
}
