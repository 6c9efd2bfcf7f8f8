use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ctforward_core::source::{
    Chain, DirectorySource, MemorySource, Merge, Receipts, Repeat, SourceWatch,
};
use ctforward_core::testing::{self, Findings};
use ctforward_core::{
    Chunks, Error, Intake, LogFile, Object, ObjectId, Open, Opened, Receipt, Result, Source,
};

use crate::assert_caught;

/// Files of no byte, of few, and of several chunks.
fn files() -> Vec<(ObjectId, Bytes)> {
    [0, 1, 60, 65_536, 65_537, 200_000]
        .iter()
        .zip(0_u8..)
        .map(|(size, number)| {
            let bytes: Vec<u8> = (0..*size)
                .map(|at: usize| (at as u8).wrapping_mul(number + 3))
                .collect();
            let key = format!("AWSLogs/1/CloudTrail/r/2026/01/0{number}/x.json.gz");
            (ObjectId::new("trail", key), bytes.into())
        })
        .collect()
}

fn told(receipts: &Receipts) -> testing::source::Told {
    testing::source::Told {
        accepted: receipts.accepted(),
        released: receipts.released().into_iter().map(|(id, _)| id).collect(),
    }
}

#[tokio::test]
async fn the_source_in_memory_conforms() {
    for chunk in [1000, usize::MAX] {
        let make = async || MemorySource::new(files()).with_chunk(chunk);
        testing::source::check(make, &files()).await.assert();
    }
    testing::source::check(async || MemorySource::new([]), &[])
        .await
        .assert();
    let make = async || {
        let source = MemorySource::new(files());
        let receipts = source.receipts();
        (source, receipts)
    };
    testing::source::check_receipts(make, async |receipts: &Receipts| told(receipts))
        .await
        .assert();
}

#[tokio::test]
async fn a_chain_conforms() {
    let make = async || {
        let mut parts = files();
        let last = parts.split_off(4);
        let sources = [Vec::new(), parts, Vec::new(), last];
        Chain::new(sources.map(|files| Box::new(MemorySource::new(files)) as Box<dyn Source>))
    };
    testing::source::check(make, &files()).await.assert();
}

/// Two sources of the files, and one that has none, side by side.
fn merged() -> (Merge, Vec<Receipts>) {
    let mut parts = files();
    let last = parts.split_off(4);
    let mut receipts = Vec::new();
    let sources = [parts, Vec::new(), last].map(|files| {
        let source = MemorySource::new(files);
        receipts.push(source.receipts());
        (SourceWatch::new("m"), Box::new(source) as Box<dyn Source>)
    });
    (Merge::new(sources), receipts)
}

#[tokio::test]
async fn a_merge_conforms_and_so_do_its_receipts() {
    testing::source::check(async || merged().0, &files())
        .await
        .assert();
    let all = async |receipts: &Vec<Receipts>| {
        let mut all = testing::source::Told::default();
        for told in receipts.iter().map(told) {
            all.accepted.extend(told.accepted);
            all.released.extend(told.released);
        }
        all
    };
    testing::source::check_receipts(async || merged(), all)
        .await
        .assert();
}

/// Of what is repeated the first round, which is a source with an end.
struct FirstRound {
    source: Repeat,
    watch: SourceWatch,
}

#[async_trait]
impl Source for FirstRound {
    async fn next(&mut self) -> Result<Option<Intake>> {
        if self.watch.status().looked.is_some() {
            return Ok(None);
        }
        // Behind its end the round waits for the next one, and is asked no longer.
        loop {
            let asked = tokio::time::timeout(Duration::from_millis(20), self.source.next());
            if let Ok(next) = asked.await {
                return next;
            }
            if self.watch.status().looked.is_some() {
                return Ok(None);
            }
        }
    }
}

#[tokio::test]
async fn the_receipts_of_what_is_repeated_conform() {
    let make = async || {
        let source = MemorySource::new(files());
        let (receipts, watch) = (source.receipts(), SourceWatch::new("r"));
        let mut source = Some(source);
        let hour = Duration::from_secs(3600);
        let repeat = Repeat::new(hour, move || {
            let source = source
                .take()
                .map(|source| Box::new(source) as Box<dyn Source>);
            async move { source.ok_or_else(|| Error::new(ctforward_core::ErrorKind::Other, "t", "")) }
        });
        let source = repeat.watch(watch.clone());
        (FirstRound { source, watch }, receipts)
    };
    testing::source::check_receipts(make, async |receipts: &Receipts| told(receipts))
        .await
        .assert();
    testing::source::check(async || make().await.0, &files())
        .await
        .assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let bucket = format!("file://{}", root.display());
    let mut expected = Vec::new();
    for (id, bytes) in files() {
        let path = root.join(&id.key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes).unwrap();
        expected.push((ObjectId::new(bucket.clone(), id.key), bytes));
    }
    let make = async || DirectorySource::new(&root).unwrap();
    testing::source::check(make, &expected).await.assert();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    LosesWhenDropped,
    DoublesWhenDropped,
    LosesTheLast,
    BeginsAgain,
    OpensOnce,
    GoesOnWhereItWas,
    CutsTheEnd,
    OtherEtag,
    OtherSize,
    DropAccepts,
    ReleaseAccepts,
    ReleaseIsSilent,
    AcceptIsSilent,
    AcceptReleases,
}

/// A source in memory that breaks one clause.
struct Broken {
    left: VecDeque<(ObjectId, Bytes)>,
    told: Arc<Mutex<testing::source::Told>>,
    flaw: Flaw,
}

impl Broken {
    fn new(flaw: Flaw) -> Self {
        let mut left: VecDeque<_> = files().into();
        if flaw == Flaw::LosesTheLast {
            left.pop_back();
        }
        Self {
            left,
            told: Arc::default(),
            flaw,
        }
    }
}

