//! Source, sink, ledger and quarantine of the simulation.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::ledger::{Claim, Finished, Ledger, Mark, Seen, SeenStore, Ticket};
use ctforward_core::quarantine::QuarantineEntry;
use ctforward_core::source::{Chunks, LogFile, Opened};
use ctforward_core::{
    Batch, BatchLimits, Delivery, Error, ErrorKind, Intake, Object, ObjectId, Open, Quarantine,
    Receipt, Rejection, Result, Sink, Source,
};
use jiff::Timestamp;

use crate::faults::{Fate, Life, at_once, it_happens};
use crate::play::Broken;
use crate::world::{BUCKET, File, SINK_LIMIT, State, World};

/// Hands over what is not acknowledged, once a run.
pub(crate) struct SimSource {
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
    pub(crate) files: VecDeque<File>,
    pub(crate) broken: Option<Broken>,
}

#[async_trait]
impl Source for SimSource {
    async fn next(&mut self) -> Result<Option<Intake>> {
        if self.life.call("next", || {}).await != Fate::Works {
            return Err(it_happens("source"));
        }
        let Some(file) = self.files.pop_front() else {
            return Ok(None);
        };
        let mut object = Object::new(ObjectId::new(BUCKET, file.key.clone()));
        if file.announced {
            object = object
                .with_etag(&file.etag)
                .with_size(file.stored.len() as u64);
        }
        let slip = Slip {
            life: self.life.clone(),
            world: Arc::clone(&self.world),
            key: file.key.clone(),
        };
        let open = Opening {
            life: self.life.clone(),
            world: Arc::clone(&self.world),
            broken: self.broken,
            file,
        };
        Ok(Some(Intake::File(LogFile::new(
            object,
            Arc::new(open),
            Box::new(slip),
        ))))
    }
}

struct Opening {
    life: Life,
    world: Arc<World>,
    file: File,
    broken: Option<Broken>,
}

#[async_trait]
impl Open for Opening {
    async fn open(&self) -> Result<Opened> {
        if self.broken == Some(Broken::AcknowledgesBeforeAccept) {
            self.world.acknowledge(&self.file.key);
        }
        if self.life.call("open", || {}).await != Fate::Works {
            return Err(it_happens("open"));
        }
        if self.file.state == State::Missing {
            return Err(Error::new(ErrorKind::NotFound, "open", "it is not there"));
        }
        let body = Body {
            life: self.life.clone(),
            rest: self.file.stored.clone(),
        };
        Ok(Opened::new(Box::new(body))
            .with_etag(Some(self.file.etag.clone()))
            .with_size(Some(self.file.stored.len() as u64)))
    }
}

struct Body {
    life: Life,
    rest: Bytes,
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.life.call("chunk", || {}).await != Fate::Works {
            return Err(it_happens("chunk"));
        }
        let length = self.rest.len().min(700);
        Ok(Some(self.rest.split_to(length)))
    }
}

struct Slip {
    life: Life,
    world: Arc<World>,
    key: String,
}

#[async_trait]
impl Receipt for Slip {
    async fn accept(self: Box<Self>) -> Result<()> {
        let what = format!("accept {}", self.key);
        let done = || {
            self.world.acknowledge(&self.key);
            Ok(())
        };
        self.life.asked(&what, "receipt", done).await
    }

    async fn release(self: Box<Self>, why: &Error, _after: Option<Duration>) -> Result<()> {
        let what = format!("release {} {}", self.key, why.kind().as_str());
        self.life.asked(&what, "receipt", || Ok(())).await
    }
}

/// How the sink behaves in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fair,
    /// It names what it refuses, and takes the rest.
    Precise,
    RefusesEverything,
    Denies,
    /// It takes a few records at once.
    Narrow,
}

pub(crate) struct SimSink {
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
    pub(crate) mood: Mood,
    pub(crate) batch_bytes: usize,
    pub(crate) calls: AtomicU64,
    pub(crate) broken: Option<Broken>,
    /// What a broken sink said yes to and has not taken.
    pub(crate) owed: Mutex<Vec<(String, u64, Bytes)>>,
}

