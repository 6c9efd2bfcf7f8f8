use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::sink::{LineSink, MemorySink};
use ctforward_core::testing::{self, Findings};
use ctforward_core::{Batch, BatchLimits, Delivery, Error, ErrorKind, Rejection, Result, Sink};

use crate::assert_caught;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_in_memory_conforms() {
    for limits in [
        BatchLimits::new(1_000_000),
        BatchLimits::new(4096)
            .with_records(7)
            .with_record_bytes(1000),
        BatchLimits::new(300).with_records(1),
    ] {
        let sink = Arc::new(MemorySink::with_limits(limits));
        let arrived = async || sink.lines().into_iter().map(Bytes::from).collect();
        testing::sink::check(Arc::clone(&sink), arrived)
            .await
            .assert();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_of_lines_conforms() {
    let lines = |written: &[u8]| -> Vec<Bytes> {
        let written = Bytes::copy_from_slice(written);
        let lines = written.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(|line| written.slice_ref(line))
            .collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let sink = LineSink::create(&path).unwrap();
    let limits = BatchLimits::new(64 * 1024);
    let arrived = async || lines(&std::fs::read(&path).unwrap());
    testing::sink::check(sink.with_limits(limits), arrived)
        .await
        .assert();

    let shared = Shared::default();
    let sink = LineSink::writer(shared.clone());
    let arrived = async || lines(&shared.0.lock().unwrap());
    testing::sink::check(sink, arrived).await.assert();
}

/// A writer that can be looked at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    DropsTheLast,
    SendsTwice,
    ReadsNumbers,
    ReadsEscapes,
    SortsKeys,
    NeedsTwo,
    LimitOfBytes,
    LimitOfRecord,
    LimitOfRecords,
    NoLimits,
    NamesWhatIsNot,
    RefusesOne,
    AgainThoughTaken,
    Races,
    TearsWhenDropped,
    LocksWhenDropped,
}

/// Keeps lines, in a way that breaks one clause.
struct Broken {
    lines: Arc<Mutex<Vec<Bytes>>>,
    busy: Mutex<bool>,
    flaw: Flaw,
}

fn mangled(flaw: Flaw, record: &[u8]) -> Bytes {
    let text = std::str::from_utf8(record).unwrap();
    match flaw {
        Flaw::ReadsNumbers => text.replace("1624.0", "1624"),
        Flaw::ReadsEscapes => text.replace("\\u00fc", "ü"),
        Flaw::SortsKeys => {
            let read: serde_json::Value = serde_json::from_str(text).unwrap();
            read.to_string()
        }
        _ => text.to_owned(),
    }
    .into()
}

#[async_trait]
impl Sink for Broken {
    fn limits(&self) -> BatchLimits {
        let limits = BatchLimits::new(8192)
            .with_records(40)
            .with_record_bytes(2000);
        match self.flaw {
            Flaw::NoLimits => limits.with_records(0),
            _ => limits,
        }
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let over = match self.flaw {
            Flaw::NeedsTwo => batch.len() < 2,
            Flaw::LimitOfBytes => batch.bytes() >= 8192,
            Flaw::LimitOfRecord => batch.records().any(|record| record.len() >= 2000),
            Flaw::LimitOfRecords => batch.len() >= 40,
            _ => false,
        };
        if over || *self.busy.lock().unwrap() {
            return Err(Error::new(ErrorKind::TooLarge, "broken", "too much"));
        }
        let mut records: Vec<Bytes> = batch.records().map(|r| mangled(self.flaw, r)).collect();
        let mut delivery = Delivery::accepted();
        match self.flaw {
            Flaw::DropsTheLast => drop(records.pop()),
            Flaw::SendsTwice => records.extend(records.clone()),
            Flaw::NamesWhatIsNot => delivery.rejected.push(Rejection::new(batch.len(), "no")),
            Flaw::RefusesOne => delivery.rejected.push(Rejection::new(0, "no")),
            Flaw::AgainThoughTaken => delivery.again.push(0),
            Flaw::Races => {
                let mut all = self.lines.lock().unwrap().clone();
                tokio::task::yield_now().await;
                all.extend(records);
                *self.lines.lock().unwrap() = all;
                return Ok(delivery);
            }
            Flaw::TearsWhenDropped => {
                // The line is begun, and ended later.
                let torn = records[0].slice(..25);
                self.lines.lock().unwrap().push(torn.clone());
                tokio::task::yield_now().await;
                self.lines.lock().unwrap().retain(|line| *line != torn);
            }
            Flaw::LocksWhenDropped => {
                *self.busy.lock().unwrap() = true;
                tokio::task::yield_now().await;
                *self.busy.lock().unwrap() = false;
            }
            _ => {}
        }
        self.lines.lock().unwrap().extend(records);
        Ok(delivery)
    }
}

#[tokio::test]
async fn each_broken_sink_is_caught_by_the_clause_it_breaks() {
    let (bytes, dropped) = ("byte for byte", "dropped delivery");
    for (flaw, by) in [
        (Flaw::DropsTheLast, bytes),
        (Flaw::SendsTwice, bytes),
        (Flaw::ReadsNumbers, bytes),
        (Flaw::ReadsEscapes, bytes),
        (Flaw::SortsKeys, bytes),
        (Flaw::NamesWhatIsNot, bytes),
        (Flaw::RefusesOne, bytes),
        (Flaw::AgainThoughTaken, bytes),
        (Flaw::NoLimits, "limits let"),
        (Flaw::NeedsTwo, "one record"),
        (Flaw::LimitOfRecord, "a record as large"),
        (Flaw::LimitOfBytes, "a batch as large"),
        (Flaw::LimitOfRecords, "as many records"),
        (Flaw::Races, "at once"),
        (Flaw::TearsWhenDropped, dropped),
        (Flaw::LocksWhenDropped, dropped),
    ] {
        assert_caught(&format!("{flaw:?}"), &findings(flaw).await, by);
    }
    // It is the flaw that is caught.
    findings(Flaw::None).await.assert();
}

async fn findings(flaw: Flaw) -> Findings {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Broken {
        lines: Arc::clone(&lines),
        busy: Mutex::new(false),
        flaw,
    };
    testing::sink::check(sink, async || lines.lock().unwrap().clone()).await
}
