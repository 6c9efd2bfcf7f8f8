//! Any files, any answers of the sink, any limits: the books balance, nothing is
//! acknowledged early, and nothing of an acknowledged file is missing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ctforward_core::deliver::RetryPolicy;
use ctforward_core::pipeline::PipelineLimits;
use ctforward_core::quarantine::{Kept, Reason};
use ctforward_core::read::ReadLimits;
use ctforward_core::{BatchLimits, Delivery, Error, ErrorKind, Pipeline, Rejection, Retry};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::parts::{Cell, Item, Log, Script, answering, item};
use crate::reader::gzip;

#[derive(Clone, Debug)]
enum Element {
    Good(usize),
    Long,
    Huge,
    NoObject,
    BadText,
}

#[derive(Clone, Debug)]
struct File {
    elements: Vec<Element>,
    cut: bool,
    zipped: bool,
    broken: usize,
    refused: bool,
}

/// What the sink says to one call.
#[derive(Clone, Debug)]
enum Answer {
    Take,
    Busy,
    Again(u8),
    Refuse(u8),
    TooLarge,
    Denied,
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        12 => (0usize..400).prop_map(Element::Good),
        1 => Just(Element::Long),
        1 => Just(Element::Huge),
        1 => Just(Element::NoObject),
        1 => Just(Element::BadText),
    ]
}

fn file() -> impl Strategy<Value = File> {
    (
        prop::collection::vec(element(), 0..60),
        prop::bool::weighted(0.1),
        any::<bool>(),
        0usize..3,
        prop::bool::weighted(0.03),
    )
        .prop_map(|(elements, cut, zipped, broken, refused)| File {
            elements,
            cut,
            zipped,
            broken,
            refused,
        })
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        8 => Just(Answer::Take),
        2 => Just(Answer::Busy),
        2 => any::<u8>().prop_map(Answer::Again),
        2 => any::<u8>().prop_map(Answer::Refuse),
        1 => Just(Answer::TooLarge),
        1 => prop_oneof![9 => Just(Answer::Busy), 1 => Just(Answer::Denied)],
    ]
}

