//! The contract of [`Source`], and of the [`Open`](crate::Open),
//! [`Chunks`](crate::Chunks) and [`Receipt`](crate::Receipt) of its files.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::poll::polled;
use super::{Clause, Findings, called, ensure, patiently};
use crate::error::{Error, ErrorKind};
use crate::object::ObjectId;
use crate::source::{Intake, LogFile, Opened, Source};

/// Whether a source keeps the contract of [`Source`].
///
/// `make` makes a source of the files of `expected` (address and bytes as stored),
/// once for each clause; what it hands over to be skipped is passed over. It must
/// be exhausted after these files, and hand each over once.
pub async fn check<S: Source>(
    make: impl AsyncFn() -> S,
    expected: &[(ObjectId, Bytes)],
) -> Findings {
    let mut findings = Findings::new("Source");
    let clause = "every file is handed over once, and nothing else";
    findings.note(clause, patiently(each_once(make().await, expected)).await);
    let clause = "exhausted is for good";
    findings.note(clause, patiently(for_good(make().await)).await);
    let clause = "a dropped call loses no file and doubles none";
    let cancelled = async {
        for seed in 0..8 {
            cancelled(make().await, expected, seed).await?;
        }
        Ok(())
    };
    findings.note(clause, patiently(cancelled).await);
    let clause = "an opened file has the bytes, and the length, of the object";
    findings.note(clause, patiently(opened(make().await, expected)).await);
    let clause = "every opening begins at the first byte, whatever became of the one before";
    findings.note(
        clause,
        patiently(opened_again(make().await, expected)).await,
    );
    findings
}

/// What a source has been told of its files, as far as its other side shows it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Files that need not come again.
    pub accepted: Vec<ObjectId>,
    /// Files that come again.
    pub released: Vec<ObjectId>,
}

/// Whether the receipts of a source keep the contract of [`Receipt`](crate::Receipt).
///
/// `make` makes a source of at least three files and whatever `told` needs to look
/// at its other side.
pub async fn check_receipts<S: Source, T>(
    make: impl AsyncFn() -> (S, T),
    told: impl AsyncFn(&T) -> Told,
) -> Findings {
    let mut findings = Findings::new("Receipt");
    let clause = "a dropped receipt is a release, never an accept";
    findings.note(clause, patiently(receipts(&make, &told, End::Drop)).await);
    let clause = "what is accepted need not come again, and nothing else";
    findings.note(clause, patiently(receipts(&make, &told, End::Accept)).await);
    let clause = "what is released comes again, and nothing is accepted by it";
    findings.note(
        clause,
        patiently(receipts(&make, &told, End::Release)).await,
    );
    findings
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Drop,
    Accept,
    Release,
}

async fn receipts<S: Source, T>(
    make: &impl AsyncFn() -> (S, T),
    told: &impl AsyncFn(&T) -> Told,
    end: End,
) -> Clause {
    let (source, other_side) = make().await;
    let mut files = all(source).await?;
    ensure(files.len() >= 3, || {
        format!(
            "the source has only {} files, and three are needed",
            files.len()
        )
    })?;
    // The last one, after the source is gone; the others are dropped behind it.
    let file = files.pop().ok_or("no file")?;
    match end {
        End::Drop => drop(file.receipt),
        End::Accept => called("accept", file.receipt.accept().await)?,
        End::Release => {
            let why = Error::new(ErrorKind::Unavailable, "testing", "the sink is away");
            let after = Some(Duration::from_secs(1));
            called("release", file.receipt.release(&why, after).await)?;
        }
    }
    drop(files);
    let told = told(&other_side).await;
    let accepted = if end == End::Accept {
        vec![file.object.id.clone()]
    } else {
        Vec::new()
    };
    ensure(told.accepted == accepted, || {
        format!("accepted are {:?}, not {accepted:?}", told.accepted)
    })?;
    let released = told.released.contains(&file.object.id);
    ensure(end != End::Release || released, || {
        format!(
            "{} is not among the released {:?}",
            file.object.id, told.released
        )
    })?;
    ensure(end != End::Accept || !released, || {
        format!("{} was accepted and released", file.object.id)
    })
}

async fn each_once(source: impl Source, expected: &[(ObjectId, Bytes)]) -> Clause {
    same(&all(source).await?, expected)
}

