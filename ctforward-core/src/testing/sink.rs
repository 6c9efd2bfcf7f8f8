//! The contract of [`Sink`].

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::poll::polled;
use super::{Clause, Findings, called, ensure, patiently};
use crate::batch::{Batch, BatchBuilder};
use crate::object::{Object, ObjectId};
use crate::sink::Sink;

/// How large a batch the suite makes where the limits allow it.
const LARGE: usize = 16 << 20;
/// Room for one of its records in any case.
const SMALL: usize = 64;

/// Whether a sink that is in good health keeps the contract of [`Sink`].
///
/// `arrived` answers every record that arrived behind the sink so far, in any
/// order. What is delivered are JSON objects of one line.
pub async fn check<S: Sink + 'static>(sink: S, arrived: impl AsyncFn() -> Vec<Bytes>) -> Findings {
    let mut findings = Findings::new("Sink");
    let on = On {
        sink: Arc::new(sink),
        arrived,
    };
    let clause = "the limits let a batch pass";
    findings.note(clause, on.limits());
    let clause = "every accepted record arrives once, byte for byte";
    findings.note(clause, patiently(on.bytes()).await);
    let clause = "one record is a batch";
    findings.note(clause, patiently(on.single()).await);
    let clause = "a record as large as the limit is taken";
    findings.note(clause, patiently(on.largest_record()).await);
    let clause = "a batch as large as the limit is taken";
    findings.note(clause, patiently(on.largest_batch()).await);
    let clause = "a batch of as many records as the limit is taken";
    findings.note(clause, patiently(on.most_records()).await);
    let clause = "batches may be delivered at once";
    findings.note(clause, patiently(on.at_once()).await);
    let clause = "a dropped delivery harms no other, and tears no record";
    findings.note(clause, patiently(on.dropped()).await);
    findings
}

struct On<S, A> {
    sink: Arc<S>,
    arrived: A,
}