impl SimSink {
    fn take(&self, batch: &Batch, named: &[usize], said: bool) {
        let mut owed = self.owed.lock().unwrap();
        for (key, offset, bytes) in owed.drain(..) {
            self.world.take(&key, offset, bytes, true);
        }
        for (index, record) in batch.records().enumerate() {
            if named.contains(&index) {
                continue;
            }
            let origin = batch.origin(index).unwrap();
            let key = origin.object.id.key.clone();
            let bytes = Bytes::copy_from_slice(record);
            if self.broken == Some(Broken::SinkSaysYesTooEarly) {
                owed.push((key, origin.offset, bytes));
            } else {
                self.world.take(&key, origin.offset, bytes, said);
            }
        }
    }
}

#[async_trait]
impl Sink for SimSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(self.batch_bytes)
            .with_records(12)
            .with_record_bytes(SINK_LIMIT)
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let what = format!("deliver {call}: {} of {:?}", batch.len(), self.mood);
        let refuse = |kind, says| Err(Error::new(kind, "sink", says));
        let poison: Vec<usize> = batch
            .records()
            .enumerate()
            .filter(|(_, r)| String::from_utf8_lossy(r).contains("poison"))
            .map(|(index, _)| index)
            .collect();
        let answer = match self.mood {
            Mood::RefusesEverything => refuse(ErrorKind::Rejected, "400"),
            Mood::Denies => refuse(ErrorKind::Unauthorized, "401"),
            Mood::Narrow if batch.len() > 3 => refuse(ErrorKind::TooLarge, "413"),
            Mood::Precise => {
                let mut delivery = Delivery::accepted();
                delivery.rejected = poison.iter().map(|i| Rejection::new(*i, "no")).collect();
                // Some it would rather have later.
                if self.life.faults.chance(0.1) {
                    let again = 0..batch.len();
                    delivery.again = again
                        .filter(|i| !poison.contains(i) && i % 3 == 0)
                        .collect();
                }
                Ok(delivery)
            }
            _ if !poison.is_empty() => refuse(ErrorKind::Rejected, "422"),
            _ => Ok(Delivery::accepted()),
        };
        let named: Vec<usize> = match &answer {
            Err(_) => (0..batch.len()).collect(),
            Ok(delivery) => {
                let rejected = delivery.rejected.iter().map(|r| r.index);
                rejected.chain(delivery.again.iter().copied()).collect()
            }
        };
        // Whether the sender hears of it shows only behind the call.
        let fate = self
            .life
            .call(&what, || self.take(batch, &named, false))
            .await;
        if fate != Fate::Works {
            return Err(it_happens("sink"));
        }
        let mut kept = self.world.kept();
        for index in (0..batch.len()).filter(|i| !named.contains(i)) {
            let origin = batch.origin(index).unwrap();
            let name = (origin.object.id.key.clone(), origin.offset);
            if let Some(sent) = kept.taken.get_mut(&name) {
                sent.said = true;
            }
        }
        drop(kept);
        answer
    }
}

pub(crate) struct SimQuarantine {
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
    /// Nothing can be kept in this run.
    pub(crate) full: bool,
    pub(crate) broken: Option<Broken>,
}

#[async_trait]
impl Quarantine for SimQuarantine {
    async fn put(&self, entry: &QuarantineEntry) -> Result<()> {
        if self.full {
            self.life.call("put: the disk is full", || {}).await;
            return Err(it_happens("quarantine"));
        }
        let what = format!(
            "put {} {:?} {}",
            entry.object.id.key, entry.offset, entry.reason
        );
        let effect = || match self.broken {
            Some(Broken::QuarantineForgets) => Ok(()),
            _ => at_once(self.world.quarantine.put(entry)),
        };
        self.life.asked(&what, "quarantine", effect).await
    }
}

