//! Any sequence of calls by several owners through several instances answers as the
//! ledger in memory does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::ledger::MemoryLedger;

const INSTANCES: usize = 2;
const KEYS: [&str; 3] = ["a", "b\0\u{202e}", ""];

#[derive(Clone, Debug)]
enum Step {
    Claim {
        instance: usize,
        key: usize,
        etag: Option<u8>,
        size: Option<u64>,
        lease: u64,
    },
    Renew {
        instance: usize,
        ticket: usize,
        lease: u64,
    },
    Progress {
        instance: usize,
        ticket: usize,
        etag: Option<u8>,
        size: Option<u64>,
        mark: u64,
    },
    Finish {
        instance: usize,
        ticket: usize,
        etag: Option<u8>,
        size: Option<u64>,
        quarantined: bool,
    },
    Release {
        instance: usize,
        ticket: usize,
    },
    Pass {
        millis: u64,
    },
    /// The instance ends, and another one comes.
    Restart {
        instance: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let instance = || 0..INSTANCES;
    let ticket = || 0..6_usize;
    let etag = || prop::option::weighted(0.8, 0..3_u8);
    let size = || prop::option::of(prop_oneof![Just(0), Just(7), Just(u64::MAX)]);
    let lease = || prop_oneof![Just(0), 1..2000_u64, Just(u64::MAX)];
    let step = prop_oneof![
        4 => (instance(), 0..KEYS.len(), etag(), size(), lease())
            .prop_map(|(instance, key, etag, size, lease)| Step::Claim { instance, key, etag, size, lease }),
        1 => (instance(), ticket(), lease())
            .prop_map(|(instance, ticket, lease)| Step::Renew { instance, ticket, lease }),
        2 => (instance(), ticket(), etag(), size(), any::<u64>())
            .prop_map(|(instance, ticket, etag, size, mark)| Step::Progress { instance, ticket, etag, size, mark }),
        2 => (instance(), ticket(), etag(), size(), any::<bool>())
            .prop_map(|(instance, ticket, etag, size, quarantined)| Step::Finish { instance, ticket, etag, size, quarantined }),
        1 => (instance(), ticket()).prop_map(|(instance, ticket)| Step::Release { instance, ticket }),
        2 => (0..3000_u64).prop_map(|millis| Step::Pass { millis }),
        1 => instance().prop_map(|instance| Step::Restart { instance }),
    ];
    prop::collection::vec(step, 1..50)
}

fn file(key: usize, etag: Option<u8>, size: Option<u64>) -> Object {
    let mut object = Object::new(ObjectId::new("bucket", KEYS[key]));
    object.etag = etag.map(|etag| format!("e{etag}"));
    object.size = size;
    object
}

fn again(of: &Object, etag: Option<u8>, size: Option<u64>) -> Object {
    let mut object = file(0, etag, size);
    object.id = of.id.clone();
    object
}

/// What can be compared of an answer.
fn plain<T>(answer: Result<T>) -> Result<T, ErrorKind> {
    answer.map_err(|error| error.kind())
}

struct Pair {
    memory: MemoryLedger,
    instances: Vec<SqliteLedger>,
    path: PathBuf,
    now: Arc<AtomicI64>,
    /// Tickets with the instance that they were granted through.
    tickets: Vec<(usize, Ticket)>,
}

impl Pair {
    fn new(path: PathBuf) -> Self {
        let now = Arc::new(AtomicI64::new(1_700_000_000_000));
        let mut pair = Self {
            memory: MemoryLedger::new(),
            instances: Vec::new(),
            path,
            now,
            tickets: Vec::new(),
        };
        for _ in 0..INSTANCES {
            pair.instances.push(pair.instance());
        }
        pair
    }

    fn instance(&self) -> SqliteLedger {
        let now = Arc::clone(&self.now);
        SqliteOptions::new()
            .clock(Arc::new(move || now.load(Ordering::SeqCst)))
            .open(&self.path)
            .unwrap()
    }

