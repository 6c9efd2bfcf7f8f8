//! Any file, any answers, any number of runs: the row of a finished file has each
//! element once, and nothing below the mark is undecided.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::duplicates::Duplicates;
use ctforward_core::ledger::{Claim, MemoryLedger};
use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::quarantine::{Kept, MemoryQuarantine};
use ctforward_core::stage::{Stage, Verdict};
use ctforward_core::{
    BatchLimits, Error, ErrorKind, Ledger, Object, ObjectId, Pipeline, Record, Retry,
};
use proptest::prelude::*;

use crate::feed::{Feed, file};
use crate::parts::{Log, answering};
use crate::pipeline::{document, key, run};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Element {
    Plain,
    /// The same as all others of its kind.
    Same,
    Filtered,
    NoObject,
    /// Over the sink's limit.
    Long,
    /// Over the reader's cap.
    Huge,
}

fn element() -> impl Strategy<Value = Element> {
    use Element::{Filtered, Huge, Long, NoObject, Plain, Same};
    prop_oneof![
        8 => Just(Plain),
        2 => Just(Same),
        1 => Just(Filtered),
        1 => Just(NoObject),
        1 => Just(Long),
        1 => Just(Huge),
    ]
}

fn bytes_of((n, element): (usize, &Element)) -> String {
    match element {
        Element::Plain => format!(r#"{{"eventID":"{n}"}}"#),
        Element::Same => r#"{"eventID":"same"}"#.to_owned(),
        Element::Filtered => format!(r#"{{"drop":{n}}}"#),
        Element::NoObject => format!("\"{n}\""),
        Element::Long => format!(r#"{{"n":"{n}","x":"{}"}}"#, "y".repeat(200)),
        Element::Huge => format!(r#"{{"n":"{n}","x":"{}"}}"#, "y".repeat(400)),
    }
}

struct Drops;

impl Stage for Drops {
    fn apply(&self, record: &Record<'_>) -> Verdict {
        match record.field("drop") {
            Some(_) => Verdict::Drop("drop".into()),
            None => Verdict::Keep,
        }
    }
}

/// One run: the answers of the sink and the settings.
#[derive(Clone, Debug)]
struct Turn {
    /// Which calls fail, and whether for good.
    fails: Vec<(usize, bool)>,
    hold: usize,
    deliveries: usize,
}

fn turn() -> impl Strategy<Value = Turn> {
    let fails = prop::collection::vec((0usize..12, any::<bool>()), 0..4);
    (fails, prop_oneof![Just(300), Just(3_000)], 1usize..4).prop_map(|(fails, hold, deliveries)| {
        Turn {
            fails,
            hold,
            deliveries,
        }
    })
}

fn all_of(document: &[u8], elements: &[Element]) -> Vec<(u64, String)> {
    let mut at = 12;
    let mut all = Vec::new();
    for element in elements.iter().enumerate() {
        let bytes = bytes_of(element);
        let start = usize::try_from(at).unwrap();
        assert_eq!(&document[start..start + bytes.len()], bytes.as_bytes());
        let next = at + bytes.len() as u64 + 1;
        all.push((at, bytes));
        at = next;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn however_often_a_file_is_begun_its_row_has_each_element_once(
        elements in prop::collection::vec(element(), 1..120),
        turns in prop::collection::vec(turn(), 0..4),
        cut: bool,
        removes: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async move {
            let texts: Vec<String> = elements.iter().enumerate().map(bytes_of).collect();
            let mut stored = document(&texts);
            let all = all_of(&stored, &elements);
            if cut {
                stored.truncate(stored.len() - 2);
            }
            let ledger = Arc::new(MemoryLedger::new());
            let quarantine = Arc::new(MemoryQuarantine::new());
            let mut taken = BTreeSet::new();
            let last = Turn { fails: Vec::new(), hold: 300, deliveries: 2 };
            for turn in turns.into_iter().chain([last]) {
                let log = Log::default();
                let fails = turn.fails;
                let mut sink = answering(&log, move |call, _| {
                    let (_, for_good) = fails.iter().find(|(at, _)| *at == call)?;
                    let kind = if *for_good { ErrorKind::Unauthorized } else { ErrorKind::Unavailable };
                    let retry = if *for_good { Retry::Never } else { Retry::Backoff };
                    Some(Err(Error::new(kind, "sink", "no").with_retry(retry)))
                });
                sink.limits = BatchLimits::new(300).with_record_bytes(150);
                let sent = Arc::clone(&sink.taken);
                let mut limits = PipelineLimits::default();
                limits.hold_complete = Some(turn.hold);
                limits.deliveries = turn.deliveries;
                let mut pipeline = Pipeline::builder(Feed::of([file(&key(1), stored.clone())], &log), sink)
                    .limits(limits)
                    .read_limits(ctforward_core::read::ReadLimits::default().with_record_bytes(300))
                    .stage(Drops)
                    .quarantine(Arc::clone(&quarantine))
                    .ledger(Arc::clone(&ledger));
                if removes {
                    pipeline = pipeline.duplicates(Duplicates::new().with_store(Arc::clone(&ledger)));
                }
                let report = run(pipeline).await;
                assert!(report.records.read + report.records.resumed <= elements.len() as u64);
                taken.extend(sent.lock().unwrap().drain(..));
                let object = Object::new(ObjectId::new("bucket", key(1)));
                let lease = Duration::from_secs(1);
                match ledger.claim(&object, "spy", lease).await.unwrap() {
                    Claim::Delivered => break,
                    Claim::Granted { ticket, resume } => {
                        let below = all.iter().filter(|(at, _)| *at < resume.mark.low_water).count();
                        assert_eq!(resume.mark.records.read, below as u64);
                        assert!(resume.mark.records.balanced());
                        assert_eq!(resume.mark.records.undecided, 0);
                        ledger.release(&ticket).await.unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
            let row = ledger.finished("bucket", &key(1)).expect("the last run ends it");
            let books = row.books.records;
            assert_eq!(books.read, elements.len() as u64, "{books:?}");
            assert!(books.balanced());
            assert_eq!((books.undecided, books.resumed), (0, 0));
            assert_eq!(row.quarantined, cut);
            let kept = quarantine.entries();
            // A file that is cut goes there whole, or from the first byte not handed on.
            let from = kept.iter().filter(|entry| !matches!(entry.kept, Kept::Bytes(_)));
            let from = from.filter(|entry| entry.reason.as_str() == "unreadable");
            let from = from.map(|entry| entry.offset.unwrap_or(0)).min().unwrap_or(u64::MAX);
            for ((at, text), element) in all.iter().zip(&elements) {
                let held = kept.iter().any(|entry| entry.offset == Some(*at));
                let decided = match element {
                    Element::Plain | Element::Same => taken.contains(text),
                    Element::Filtered => true,
                    _ => held,
                };
                assert!(decided || *at >= from, "{element:?} at {at}");
            }
        });
    }
}
