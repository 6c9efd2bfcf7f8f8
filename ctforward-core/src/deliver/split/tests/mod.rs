use std::collections::BTreeSet;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::batch::BatchBuilder;
use crate::error::Retry;
use crate::object::{Object, ObjectId};

fn batch(records: usize) -> Batch {
    let records: Vec<String> = (0..records).map(|i| format!("{{\"n\":{i}}}")).collect();
    BatchBuilder::of_records(
        Object::new(ObjectId::new("b", "k")),
        records.iter().map(String::as_bytes),
    )
}

/// Refuses batches with a bad record, and batches over a size; keeps the rest.
#[derive(Default)]
struct Picky {
    bad: BTreeSet<String>,
    bytes: Option<usize>,
    fail_from: Option<usize>,
    calls: Mutex<usize>,
    taken: Mutex<Vec<String>>,
}

#[async_trait]
impl Sink for Picky {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1_000_000)
    }
    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        if self.fail_from.is_some_and(|from| call >= from) {
            return Err(
                Error::new(ErrorKind::Unavailable, "sink", "down").with_retry(Retry::Backoff)
            );
        }
        if self.bytes.is_some_and(|most| batch.bytes() > most) {
            return Err(Error::new(ErrorKind::TooLarge, "sink", "413"));
        }
        let records: Vec<String> = batch
            .records()
            .map(|r| String::from_utf8_lossy(r).into_owned())
            .collect();
        if records.iter().any(|r| self.bad.contains(r)) {
            return Err(Error::new(ErrorKind::Rejected, "sink", "400"));
        }
        self.taken.lock().unwrap().extend(records);
        Ok(Delivery::accepted())
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

proptest! {
    #[test]
    fn finds_exactly_the_refused_records_in_few_requests(
        n in 1usize..200,
        bad in prop::collection::btree_set(0usize..200, 0..4),
    ) {
        let bad: BTreeSet<usize> = bad.into_iter().filter(|i| *i < n).collect();
        prop_assume!(bad.len() < n);
        let sink = SplitSink::new(Picky {
            bad: bad.iter().map(|i| format!("{{\"n\":{i}}}")).collect(),
            ..Picky::default()
        });
        let delivery = run(sink.deliver(&batch(n))).unwrap();
        let found: BTreeSet<usize> = delivery.rejected.iter().map(|r| r.index).collect();
        prop_assert_eq!(&found, &bad);
        prop_assert_eq!(sink.inner.taken.lock().unwrap().len(), n - bad.len());
        let levels = usize::try_from(n.next_power_of_two().ilog2()).unwrap();
        prop_assert!(*sink.inner.calls.lock().unwrap() <= 2 * bad.len() * levels + 1);
    }

    #[test]
    fn halves_until_it_fits(n in 2usize..100, most in 10usize..200) {
        let sink = SplitSink::new(Picky { bytes: Some(most), ..Picky::default() });
        let delivery = run(sink.deliver(&batch(n))).unwrap();
        prop_assert!(delivery.is_complete());
        prop_assert_eq!(sink.inner.taken.lock().unwrap().len(), n);
    }
}

#[test]
fn a_record_too_large_by_itself_is_refused_though_nothing_else_was_accepted() {
    let sink = SplitSink::new(Picky {
        bytes: Some(3),
        ..Picky::default()
    });
    let delivery = run(sink.deliver(&batch(1))).unwrap();
    assert_eq!(delivery.rejected.len(), 1);
}

#[test]
fn a_sink_that_refuses_everything_has_nothing_put_aside_and_is_not_asked_for_each_record() {
    let sink = SplitSink::new(Picky {
        bad: (0..500).map(|i| format!("{{\"n\":{i}}}")).collect(),
        ..Picky::default()
    });
    let error = run(sink.deliver(&batch(500))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(!error.is_retryable());
    assert!(*sink.inner.calls.lock().unwrap() < 60);
}

/// Takes part of a batch, says that the rest is refused, and then refuses it.
struct Partial;

#[async_trait]
impl Sink for Partial {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1000)
    }
    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let refused = || Error::new(ErrorKind::Rejected, "sink", "400");
        let bad = |r: &[u8]| r == b"{\"n\":3}";
        let mut delivery = Delivery::accepted();
        if batch.len() > 3 {
            delivery.again = vec![1, 3, 4];
            delivery.again_because = Some(refused());
        } else if batch.records().any(bad) {
            return Err(refused());
        }
        Ok(delivery)
    }
}

#[test]
fn the_rest_of_a_batch_that_was_taken_in_part_is_bisected_too() {
    let delivery = run(SplitSink::new(Partial).deliver(&batch(6))).unwrap();
    let rejected: Vec<usize> = delivery.rejected.iter().map(|r| r.index).collect();
    assert_eq!((rejected, delivery.again), (vec![3], vec![]));
}

/// Names a record that the batch has not.
struct Beside;

#[async_trait]
impl Sink for Beside {
    fn limits(&self) -> BatchLimits {
        BatchLimits::new(1000)
    }
    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let mut delivery = Delivery::accepted();
        delivery.again = vec![batch.len()];
        Ok(delivery)
    }
}

#[test]
fn a_sink_for_which_everything_is_too_large_has_only_a_few_put_aside() {
    let sink = SplitSink::new(Picky {
        bytes: Some(1),
        ..Picky::default()
    });
    let mut put_aside = 0;
    let stopped = (0..50).any(|_| match run(sink.deliver(&batch(3))) {
        Ok(delivery) => {
            put_aside += delivery.rejected.len();
            false
        }
        Err(_) => true,
    });
    assert!(stopped && put_aside < DOUBTFUL, "{put_aside}");
}

#[test]
fn bad_records_at_the_head_do_not_condemn_the_good_ones_behind_them() {
    let sink = SplitSink::new(Picky {
        bad: (0..20).map(|i| format!("{{\"n\":{i}}}")).collect(),
        ..Picky::default()
    });
    let delivery = run(sink.deliver(&batch(2500))).unwrap();
    assert_eq!(delivery.rejected.len(), 20);
    assert_eq!(sink.inner.taken.lock().unwrap().len(), 2480);
}

#[test]
fn a_refusal_before_it_broke_off_is_no_verdict() {
    let sink = SplitSink::new(Picky {
        bad: std::iter::once("{\"n\":0}".to_owned()).collect(),
        fail_from: Some(4),
        ..Picky::default()
    });
    let error = run(sink.deliver(&batch(4))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
}

#[test]
fn an_answer_that_names_no_record_of_the_batch_decides_nothing() {
    assert!(run(SplitSink::new(Beside).deliver(&batch(3))).is_err());
}

#[test]
fn what_fails_in_the_middle_leaves_the_rest_in_doubt_and_keeps_what_was_decided() {
    let sink = SplitSink::new(Picky {
        bytes: Some(20),
        fail_from: Some(4),
        ..Picky::default()
    });
    let delivery = run(sink.deliver(&batch(8))).unwrap();
    let taken = sink.inner.taken.lock().unwrap().len();
    assert!(taken > 0);
    assert_eq!(delivery.again.len() + taken, 8);
    assert_eq!(
        delivery.again_because.unwrap().kind(),
        ErrorKind::Unavailable
    );
}

mod opinion;