pub(crate) struct SimLedger {
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
    pub(crate) broken: Option<Broken>,
    /// How often a rival takes over a file under way.
    pub(crate) rivals: f64,
    pub(crate) stolen: Arc<AtomicU64>,
    /// The disk of the ledger is full in this run, from this call on.
    pub(crate) full_from: Option<u64>,
    pub(crate) calls: AtomicU64,
}

impl SimLedger {
    fn is_full(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.full_from.is_some_and(|from| call >= from)
    }

    /// Another worker takes the file while ours is slow.
    fn steal(&self, ticket: &Ticket) {
        if !self.life.faults.chance(self.rivals) {
            return;
        }
        let ledger = &self.world.ledger;
        if at_once(ledger.release(ticket)).is_ok() {
            let claim = at_once(ledger.claim(&ticket.object, "rival", Duration::from_secs(30)));
            assert!(matches!(claim, Ok(Claim::Granted { .. })));
            self.stolen.fetch_add(1, Ordering::Relaxed);
            self.life
                .faults
                .tell(&format!("a rival takes {}", ticket.object.id.key));
        }
    }
}

#[async_trait]
impl Ledger for SimLedger {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        if self.is_full() {
            return Err(it_happens("ledger"));
        }
        let what = format!("claim {}", object.id.key);
        let effect = || at_once(self.world.ledger.claim(object, owner, lease));
        self.life.asked(&what, "ledger", effect).await
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        self.steal(ticket);
        let effect = || at_once(self.world.ledger.renew(ticket, lease));
        self.life.asked("renew", "ledger", effect).await
    }

    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        if self.is_full() {
            return Err(it_happens("ledger"));
        }
        self.steal(ticket);
        let key = &object.id.key;
        let what = format!("progress {key} {}", mark.low_water);
        let effect = || {
            let mut mark = *mark;
            let mut kept = self.world.kept();
            if self.broken == Some(Broken::MarksTheFurthest) {
                let of_file = kept.taken.keys().filter(|(of, _)| of == key);
                let furthest = of_file.map(|(_, offset)| offset + 1).max();
                mark.low_water = mark.low_water.max(furthest.unwrap_or(0));
            }
            at_once(self.world.ledger.progress(ticket, object, &mark))?;
            kept.marks.insert(key.clone(), mark);
            Ok(())
        };
        self.life.asked(&what, "ledger", effect).await
    }

    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
        if self.is_full() {
            return Err(it_happens("ledger"));
        }
        self.steal(ticket);
        let what = format!("finish {}", object.id.key);
        let effect = || {
            if self.broken == Some(Broken::LedgerForgetsTheEnd) {
                return Ok(());
            }
            at_once(self.world.ledger.finish(ticket, object, finished))?;
            let mut kept = self.world.kept();
            kept.rows.insert(object.id.key.clone(), finished.clone());
            Ok(())
        };
        self.life.asked(&what, "ledger", effect).await
    }

    async fn release(&self, ticket: &Ticket) -> Result<()> {
        let effect = || at_once(self.world.ledger.release(ticket));
        self.life.asked("give back", "ledger", effect).await
    }
}

pub(crate) struct SimSeen {
    pub(crate) life: Life,
    pub(crate) world: Arc<World>,
}

#[async_trait]
impl SeenStore for SimSeen {
    async fn key(&self) -> Result<[u8; 32]> {
        Ok([5; 32])
    }

    async fn recall(&self, most: usize, _since: Timestamp) -> Result<Vec<Seen>> {
        let effect = || {
            let kept = self.world.kept();
            let skip = kept.seen.len().saturating_sub(most);
            Ok(kept.seen.iter().skip(skip).copied().collect())
        };
        self.life.asked("recall", "seen", effect).await
    }

    async fn remember(&self, seen: &[Seen]) -> Result<()> {
        let what = format!("remember {}", seen.len());
        let effect = || {
            self.world.kept().seen.extend_from_slice(seen);
            Ok(())
        };
        self.life.asked(&what, "seen", effect).await
    }
}
