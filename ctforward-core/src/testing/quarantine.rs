//! The contract of [`Quarantine`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Clause, Findings, called, ensure, patiently};
use crate::object::{Object, ObjectId};
use crate::quarantine::{Kept, Quarantine, QuarantineEntry, Reason};

/// Whether a quarantine keeps the contract of [`Quarantine`].
///
/// `make` makes an empty quarantine, once for each clause; `read` answers every
/// entry it holds, in any order.
pub async fn check<Q: Quarantine + 'static>(
    make: impl AsyncFn() -> Q,
    read: impl AsyncFn(&Q) -> Vec<QuarantineEntry>,
) -> Findings {
    let mut findings = Findings::new("Quarantine");
    let clause = "what was put is there as it was, byte for byte";
    let quarantine = make().await;
    findings.note(clause, patiently(kept(&quarantine, &read)).await);
    let clause = "the same entry twice is one entry";
    let quarantine = make().await;
    findings.note(clause, patiently(idempotent(&quarantine, &read)).await);
    let clause =
        "entries that differ in bucket, key, version, ETag, offset or reason are kept apart";
    let quarantine = make().await;
    findings.note(clause, patiently(distinct(&quarantine, &read)).await);
    let clause = "entries put at once are all there, each once";
    let quarantine = Arc::new(make().await);
    findings.note(clause, patiently(at_once(quarantine, &read)).await);
    findings
}

/// Whether a quarantine still holds everything after it was opened anew: for
/// those that outlive the process. `reopen` closes one and opens it again.
pub async fn check_reopened<Q: Quarantine + 'static>(
    make: impl AsyncFn() -> Q,
    reopen: impl AsyncFn(Q) -> Q,
    read: impl AsyncFn(&Q) -> Vec<QuarantineEntry>,
) -> Findings {
    let mut findings = Findings::new("Quarantine, opened anew");
    let clause = "what was put is there after opening anew, and is still one entry when put again";
    let reopened = async {
        let quarantine = make().await;
        put_all(&quarantine, &samples()).await?;
        let quarantine = reopen(quarantine).await;
        same(&samples(), read(&quarantine).await)?;
        put_all(&quarantine, &samples()).await?;
        let quarantine = reopen(quarantine).await;
        same(&samples(), read(&quarantine).await)
    };
    findings.note(clause, patiently(reopened).await);
    findings
}

async fn kept<Q: Quarantine>(
    quarantine: &Q,
    read: &impl AsyncFn(&Q) -> Vec<QuarantineEntry>,
) -> Clause {
    let samples = samples();
    for (count, sample) in (1..).zip(&samples) {
        put_all(quarantine, std::slice::from_ref(sample)).await?;
        // At once, not when some buffer is full.
        same(&samples[..count], read(quarantine).await)?;
    }
    Ok(())
}

async fn idempotent<Q: Quarantine>(
    quarantine: &Q,
    read: &impl AsyncFn(&Q) -> Vec<QuarantineEntry>,
) -> Clause {
    let samples = samples();
    for _ in 0..3 {
        put_all(quarantine, &samples).await?;
    }
    same(&samples, read(quarantine).await)?;
    // As after a restart: found wrong again, later, in other words.
    let again: Vec<QuarantineEntry> = samples
        .iter()
        .map(|sample| {
            let mut again = sample.clone().after_attempts(9);
            again.detail.push_str(", again");
            again.at += Duration::from_secs(60);
            again
        })
        .collect();
    put_all(quarantine, &again).await?;
    let (held, expected) = (read(quarantine).await.len(), samples.len());
    ensure(held == expected, || {
        format!("{expected} entries that were put again later are {held}")
    })
}

async fn distinct<Q: Quarantine>(
    quarantine: &Q,
    read: &impl AsyncFn(&Q) -> Vec<QuarantineEntry>,
) -> Clause {
    let id = ObjectId::new("b", "k");
    let objects = [
        Object::new(id.clone()),
        Object::new(id.clone()).with_etag("e1"),
        Object::new(id.clone()).with_etag("e2"),
        Object::new(id.clone().with_version("v1")).with_etag("e1"),
        Object::new(id.with_version("v2")).with_etag("e1"),
        Object::new(ObjectId::new("b", "K")),
        Object::new(ObjectId::new("b", "k/../k")),
        Object::new(ObjectId::new("b", "k\u{0}")),
        Object::new(ObjectId::new("bk", "")),
        Object::new(ObjectId::new("c", "k")),
    ];
    let mut entries = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        for reason in [Reason::Refused, Reason::BadText] {
            for offset in [None, Some(0), Some(1), Some(1 << 40)] {
                let text = format!("{number} {reason} {offset:?}");
                let kept = Kept::Bytes(text.into());
                let mut entry = QuarantineEntry::new(object.clone(), reason, "no", kept);
                entry.offset = offset;
                entries.push(entry);
            }
        }
    }
    put_all(quarantine, &entries).await?;
    same(&entries, read(quarantine).await)
}