    fn ticket(&self, index: usize) -> Option<&Ticket> {
        let recent = self.tickets.len().checked_sub(1 + index)?;
        self.tickets.get(recent).map(|(_, ticket)| ticket)
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Claim {
                instance,
                key,
                etag,
                size,
                lease,
            } => {
                let (object, lease) = (file(key, etag, size), Duration::from_millis(lease));
                let owner = format!("owner {instance}");
                let got = self.instances[instance].claim(&object, &owner, lease).await;
                let expected = self.memory.claim(&object, &owner, lease).await;
                match (plain(got), plain(expected)) {
                    // Where a lease never ends, how long that is may differ.
                    (
                        Ok(Claim::HeldBy { remaining }),
                        Ok(Claim::HeldBy {
                            remaining: expected,
                        }),
                    ) => {
                        let never = Duration::from_secs(1 << 30);
                        prop_assert!(remaining == expected || remaining.min(expected) > never);
                    }
                    (got, expected) => {
                        prop_assert_eq!(&got, &expected);
                        if let Ok(Claim::Granted { ticket, .. }) = got {
                            self.tickets.push((instance, ticket));
                        }
                    }
                }
            }
            Step::Renew {
                instance,
                ticket,
                lease,
            } => {
                let Some(ticket) = self.ticket(ticket) else {
                    return Ok(());
                };
                let lease = Duration::from_millis(lease);
                let got = self.instances[instance].renew(ticket, lease).await;
                prop_assert_eq!(plain(got), plain(self.memory.renew(ticket, lease).await));
            }
            Step::Progress {
                instance,
                ticket,
                etag,
                size,
                mark,
            } => {
                let Some(ticket) = self.ticket(ticket) else {
                    return Ok(());
                };
                let object = again(&ticket.object, etag, size);
                let mark = Mark::new(
                    mark,
                    RecordBooks {
                        read: mark / 2,
                        accepted: mark / 2,
                        ..RecordBooks::default()
                    },
                );
                let got = self.instances[instance]
                    .progress(ticket, &object, &mark)
                    .await;
                prop_assert_eq!(
                    plain(got),
                    plain(self.memory.progress(ticket, &object, &mark).await)
                );
            }
            Step::Finish {
                instance,
                ticket,
                etag,
                size,
                quarantined,
            } => {
                let Some(ticket) = self.ticket(ticket) else {
                    return Ok(());
                };
                let object = again(&ticket.object, etag, size);
                let mut finished = delivered(3);
                finished.quarantined = quarantined;
                let got = self.instances[instance]
                    .finish(ticket, &object, &finished)
                    .await;
                prop_assert_eq!(
                    plain(got),
                    plain(self.memory.finish(ticket, &object, &finished).await)
                );
            }
            Step::Release { instance, ticket } => {
                let Some(ticket) = self.ticket(ticket) else {
                    return Ok(());
                };
                let got = self.instances[instance].release(ticket).await;
                prop_assert_eq!(plain(got), plain(self.memory.release(ticket).await));
            }
            Step::Pass { millis } => {
                tokio::time::advance(Duration::from_millis(millis)).await;
                self.now.fetch_add(millis.cast_signed(), Ordering::SeqCst);
            }
            Step::Restart { instance } => {
                let next = self.instance();
                drop(std::mem::replace(&mut self.instances[instance], next));
                // Its leases are void; what was granted through it is not used any more.
                let (gone, kept) = std::mem::take(&mut self.tickets)
                    .into_iter()
                    .partition(|(through, _)| *through == instance);
                self.tickets = kept;
                for (_, ticket) in gone {
                    let _ = self.memory.release(&ticket).await;
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn it_answers_as_the_ledger_in_memory(steps in steps()) {
        let (_folder, path) = quick_place();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut pair = Pair::new(path);
            for step in steps {
                pair.step(step).await?;
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}