fn bytes_of(file: usize, index: usize, element: &Element) -> Vec<u8> {
    let name = format!("f{file}r{index}");
    match element {
        Element::Good(pad) => {
            format!(r#"{{"eventName":"{name}","pad":"{}"}}"#, "p".repeat(*pad)).into_bytes()
        }
        Element::Long => {
            format!(r#"{{"eventName":"{name}","pad":"{}"}}"#, "l".repeat(1500)).into_bytes()
        }
        Element::Huge => {
            format!(r#"{{"eventName":"{name}","pad":"{}"}}"#, "h".repeat(5000)).into_bytes()
        }
        Element::NoObject => format!(r#""{name}""#).into_bytes(),
        Element::BadText => format!("{{\"eventName\":\"{name}\u{1}\"}}").into_bytes(),
    }
}

fn stored(index: usize, file: &File) -> Vec<u8> {
    let elements: Vec<Vec<u8>> = file
        .elements
        .iter()
        .enumerate()
        .map(|(n, e)| bytes_of(index, n, e))
        .collect();
    let document = [&b"{\"Records\":["[..], &elements.join(&b","[..]), b"]}"].concat();
    let mut stored = if file.zipped {
        gzip(&document)
    } else {
        document
    };
    if file.cut {
        stored.truncate(stored.len() - 1);
    }
    stored
}

fn key(n: usize) -> String {
    format!("AWSLogs/111122223333/CloudTrail/us-east-1/2026/03/01/file-{n:03}.json.gz")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn books_balance_and_an_acknowledged_file_is_whole(
        files in prop::collection::vec(file(), 0..12),
        answers in prop::collection::vec(answer(), 1..40),
        batch_bytes in 2000usize..20_000,
        batch_records in 1usize..50,
        hold in 500usize..20_000,
        reading in 1usize..4,
        awaiting in 1usize..6,
        quarantine_fails in prop::bool::weighted(0.05),
        stop_after in prop::option::weighted(0.2, 0u64..400),
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let log = Log::default();
        let items: Vec<Item> = files.iter().enumerate().map(|(n, file)| {
            let stored = stored(n, file);
            let broken = stored.len() / 2;
            let mut item = item(&key(n), stored);
            item.breaks = (broken, file.broken);
            if file.refused {
                item.open_errors = vec![(ErrorKind::Unauthorized, Retry::Never); 9];
            }
            item
        }).collect();
        let script = answers.clone();
        let mut sink = answering(&log, move |call, batch| {
            let mut delivery = Delivery::accepted();
            match script.get(call)? {
                Answer::Take => return None,
                Answer::Busy => {
                    let error = Error::new(ErrorKind::Unavailable, "sink", "busy");
                    return Some(Err(error.with_retry(Retry::Backoff)));
                }
                Answer::Again(which) => delivery.again = vec![usize::from(*which) % batch.len()],
                Answer::Refuse(which) => {
                    let index = usize::from(*which) % batch.len();
                    delivery.rejected = vec![Rejection::new(index, "no")];
                }
                Answer::TooLarge => return Some(Err(Error::new(ErrorKind::TooLarge, "sink", "413"))),
                Answer::Denied => return Some(Err(Error::new(ErrorKind::Unauthorized, "sink", "401"))),
            }
            Some(Ok(delivery))
        });
        sink.limits = BatchLimits::new(batch_bytes).with_records(batch_records).with_record_bytes(1000);
        let taken = Arc::clone(&sink.taken);
        let mut cell = Cell::new(&log);
        cell.fails = quarantine_fails;
        let entries = Arc::clone(&cell.entries);
        let mut limits = PipelineLimits::default();
        limits.files_reading = reading;
        limits.files_awaiting = awaiting;
        limits.hold_complete = Some(hold);
        limits.bytes_held = hold * reading + 3 * batch_bytes;
        let pipeline = Pipeline::builder(Script::new(items, &log), sink)
            .quarantine(cell)
            .limits(limits)
            .read_limits(ReadLimits::default().with_record_bytes(4000))
            .retry(RetryPolicy::default().with_seed(seed))
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let report = runtime.block_on(async {
            let shutdown = stop.clone();
            let stopper = async move {
                if let Some(after) = stop_after {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    stop.cancel();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                report = pipeline.run(shutdown) => report,
                () = stopper => unreachable!(),
            }
        });
        prop_assert!(report.balanced(), "{:?}", report);

        // Every file that was handed over got exactly one word.
        let lines = log.lines();
        let handed = lines.iter().filter(|l| ["accept", "release"].contains(&l.split(' ').next().unwrap())).count();
        prop_assert_eq!(handed as u64, report.files.seen);
        prop_assert_eq!(log.count("accept") as u64, report.files.delivered + report.files.quarantined);
        prop_assert_eq!(log.count("dropped"), 0);

        let taken: BTreeSet<Vec<u8>> = lock(&taken).iter().map(|l| l.clone().into_bytes()).collect();
        prop_assert!(taken.len() as u64 >= report.records.accepted);
        let entries = lock(&entries);
        for (n, file) in files.iter().enumerate() {
            let word = format!("accept {}", key(n));
            if !lines.contains(&word) {
                continue;
            }
            let of_file = entries.iter().filter(|e| e.object.id.key == key(n));
            let whole = of_file.clone().any(|e| e.reason == Reason::Unreadable);
            prop_assert_eq!(whole, file.cut, "a whole file in quarantine is a cut one");
            if whole {
                continue;
            }
            let kept: BTreeSet<Vec<u8>> = of_file.clone().filter_map(|e| match &e.kept {
                Kept::Bytes(bytes) => Some(bytes.to_vec()),
                _ => None,
            }).collect();
            let by_reference = of_file.filter(|e| matches!(e.kept, Kept::Reference { .. })).count();
            let huge = file.elements.iter().filter(|e| matches!(e, Element::Huge)).count();
            prop_assert_eq!(by_reference, huge);
            for (index, element) in file.elements.iter().enumerate() {
                let bytes = bytes_of(n, index, element);
                let sent = taken.contains(&bytes);
                match element {
                    Element::Huge => {}
                    Element::Good(_) => prop_assert!(sent || kept.contains(&bytes), "{}", String::from_utf8_lossy(&bytes)),
                    _ => prop_assert!(!sent && kept.contains(&bytes)),
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
