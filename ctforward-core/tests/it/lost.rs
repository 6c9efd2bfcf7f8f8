//! Files that their receipts no longer hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ledger::{Claim, Finished, Mark, MemoryLedger, Ticket};
use ctforward_core::source::MemorySource;
use ctforward_core::{
    Batch, BatchLimits, Delivery, Error, ErrorKind, Intake, Ledger, Object, ObjectId, Pipeline,
    Receipt, Result, Sink, Source,
};
use tokio_util::sync::CancellationToken;

/// What receipts were told.
type Told = Arc<Mutex<Vec<String>>>;

/// Hands over the files of another source, with receipts that may be lost.
struct Queue {
    inner: MemorySource,
    lost: Arc<AtomicBool>,
    told: Told,
}

#[async_trait]
impl Source for Queue {
    async fn next(&mut self) -> Result<Option<Intake>> {
        let mut next = self.inner.next().await?;
        if let Some(Intake::File(file)) = &mut next {
            file.receipt = Box::new(Slip {
                key: file.object.id.key.clone(),
                lost: Arc::clone(&self.lost),
                told: Arc::clone(&self.told),
            });
        }
        Ok(next)
    }
}

struct Slip {
    key: String,
    lost: Arc<AtomicBool>,
    told: Told,
}

#[async_trait]
impl Receipt for Slip {
    fn lost(&self) -> Option<Error> {
        let lost = self.key == "lost" && self.lost.load(Ordering::SeqCst);
        lost.then(|| Error::new(ErrorKind::Changed, "queue", "the handle expired"))
    }

    async fn accept(self: Box<Self>) -> Result<()> {
        self.told
            .lock()
            .unwrap()
            .push(format!("accept {}", self.key));
        Ok(())
    }

    async fn release(self: Box<Self>, why: &Error, after: Option<Duration>) -> Result<()> {
        let pause = after.map(|after| format!(" after {after:?}"));
        let pause = pause.unwrap_or_default();
        let line = format!("release {} {}{pause}", self.key, why.kind().as_str());
        self.told.lock().unwrap().push(line);
        Ok(())
    }
}

/// Takes its time, within which a receipt is lost, and then takes everything.
struct Slow(Arc<AtomicBool>);

#[async_trait]
impl Sink for Slow {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1 << 20)
    }

    async fn deliver(&self, _batch: &Batch) -> Result<Delivery> {
        self.0.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(10)).await;
        Ok(Delivery::accepted())
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_no_longer_held_is_not_accepted_whatever_the_sink_says() {
    let log = r#"{"Records":[{"eventName":"GetObject"}]}"#;
    let files = ["kept", "lost"].map(|key| (ObjectId::new("bucket", key), log.into()));
    let (lost, told) = (Arc::new(AtomicBool::new(false)), Told::default());
    let queue = Queue {
        inner: MemorySource::new(files),
        lost: Arc::clone(&lost),
        told: Arc::clone(&told),
    };
    let ledger = Arc::new(MemoryLedger::new());
    let pipeline = Pipeline::builder(queue, Slow(lost)).ledger(Arc::clone(&ledger));
    let pipeline = pipeline.build().unwrap();
    let report = pipeline.run(CancellationToken::new()).await;
    let mut told = told.lock().unwrap().clone();
    told.sort();
    assert_eq!(told, ["accept kept", "release lost changed"]);
    assert_eq!((report.files.delivered, report.files.failed), (1, 1));
    assert!(report.balanced());
    // Whoever holds it now must not find it finished.
    assert!(ledger.finished("bucket", "kept").is_some());
    assert!(ledger.finished("bucket", "lost").is_none());
}

/// Says of every file that another holds it, and that the run is to stop.
struct Held(CancellationToken);

#[async_trait]
impl Ledger for Held {
    async fn claim(&self, _: &Object, _: &str, _: Duration) -> Result<Claim> {
        self.0.cancel();
        let remaining = Duration::from_secs(90);
        Ok(Claim::HeldBy { remaining })
    }

    async fn renew(&self, _: &Ticket, _: Duration) -> Result<()> {
        Ok(())
    }

    async fn progress(&self, _: &Ticket, _: &Object, _: &Mark) -> Result<()> {
        Ok(())
    }

    async fn finish(&self, _: &Ticket, _: &Object, _: &Finished) -> Result<()> {
        Ok(())
    }

    async fn release(&self, _: &Ticket) -> Result<()> {
        Ok(())
    }
}

/// A stop gives back at once what this run held; whoever else holds a file holds it on.
#[tokio::test(start_paused = true)]
async fn a_file_that_another_holds_is_not_shown_before_its_time_because_this_run_stops() {
    let told = Told::default();
    let source = Queue {
        inner: MemorySource::new([(ObjectId::new("bucket", "held"), "{}".into())]),
        lost: Arc::default(),
        told: Arc::clone(&told),
    };
    let stop = CancellationToken::new();
    let pipeline = Pipeline::builder(source, Slow(Arc::default())).ledger(Held(stop.clone()));
    pipeline.build().unwrap().run(stop).await;
    let told = told.lock().unwrap();
    assert_eq!(*told, ["release held unavailable after 90s"]);
}
