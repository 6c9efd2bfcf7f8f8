use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use async_trait::async_trait;
use ctforward_core::Result;
use ctforward_core::ledger::{Seen, SeenStore};
use ctforward_core::testing;
use jiff::Timestamp;

use crate::assert_caught;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    NewestFirst,
    InOrderOfCalls,
    TheOldest,
    All,
    BeforeToo,
    NotAtTheMoment,
    CutsTheId,
    KeepsTheLastCall,
    Races,
    AnotherKey,
}

/// The contract in its plainest form, and ways to break it.
struct Plain {
    held: Mutex<Vec<Seen>>,
    keys: AtomicU8,
    flaw: Flaw,
}

impl Plain {
    fn new(flaw: Flaw) -> Self {
        Self {
            held: Mutex::default(),
            keys: AtomicU8::new(1),
            flaw,
        }
    }
}

#[async_trait]
impl SeenStore for Plain {
    async fn key(&self) -> Result<[u8; 32]> {
        let calls = self.keys.fetch_add(1, Ordering::Relaxed);
        Ok(match self.flaw {
            Flaw::AnotherKey => [calls; 32],
            _ => [7; 32],
        })
    }

    async fn recall(&self, most: usize, since: Timestamp) -> Result<Vec<Seen>> {
        let mut all = self.held.lock().unwrap().clone();
        match self.flaw {
            Flaw::BeforeToo => {}
            Flaw::NotAtTheMoment => all.retain(|seen| seen.at > since),
            _ => all.retain(|seen| seen.at >= since),
        }
        if self.flaw != Flaw::InOrderOfCalls {
            all.sort_by_key(|seen| seen.at);
        }
        let older = all.len().saturating_sub(most);
        match self.flaw {
            Flaw::All => {}
            Flaw::TheOldest => all.truncate(most),
            _ => drop(all.drain(..older)),
        }
        if self.flaw == Flaw::NewestFirst {
            all.reverse();
        }
        Ok(all)
    }

    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        let new = seen.iter().map(|seen| {
            let mut kept = *seen;
            if self.flaw == Flaw::CutsTheId {
                kept.id[8..].fill(0);
            }
            kept
        });
        if self.flaw == Flaw::Races {
            // Read, and written when others have written meanwhile.
            let mut all = self.held.lock().unwrap().clone();
            tokio::task::yield_now().await;
            all.extend(new);
            *self.held.lock().unwrap() = all;
            return Ok(());
        }
        let mut held = self.held.lock().unwrap();
        if self.flaw == Flaw::KeepsTheLastCall {
            held.clear();
        }
        held.extend(new);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plain_store_conforms() {
    testing::seen::check(async || Plain::new(Flaw::None))
        .await
        .assert();
    testing::seen::check_reopened(async || Plain::new(Flaw::None), async |same| same)
        .await
        .assert();
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    let make = async || ctforward_core::ledger::MemoryLedger::new();
    testing::seen::check(make).await.assert();
}

#[tokio::test]
async fn each_broken_store_is_caught_by_the_clause_it_breaks() {
    let (order, newest, before) = ("oldest first", "newest", "before the time");
    for (flaw, by) in [
        (Flaw::NewestFirst, order),
        (Flaw::InOrderOfCalls, order),
        (Flaw::CutsTheId, order),
        (Flaw::KeepsTheLastCall, order),
        (Flaw::TheOldest, newest),
        (Flaw::All, newest),
        (Flaw::BeforeToo, before),
        (Flaw::NotAtTheMoment, before),
        (Flaw::Races, "at once"),
        (Flaw::AnotherKey, "the key"),
    ] {
        let findings = testing::seen::check(async || Plain::new(flaw)).await;
        assert_caught(&format!("{flaw:?}"), &findings, by);
    }
    let forgets = async |_| Plain::new(Flaw::None);
    let findings = testing::seen::check_reopened(async || Plain::new(Flaw::None), forgets).await;
    assert_caught("forgetting", &findings, "opening anew");
}