async fn at_once<Q: Quarantine + 'static>(
    quarantine: Arc<Q>,
    read: &impl AsyncFn(&Q) -> Vec<QuarantineEntry>,
) -> Clause {
    let object = Object::new(ObjectId::new("b", "at-once")).with_etag("e");
    let entries: Vec<QuarantineEntry> = (0..24)
        .map(|number| {
            let kept = Kept::Bytes(format!("{{\"eventID\":\"{number}\"}}").into());
            QuarantineEntry::new(object.clone(), Reason::Refused, "no", kept).at_offset(number * 40)
        })
        .collect();
    let mut puts = JoinSet::new();
    // Each three times, so that the same entry meets itself.
    for entry in entries.iter().flat_map(|entry| [entry; 3]) {
        let (quarantine, entry) = (Arc::clone(&quarantine), entry.clone());
        puts.spawn(async move { quarantine.put(&entry).await });
    }
    while let Some(put) = puts.join_next().await {
        let put = put.map_err(|error| format!("a put ended with {error}"))?;
        called("one of many puts at once", put)?;
    }
    same(&entries, read(&quarantine).await)
}

async fn put_all<Q: Quarantine>(quarantine: &Q, entries: &[QuarantineEntry]) -> Clause {
    for entry in entries {
        called("put", quarantine.put(entry).await)?;
    }
    Ok(())
}

/// That these entries are held and no others.
fn same(expected: &[QuarantineEntry], held: Vec<QuarantineEntry>) -> Clause {
    let count = held.len();
    let mut by_id: BTreeMap<[u8; 32], QuarantineEntry> =
        held.into_iter().map(|entry| (entry.id(), entry)).collect();
    ensure(by_id.len() == count, || {
        format!("{} of {count} entries are there twice", count - by_id.len())
    })?;
    for entry in expected {
        let shown = || {
            format!(
                "{} at {:?} as {}",
                entry.object.id, entry.offset, entry.reason
            )
        };
        let Some(mut got) = by_id.remove(&entry.id()) else {
            return Err(format!("{} is not there", shown()));
        };
        // The time may be kept to the millisecond.
        let near = got.at.duration_since(entry.at).abs().as_millis() <= 1;
        ensure(near, || {
            format!("{} was put at {}, not {}", shown(), entry.at, got.at)
        })?;
        got.at = entry.at;
        ensure(got.kept == entry.kept, || {
            format!(
                "of {}, {} came back as {}",
                shown(),
                brief(&entry.kept),
                brief(&got.kept)
            )
        })?;
        ensure(got == *entry, || format!("{entry:?} came back as {got:?}"))?;
    }
    match by_id.into_values().next() {
        None => Ok(()),
        Some(entry) => Err(format!("{} is there and was never put", entry.object.id)),
    }
}

fn brief(kept: &Kept) -> String {
    match kept {
        Kept::Bytes(bytes) => {
            let start = bytes.get(..40).unwrap_or(bytes).escape_ascii();
            format!("{} bytes \"{start}…\"", bytes.len())
        }
        Kept::Reference { .. } => format!("{kept:?}"),
    }
}

/// Entries of every reason and shape.
fn samples() -> Vec<QuarantineEntry> {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let large = bytes.repeat(2048);
    let kinds = [
        Kept::Bytes(Bytes::new()),
        Kept::Bytes(Bytes::from_static(
            b" {\"n\":1624.0,\"u\":\"\\u00fc\"}\x1b[2J\r\n",
        )),
        Kept::Bytes(Bytes::from(bytes)),
        Kept::Bytes(Bytes::from(large)),
        Kept::Reference {
            length: 0,
            sha256: None,
        },
        Kept::Reference {
            length: 1 << 33,
            sha256: Some([0xfe; 32]),
        },
    ];
    let ids = [
        ObjectId::new(
            "trail",
            "AWSLogs/1/CloudTrail/eu-west-1/2026/01/02/a.json.gz",
        ),
        ObjectId::new("b/../..", "../../etc/passwd\u{0}\n\u{202e}\u{1f980}'\"\\")
            .with_version("v/1"),
    ];
    let mut all = Vec::new();
    for (number, reason) in (0_u32..).zip(Reason::ALL) {
        for (shape, kept) in (0_u32..).zip(&kinds) {
            let mut object = Object::new(ids[(number + shape) as usize % 2].clone());
            if shape.is_multiple_of(2) {
                object = object
                    .with_etag("9a0364b9")
                    .with_size(u64::from(number) << 32);
            }
            let mut entry = QuarantineEntry::new(object, reason, "says \"no\", ü", kept.clone())
                .after_attempts(number);
            entry.offset = [None, Some(0), Some(1 << 34)][number as usize % 3];
            if number > 0 && shape == 3 {
                // One large one is enough.
                continue;
            }
            // The shape names the entry too: two of one reason must not be one.
            entry.object.id.key.push_str(&shape.to_string());
            all.push(entry);
        }
    }
    // One instant, without what a file format may not keep.
    let at = jiff::Timestamp::UNIX_EPOCH + Duration::from_millis(1_767_312_345_678);
    for entry in &mut all {
        entry.at = at;
    }
    all
}