#[async_trait]
impl Source for Broken {
    async fn next(&mut self) -> Result<Option<Intake>> {
        let next = match self.flaw {
            Flaw::LosesWhenDropped => {
                let next = self.left.pop_front();
                tokio::task::yield_now().await;
                next
            }
            Flaw::DoublesWhenDropped => {
                if let Some(next) = self.left.front().cloned() {
                    self.left.push_front(next);
                    tokio::task::yield_now().await;
                    self.left.pop_front();
                }
                self.left.pop_front()
            }
            _ => {
                tokio::task::yield_now().await;
                self.left.pop_front()
            }
        };
        let Some((id, bytes)) = next else {
            if self.flaw == Flaw::BeginsAgain {
                self.left = files().into();
            }
            return Ok(None);
        };
        let object = Object::new(id.clone()).with_etag("e");
        let file = File {
            rest: Arc::new(Mutex::new(bytes.clone())),
            bytes,
            flaw: self.flaw,
        };
        let receipt: Box<dyn Receipt> = Box::new(Told {
            id,
            told: Arc::clone(&self.told),
            flaw: self.flaw,
            settled: false,
        });
        let file = LogFile::new(object, Arc::new(file), receipt);
        Ok(Some(Intake::File(file)))
    }
}

struct File {
    bytes: Bytes,
    rest: Arc<Mutex<Bytes>>,
    flaw: Flaw,
}

#[async_trait]
impl Open for File {
    async fn open(&self) -> Result<Opened> {
        let rest = match self.flaw {
            Flaw::OpensOnce => std::mem::take(&mut *self.rest.lock().unwrap()),
            Flaw::CutsTheEnd => self.bytes.slice(..self.bytes.len().min(200_000 - 1)),
            _ => self.bytes.clone(),
        };
        let rest = match self.flaw {
            Flaw::GoesOnWhereItWas => Arc::clone(&self.rest),
            _ => Arc::new(Mutex::new(rest)),
        };
        let etag = match self.flaw {
            Flaw::OtherEtag => "another",
            _ => "e",
        };
        let size = self.bytes.len() as u64 + u64::from(self.flaw == Flaw::OtherSize);
        Ok(Opened::new(Box::new(Pieces(rest)))
            .with_etag(Some(etag.to_owned()))
            .with_size(Some(size)))
    }
}

struct Pieces(Arc<Mutex<Bytes>>);

#[async_trait]
impl Chunks for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut rest = self.0.lock().unwrap();
        let length = rest.len().min(30_000);
        Ok(Some(rest.split_to(length)).filter(|piece| !piece.is_empty()))
    }
}

struct Told {
    id: ObjectId,
    told: Arc<Mutex<testing::source::Told>>,
    flaw: Flaw,
    settled: bool,
}

#[async_trait]
impl Receipt for Told {
    async fn accept(mut self: Box<Self>) -> Result<()> {
        self.settled = true;
        let mut told = self.told.lock().unwrap();
        match self.flaw {
            Flaw::AcceptIsSilent => {}
            Flaw::AcceptReleases => told.released.push(self.id.clone()),
            _ => told.accepted.push(self.id.clone()),
        }
        drop(told);
        Ok(())
    }

    async fn release(mut self: Box<Self>, _why: &Error, _after: Option<Duration>) -> Result<()> {
        self.settled = true;
        let mut told = self.told.lock().unwrap();
        match self.flaw {
            Flaw::ReleaseIsSilent => {}
            Flaw::ReleaseAccepts => told.accepted.push(self.id.clone()),
            _ => told.released.push(self.id.clone()),
        }
        drop(told);
        Ok(())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.settled && self.flaw == Flaw::DropAccepts {
            self.told.lock().unwrap().accepted.push(self.id.clone());
        }
    }
}

#[tokio::test]
async fn each_broken_source_is_caught_by_the_clause_it_breaks() {
    let (bytes, again) = ("has the bytes", "begins at the first byte");
    for (flaw, by) in [
        (Flaw::LosesTheLast, "handed over once"),
        (Flaw::BeginsAgain, "for good"),
        (Flaw::LosesWhenDropped, "dropped call"),
        (Flaw::DoublesWhenDropped, "dropped call"),
        (Flaw::CutsTheEnd, bytes),
        (Flaw::OtherEtag, bytes),
        (Flaw::OtherSize, bytes),
        (Flaw::OpensOnce, again),
        (Flaw::GoesOnWhereItWas, again),
    ] {
        let findings = testing::source::check(async || Broken::new(flaw), &files()).await;
        assert_caught(&format!("{flaw:?}"), &findings, by);
    }
    // It is the flaw that is caught.
    testing::source::check(async || Broken::new(Flaw::None), &files())
        .await
        .assert();
    for (flaw, by) in [
        (Flaw::DropAccepts, "dropped receipt"),
        (Flaw::ReleaseAccepts, "released comes again"),
        (Flaw::ReleaseIsSilent, "released comes again"),
        (Flaw::AcceptIsSilent, "accepted need not"),
        (Flaw::AcceptReleases, "accepted need not"),
    ] {
        assert_caught(&format!("{flaw:?}"), &of_receipts(flaw).await, by);
    }
    of_receipts(Flaw::None).await.assert();
}

async fn of_receipts(flaw: Flaw) -> Findings {
    let make = async || {
        let source = Broken::new(flaw);
        let told = Arc::clone(&source.told);
        (source, told)
    };
    let told = async |told: &Arc<Mutex<testing::source::Told>>| told.lock().unwrap().clone();
    testing::source::check_receipts(make, told).await
}
