//! What a stop gives back, and when.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::source::MemorySource;
use ctforward_core::{
    Batch, BatchLimits, Delivery, Error, ErrorKind, Intake, ObjectId, Pipeline, Receipt, Result,
    Retry, Sink, Source,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Told = Arc<Mutex<Vec<String>>>;

fn told(log: &Told) -> Vec<String> {
    log.lock().unwrap().clone()
}

/// A queue that never ends; its files can be held for so long.
struct Queue {
    inner: MemorySource,
    hold: Duration,
    log: Told,
}

impl Queue {
    fn new(hold: Duration, log: &Told) -> Self {
        let file = r#"{"Records":[{"eventName":"GetObject"}]}"#;
        Self {
            inner: MemorySource::new([(ObjectId::new("bucket", "a"), file.into())]),
            hold,
            log: Arc::clone(log),
        }
    }
}

#[async_trait]
impl Source for Queue {
    async fn next(&mut self) -> Result<Option<Intake>> {
        let Some(Intake::File(mut file)) = self.inner.next().await? else {
            return std::future::pending().await;
        };
        file.receipt = Box::new(Slip {
            until: Instant::now() + self.hold,
            log: Arc::clone(&self.log),
        });
        Ok(Some(Intake::File(file)))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.log
            .lock()
            .unwrap()
            .push("the source is dropped".to_owned());
    }
}

struct Slip {
    until: Instant,
    log: Told,
}

#[async_trait]
impl Receipt for Slip {
    fn hold_until(&self) -> Option<Instant> {
        Some(self.until)
    }

    async fn accept(self: Box<Self>) -> Result<()> {
        self.log.lock().unwrap().push("accept".to_owned());
        Ok(())
    }

    async fn release(self: Box<Self>, _: &Error, after: Option<Duration>) -> Result<()> {
        let after = after.map(|after| after.as_secs());
        self.log.lock().unwrap().push(format!("release {after:?}"));
        Ok(())
    }
}

/// Asks for ten minutes, or never answers.
#[derive(Clone, Copy)]
struct Busy {
    answers: bool,
}

#[async_trait]
impl Sink for Busy {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1 << 20)
    }

    async fn deliver(&self, _: &Batch) -> Result<Delivery> {
        if !self.answers {
            std::future::pending::<()>().await;
        }
        let error = Error::new(ErrorKind::Throttled, "sink", "later");
        Err(error.with_retry(Retry::After(Duration::from_secs(600))))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn what_cannot_be_held_for_the_pause_asked_for_is_given_back_with_it() {
    let (log, stop) = (Told::default(), CancellationToken::new());
    let queue = Queue::new(Duration::from_secs(60), &log);
    let pipeline = Pipeline::builder(queue, Busy { answers: true });
    let running = tokio::spawn(pipeline.build().unwrap().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    // It runs on, and nothing of a stop.
    assert_eq!(told(&log).len(), 1, "{:?}", told(&log));
    let seconds = told(&log)[0]
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse::<u64>();
    assert!((590..=660).contains(&seconds.unwrap()), "{:?}", told(&log));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(told(&log)[1..], ["the source is dropped"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_long_pause_is_given_back_without_one_when_it_is_stopped() {
    let (log, stop) = (Told::default(), CancellationToken::new());
    let pipeline = Pipeline::builder(Queue::new(HOUR, &log), Busy { answers: true });
    let running = tokio::spawn(pipeline.build().unwrap().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(told(&log).is_empty(), "{:?}", told(&log));
    stop.cancel();
    running.await.unwrap();
    let mut told = told(&log);
    told.sort();
    assert_eq!(told, ["release Some(0)", "the source is dropped"]);
}

#[tokio::test(start_paused = true)]
async fn the_source_goes_when_intake_stops_and_not_when_the_drain_ends() {
    let (log, stop) = (Told::default(), CancellationToken::new());
    let pipeline = Pipeline::builder(Queue::new(HOUR, &log), Busy { answers: false });
    let running = tokio::spawn(pipeline.build().unwrap().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(told(&log), ["the source is dropped"]);
    assert!(!running.is_finished());
    running.await.unwrap();
    assert_eq!(told(&log)[1..], ["release Some(0)"]);
}