impl<S: Sink + 'static, A: AsyncFn() -> Vec<Bytes>> On<S, A> {
    fn limits(&self) -> Clause {
        let limits = self.sink.limits();
        let pass = limits.bytes > 0
            && limits.records > 0
            && limits.record_bytes > 0
            && limits.record_bytes <= limits.bytes;
        ensure(pass, || format!("no record fits {limits:?}"))?;
        ensure(limits == self.sink.limits(), || "they change".into())
    }

    async fn bytes(&self) -> Clause {
        let records: Vec<String> = [
            r#""n":1624.0,"big":18446744073709551616,"e":1E+2,"neg":-0"#,
            r#""u":"\u00fc\u0000\ud83e\udd80","raw":"ü🦀","slash":"\/""#,
            r#""twice":1,"twice":2,"z":0,"a":0"#,
            r#""deep":{"a":[[],{},[{"b":null}]],"":""},"t":true"#,
            r#""spaces":  [ 1 , 2 ]	, "html":"<a href='&amp;'>""#,
            r#""agent":"\u001b[2J\r\n\\\"","bidi":"BIDI""#,
        ]
        .iter()
        .map(|inner| format!("{{\"eventID\":\"bytes\",{inner}}}").replace("BIDI", "\u{202e}"))
        .collect();
        self.accepted("bytes", &[batch(&records)]).await
    }

    async fn single(&self) -> Clause {
        self.accepted("single", &[batch(&[record("single", 0, 0)])])
            .await
    }

    async fn largest_record(&self) -> Clause {
        let limits = self.sink.limits();
        let size = limits.record_bytes.min(LARGE);
        self.accepted("record", &[batch(&[record("record", 0, size)])])
            .await
    }

    async fn largest_batch(&self) -> Clause {
        let limits = self.sink.limits();
        if limits.record_bytes < SMALL {
            return Ok(());
        }
        // Records of a size, and a last one that fills what is left exactly.
        let mut left = limits.bytes.min(LARGE);
        let each = (left / 8).clamp(SMALL, limits.record_bytes);
        let mut records: Vec<String> = Vec::new();
        while left > each && records.len() + 1 < limits.records {
            let size = each.min(left - SMALL);
            records.push(record("batch", records.len(), size));
            left = left.saturating_sub(records.last().map_or(0, String::len) + 1);
        }
        let last = left.min(limits.record_bytes);
        records.push(record("batch", records.len(), last));
        self.accepted("batch", &[batch(&records)]).await
    }

    async fn most_records(&self) -> Clause {
        let limits = self.sink.limits();
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < limits.records {
            let record = record("many", records.len(), 0);
            bytes += record.len() + 1;
            if bytes > limits.bytes.min(LARGE) {
                break;
            }
            records.push(record);
        }
        self.accepted("many", &[batch(&records)]).await
    }

    async fn at_once(&self) -> Clause {
        let batches: Vec<Batch> = (0..32)
            .map(|number| self.small("at-once", number))
            .collect();
        let mut deliveries = JoinSet::new();
        for batch in batches.clone() {
            let sink = Arc::clone(&self.sink);
            deliveries.spawn(async move { taken(&*sink, &batch).await });
        }
        let mut expected = Vec::new();
        while let Some(delivered) = deliveries.join_next().await {
            let delivered = delivered.map_err(|error| format!("a delivery ended with {error}"))?;
            expected.extend(delivered?);
        }
        self.there("at-once", expected, &[]).await
    }

    async fn dropped(&self) -> Clause {
        let mut expected = Vec::new();
        let mut perhaps = Vec::new();
        for round in 0..12 {
            let dropped = self.small("dropped", 2 * round);
            // Dropped at its first poll, its second, and so on; ready is as good.
            let _ = polled(self.sink.deliver(&dropped), round % 6 + 1).await;
            perhaps.extend(dropped.records().map(Bytes::copy_from_slice));
            let whole = self.small("dropped", 2 * round + 1);
            expected.extend(taken(&*self.sink, &whole).await?);
        }
        self.there("dropped", expected, &perhaps).await
    }

    /// A batch of a few records, named by a number.
    fn small(&self, name: &str, number: usize) -> Batch {
        let most = self.sink.limits().records.clamp(1, 10);
        let size = (self.sink.limits().bytes / most).saturating_sub(1);
        let records: Vec<String> = (0..most)
            .map(|index| record(name, number * 100 + index, size.min(200)))
            .collect();
        batch(&records)
    }

    /// Delivers batches of records named so, all of which must be taken and arrive.
    async fn accepted(&self, name: &str, batches: &[Batch]) -> Clause {
        let mut expected = Vec::new();
        for batch in batches {
            expected.extend(taken(&*self.sink, batch).await?);
        }
        self.there(name, expected, &[]).await
    }

    /// That of the records named so these arrived once, those perhaps, no others.
    async fn there(&self, name: &str, expected: Vec<Bytes>, perhaps: &[Bytes]) -> Clause {
        let mark = format!("\"eventID\":\"{name}");
        let mut counts: BTreeMap<Bytes, usize> = BTreeMap::new();
        let ours = |record: &Bytes| {
            // A torn record may have lost its name.
            record
                .windows(mark.len())
                .any(|window| window == mark.as_bytes())
                || !record.starts_with(b"{\"eventID\":\"")
                || !record.ends_with(b"}")
        };
        for record in (self.arrived)().await.into_iter().filter(ours) {
            *counts.entry(record).or_default() += 1;
        }
        let total = expected.len();
        for record in &expected {
            match counts.remove(record) {
                Some(1) => {}
                None => {
                    return Err(format!(
                        "of {total} accepted records {} did not arrive as it was; arrived: {}",
                        brief(record),
                        counts.keys().next().map_or("nothing else".into(), brief)
                    ));
                }
                Some(times) => {
                    return Err(format!("{} arrived {times} times", brief(record)));
                }
            }
        }
        counts.retain(|record, _| !perhaps.contains(record));
        match counts.keys().next() {
            None => Ok(()),
            Some(record) => Err(format!("{} arrived and was never sent", brief(record))),
        }
    }
}

/// Delivers a batch to a sink that should take it all.
async fn taken(sink: &impl Sink, batch: &Batch) -> Result<Vec<Bytes>, String> {
    let size = format!(
        "a batch of {} records and {} bytes",
        batch.len(),
        batch.bytes()
    );
    let delivery = called(&size, sink.deliver(batch).await)?;
    ensure(delivery.fits(batch.len()), || {
        format!("the answer to {size} names records that it has not, or one twice: {delivery:?}")
    })?;
    ensure(delivery.is_complete(), || {
        format!("{size} was not taken: {delivery:?}")
    })?;
    Ok(batch.records().map(Bytes::copy_from_slice).collect())
}

fn batch(records: &[String]) -> Batch {
    let object = Object::new(ObjectId::new("trail", "conformance.json"));
    BatchBuilder::of_records(object, records.iter().map(String::as_bytes))
}

/// A record of exactly `size` bytes, or of as few as it can have.
fn record(name: &str, number: usize, size: usize) -> String {
    let bare = format!("{{\"eventID\":\"{name}-{number}\",\"p\":\"\"}}");
    let padding = "x".repeat(size.saturating_sub(bare.len()));
    format!("{{\"eventID\":\"{name}-{number}\",\"p\":\"{padding}\"}}")
}

fn brief(record: &Bytes) -> String {
    let start = record.get(..60).unwrap_or(record);
    format!("\"{}\" ({} bytes)", start.escape_ascii(), record.len())
}