async fn for_good(mut source: impl Source) -> Clause {
    while called("next", source.next().await)?.is_some() {}
    for _ in 0..5 {
        let next = called("next", source.next().await)?;
        ensure(next.is_none(), || format!("after the end came {next:?}"))?;
    }
    Ok(())
}

async fn cancelled(mut source: impl Source, expected: &[(ObjectId, Bytes)], seed: u64) -> Clause {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut files = Vec::new();
    loop {
        // Dropped a few times, after few polls or a while, and then left to end.
        let mut next = None;
        for _ in 0..rng.usize(0..4) {
            next = if rng.bool() {
                polled(source.next(), rng.usize(0..4)).await
            } else {
                let while_ = Duration::from_micros(rng.u64(0..3000));
                tokio::time::timeout(while_, source.next()).await.ok()
            };
            if next.is_some() {
                break;
            }
        }
        let next = match next {
            Some(next) => next,
            None => source.next().await,
        };
        match called("next", next)? {
            Some(intake) => files.extend(file(intake)?),
            None => return same(&files, expected),
        }
    }
}

async fn opened(source: impl Source, expected: &[(ObjectId, Bytes)]) -> Clause {
    let by_id: BTreeMap<&ObjectId, &Bytes> = expected.iter().map(|(id, b)| (id, b)).collect();
    for file in all(source).await? {
        let id = &file.object.id;
        let Some(bytes) = by_id.get(id) else {
            return Err(format!("{id} was not expected"));
        };
        let opened = called("open", file.open.open().await)?;
        for (what, size) in [("listed", file.object.size), ("opened", opened.size)] {
            ensure(size.is_none_or(|size| size == bytes.len() as u64), || {
                format!("{id} has {} bytes, and {what} {size:?}", bytes.len())
            })?;
        }
        let tags = (&file.object.etag, &opened.etag);
        ensure(!matches!(tags, (Some(a), Some(b)) if a != b), || {
            format!("the ETag of {id} was listed and opened as {tags:?}")
        })?;
        let read = read(opened).await?;
        ensure(read == **bytes, || {
            format!(
                "{id} has {} bytes, and {} others came",
                bytes.len(),
                read.len()
            )
        })?;
    }
    Ok(())
}

async fn opened_again(source: impl Source, expected: &[(ObjectId, Bytes)]) -> Clause {
    let by_id: BTreeMap<&ObjectId, &Bytes> = expected.iter().map(|(id, b)| (id, b)).collect();
    for file in all(source).await? {
        let id = &file.object.id;
        // One given up after its first piece, one never read, and two side by side.
        let mut first = called("open", file.open.open().await)?;
        called("the first piece", first.chunks.next().await)?;
        drop(first);
        let _ = polled(file.open.open(), 1).await;
        let one = called("open, again", file.open.open().await)?;
        let two = called("open, twice at once", file.open.open().await)?;
        let etags = one.etag == two.etag;
        ensure(etags, || {
            format!("the ETag of {id} differs from opening to opening")
        })?;
        let (two, one) = (read(two).await?, read(one).await?);
        for read in [one, two] {
            ensure(by_id.get(id).is_some_and(|bytes| read == **bytes), || {
                format!("{id}, opened again, has other bytes ({})", read.len())
            })?;
        }
    }
    Ok(())
}

async fn all(mut source: impl Source) -> Result<Vec<LogFile>, String> {
    let mut files = Vec::new();
    while let Some(intake) = called("next", source.next().await)? {
        files.extend(file(intake)?);
    }
    Ok(files)
}

fn file(intake: Intake) -> Result<Option<LogFile>, String> {
    match intake {
        Intake::File(file) => Ok(Some(file)),
        Intake::Skip { .. } => Ok(None),
        foreign @ Intake::Foreign { .. } => Err(format!("not a file but {foreign:?} came")),
    }
}

async fn read(mut opened: Opened) -> Result<Bytes, String> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = called("a piece", opened.chunks.next().await)? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn same(files: &[LogFile], expected: &[(ObjectId, Bytes)]) -> Clause {
    let mut left: BTreeMap<&ObjectId, usize> = BTreeMap::new();
    for file in files {
        *left.entry(&file.object.id).or_default() += 1;
    }
    for (id, _) in expected {
        match left.remove(id) {
            Some(1) => {}
            None => return Err(format!("{id} was not handed over")),
            Some(times) => return Err(format!("{id} was handed over {times} times")),
        }
    }
    match left.keys().next() {
        None => Ok(()),
        Some(id) => Err(format!("{id} was handed over and not expected")),
    }
}
