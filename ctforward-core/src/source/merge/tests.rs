use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::*;
use crate::object::ObjectId;
use crate::source::MemorySource;

/// What a source does at each call, one after the other.
enum Step {
    File(&'static str),
    Wait(u64),
    Fail(Retry),
    Panic,
}

struct Script(VecDeque<Step>);

#[async_trait]
impl Source for Script {
    async fn next(&mut self) -> Result<Option<Intake>> {
        loop {
            match self.0.pop_front() {
                None => return Ok(None),
                Some(Step::Wait(seconds)) => sleep(Duration::from_secs(seconds)).await,
                Some(Step::Fail(retry)) => {
                    let error = Error::new(ErrorKind::Config, "t", "bad\u{1b}ly");
                    return Err(error.with_retry(retry));
                }
                Some(Step::Panic) => std::panic::panic_any("a fault"),
                Some(Step::File(key)) => {
                    let file = (ObjectId::new("b", key), Bytes::new());
                    return MemorySource::new([file]).next().await;
                }
            }
        }
    }
}

fn merge(sources: Vec<(&str, Vec<Step>)>) -> (Merge, Vec<SourceWatch>) {
    let watches: Vec<_> = sources
        .iter()
        .map(|(name, _)| SourceWatch::new(*name))
        .collect();
    let sources = sources
        .into_iter()
        .zip(&watches)
        .map(|((_, steps), watch)| {
            let source: Box<dyn Source> = Box::new(Script(steps.into()));
            (watch.clone(), source)
        });
    let merge = Merge::new(sources).retry(RetryPolicy::default().with_seed(1));
    (merge, watches)
}

fn key(intake: &Intake) -> String {
    match intake {
        Intake::File(file) => file.object.id.key.clone(),
        other => format!("{other:?}"),
    }
}

async fn keys(merge: &mut Merge) -> Vec<String> {
    let mut keys = Vec::new();
    while let Some(intake) = merge.next().await.unwrap() {
        keys.push(key(&intake));
    }
    keys
}

#[tokio::test(start_paused = true)]
async fn a_source_that_always_has_something_keeps_no_other_waiting() {
    let eager = (0..50).map(|_| Step::File("eager")).collect();
    let other = vec![Step::File("x"), Step::File("y"), Step::File("z")];
    let (mut merge, _) = merge(vec![("eager", eager), ("other", other)]);
    let keys = keys(&mut merge).await;
    assert_eq!(keys.len(), 53);
    let last = keys.iter().rposition(|key| key != "eager").unwrap();
    assert!(last < 8, "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_goes_on_while_others_are_heard() {
    let busy = (0..9)
        .flat_map(|_| [Step::Wait(1), Step::File("busy")])
        .collect();
    let slow = vec![Step::Wait(5), Step::File("slow")];
    let (mut merge, _) = merge(vec![("busy", busy), ("slow", slow)]);
    let began = Instant::now();
    while key(&merge.next().await.unwrap().unwrap()) != "slow" {}
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_good_is_asked_again_and_seen_and_the_others_go_on() {
    let bad = vec![
        Step::Fail(Retry::Never),
        Step::Fail(Retry::After(Duration::from_secs(600))),
        Step::File("late"),
    ];
    let good = vec![Step::File("a"), Step::Wait(100), Step::File("b")];
    let (mut merge, watches) = merge(vec![("bad", bad), ("good", good)]);
    let began = Instant::now();
    assert_eq!(key(&merge.next().await.unwrap().unwrap()), "a");
    assert_eq!(key(&merge.next().await.unwrap().unwrap()), "b");
    let status = watches[0].status();
    assert_eq!((status.failures, status.ended), (2, false));
    assert_eq!(status.error.as_deref(), Some("t: bad\\u{1b}ly"));
    assert!(status.failing_since.is_some());
    assert_eq!(watches[1].status().failures, 0);

    // Told ten minutes, it is not asked earlier, and it is well again behind that.
    assert_eq!(key(&merge.next().await.unwrap().unwrap()), "late");
    assert!(began.elapsed() >= Duration::from_secs(600));
    let status = watches[0].status();
    assert_eq!(
        (status.failures, status.error, status.handed_over),
        (0, None, 1)
    );
    assert!(merge.next().await.unwrap().is_none());
    assert!(watches.iter().all(|watch| watch.status().ended));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panicked_is_never_taken_for_exhausted() {
    let (mut merge, watches) = merge(vec![
        ("bad", vec![Step::Panic]),
        ("good", vec![Step::Wait(1), Step::File("a")]),
    ]);
    assert_eq!(key(&merge.next().await.unwrap().unwrap()), "a");
    let bad = watches[0].status();
    assert!(bad.ended && bad.broke && bad.error.is_some());
    assert!(!watches[1].status().broke);
    for _ in 0..2 {
        assert!(!merge.next().await.unwrap_err().is_retryable());
    }
}

/// A receipt that is seen to be dropped.
struct Held {
    _held: std::sync::Arc<()>,
}

#[async_trait]
impl crate::Receipt for Held {
    async fn accept(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    async fn release(self: Box<Self>, _: &Error, _: Option<Duration>) -> Result<()> {
        Ok(())
    }
}

struct Holding(std::sync::Arc<()>);

#[async_trait]
impl Source for Holding {
    async fn next(&mut self) -> Result<Option<Intake>> {
        Ok(Some(Intake::Skip {
            object: ObjectId::new("b", "k"),
            why: "a test",
            receipt: Box::new(Held {
                _held: std::sync::Arc::clone(&self.0),
            }),
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_given_back_when_it_is_dropped() {
    let held = std::sync::Arc::new(());
    let sources = ["one", "two"].map(|name| {
        let source: Box<dyn Source> = Box::new(Holding(std::sync::Arc::clone(&held)));
        (SourceWatch::new(name), source)
    });
    let mut merge = Merge::new(sources);
    let taken = merge.next().await.unwrap();
    tokio::task::yield_now().await;
    // Two sources, what was taken, and what the other one has ready.
    assert_eq!(std::sync::Arc::strong_count(&held), 5);
    drop((merge, taken));
    tokio::task::yield_now().await;
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}
