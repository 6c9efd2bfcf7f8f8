//! All on the paused clock: a sink that answers as a script says, and what is seen of it.

mod breaker;
mod gate;
mod limit;
mod rate;
mod stack;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::*;
use crate::batch::{Batch, BatchBuilder, BatchLimits};
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::object::{Object, ObjectId};
use crate::sink::{Delivery, Sink};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn held(bytes: usize, hold_until: Option<Instant>) -> Batch {
    let mut builder = BatchBuilder::default();
    builder.push(&vec![b'x'; bytes], 0, 0, 1);
    let object = Arc::new(Object::new(ObjectId::new("b", "k")));
    builder.finish(vec![object], hold_until)
}

fn sized(bytes: usize) -> Batch {
    held(bytes, None)
}

fn batch() -> Batch {
    sized(10)
}

fn error(kind: ErrorKind, retry: Retry) -> Error {
    Error::new(kind, "sink", "so it says").with_retry(retry)
}

fn down() -> Result<Delivery> {
    Err(error(ErrorKind::Unavailable, Retry::Backoff))
}

fn throttled(told: Duration) -> Result<Delivery> {
    Err(error(ErrorKind::Throttled, Retry::After(told)))
}

fn taken() -> Result<Delivery> {
    Ok(Delivery::accepted())
}

/// One request that a sink saw.
#[derive(Clone, Copy, Debug)]
struct Seen {
    began: Instant,
    ended: Option<Instant>,
    /// Requests that had begun when it ended.
    before: usize,
    bytes: usize,
    /// Requests under way with it when it began, itself counted.
    beside: usize,
}

/// How long a request takes and what is answered, by its number and by how many
/// are under way.
type Script = Box<dyn Fn(usize, usize) -> (Duration, Result<Delivery>) + Send + Sync>;

struct Scripted {
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Ends<'a>(&'a Scripted, usize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let mut seen = self.0.seen.lock().unwrap();
        seen[self.1].before = seen.len();
        seen[self.1].ended = Some(Instant::now());
    }
}

#[async_trait]
impl Sink for Scripted {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1_000_000_000)
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let (call, beside) = {
            let mut seen = self.seen.lock().unwrap();
            let beside = seen.iter().filter(|s| s.ended.is_none()).count() + 1;
            seen.push(Seen {
                began: Instant::now(),
                ended: None,
                before: 0,
                bytes: batch.bytes(),
                beside,
            });
            (seen.len() - 1, beside)
        };
        let _ends = Ends(self, call);
        let (takes, answer) = (self.script)(call, beside);
        sleep(takes).await;
        answer
    }
}

/// A paced sink, its pacer and what its inner sink saw.
struct Rig {
    sink: Arc<PaceSink<Scripted>>,
    pacer: Pacer,
    seen: Arc<Mutex<Vec<Seen>>>,
}

fn rig(
    policy: PacePolicy,
    script: impl Fn(usize, usize) -> (Duration, Result<Delivery>) + Send + Sync + 'static,
) -> Rig {
    let pacer = Pacer::new(policy.with_seed(7)).unwrap();
    let seen = Arc::default();
    let inner = Scripted {
        script: Box::new(script),
        seen: Arc::clone(&seen),
    };
    Rig {
        sink: Arc::new(PaceSink::new(inner, pacer.clone())),
        pacer,
        seen,
    }
}

impl Rig {
    async fn send(&self) -> Result<Delivery> {
        self.sink.deliver(&batch()).await
    }

    fn spawn(&self, batch: Batch) -> tokio::task::JoinHandle<Result<Delivery>> {
        let sink = Arc::clone(&self.sink);
        tokio::spawn(async move { sink.deliver(&batch).await })
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn requests(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let policy = PacePolicy::default();
    assert!(Pacer::new(policy).is_ok());
    for wrong in [
        policy.with_concurrency(0, 1, 1),
        policy.with_concurrency(3, 2, 4),
        policy.with_concurrency(1, 5, 4),
        policy.with_ceiling(0),
        policy.with_latency(1.0, secs(1), secs(1)),
        policy.with_latency(f64::NAN, secs(1), secs(1)),
        policy.with_bytes_per_second(Some(0)),
        policy.with_requests_per_second(Some(0.0)),
        policy.with_requests_per_second(Some(f64::INFINITY)),
        policy.with_breaker(0, secs(1), secs(1)),
        policy.with_breaker(1, secs(2), secs(1)),
        policy.with_breaker(1, Duration::ZERO, secs(1)),
        policy.with_denied(Denied::Probe(Duration::ZERO)),
    ] {
        let error = Pacer::new(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{wrong:?}");
    }
    assert_eq!(policy.with_ceiling(1).start, 1);
}
