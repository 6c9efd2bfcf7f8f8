//! The contract of [`Ledger`].

mod leases;
mod marks;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use super::{Clause, Findings, called, ensure};
use crate::error::{ErrorKind, Result};
use crate::ledger::{Claim, Finished, Ledger, Mark, Resume, Ticket};
use crate::object::{Object, ObjectId};
use crate::pipeline::{FileBooks, RecordBooks};

/// A lease that does not run out while a suite runs.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Whether a ledger keeps the contract of [`Ledger`].
///
/// `make` makes an empty ledger, once for each clause. Leases of `short` are
/// awaited to run out: `advance` lets so much time pass for the ledger, by sleeping
/// or by moving a paused clock. A sleeping one wants a `short` of some 100 ms; no
/// clause relies on a short lease still being held.
pub async fn check<L: Ledger + 'static>(
    make: impl AsyncFn() -> L,
    short: Duration,
    advance: impl AsyncFn(Duration),
) -> Findings {
    let mut findings = Findings::new("Ledger");
    let new = async || On(Arc::new(make().await));
    let run_out = async || advance(short * 2).await;

    let clause = "a file nobody claimed is granted, from its first byte";
    findings.note(clause, leases::first(new().await).await);
    let clause = "a file is held by one owner at a time";
    findings.note(clause, leases::one_owner(new().await).await);
    let clause = "of many claims at once exactly one is granted";
    findings.note(clause, leases::at_once(new().await).await);
    let clause = "a released file can be claimed at once";
    findings.note(clause, leases::released(new().await).await);
    let clause = "a lease that ran out can be granted to another";
    findings.note(clause, leases::runs_out(new().await, short, &run_out).await);
    let clause = "a renewed lease lasts from then on";
    findings.note(clause, leases::renewed(new().await, short, &run_out).await);
    let clause = "a lost ticket fails every call with Changed, and changes nothing";
    findings.note(clause, leases::lost(new().await, short, &run_out).await);
    let clause = "a ticket that was given back is lost";
    findings.note(clause, leases::given_back(new().await).await);

    let clause = "a mark comes back with its books, ETag and size";
    findings.note(clause, marks::comes_back(new().await).await);
    let clause = "a mark outlives its lease";
    findings.note(clause, marks::outlives(new().await, short, &run_out).await);
    let clause = "a mark is void for another ETag or size";
    findings.note(clause, marks::void(new().await).await);

    let clause = "a finished file is delivered, whoever asks";
    findings.note(clause, rows::delivered(new().await).await);
    let clause = "a file rewritten after it was finished is granted again, from its first byte";
    findings.note(clause, rows::rewritten(new().await).await);
    let clause = "bucket and key name a row, whatever their characters";
    findings.note(clause, rows::apart(new().await).await);
    let clause = "the version is no part of a row's key";
    findings.note(clause, rows::versions(new().await).await);
    findings
}

/// Whether what a ledger said is still so after it was opened anew: for ledgers
/// that outlive the process.
///
/// `make` makes an empty ledger; `reopen` closes one and opens it again.
pub async fn check_reopened<L: Ledger + 'static>(
    make: impl AsyncFn() -> L,
    reopen: impl AsyncFn(L) -> L,
) -> Findings {
    let mut findings = Findings::new("Ledger, opened anew");
    let clause =
        "what was finished and marked is so after opening anew, and who holds a file is known";
    findings.note(clause, reopened(make().await, reopen).await);
    findings
}

async fn reopened<L: Ledger + 'static>(ledger: L, reopen: impl AsyncFn(L) -> L) -> Clause {
    let (done, marked, held) = (object("done"), object("marked"), object("held"));
    let before = On(Arc::new(ledger));
    let (ticket, _) = before.granted(&done, "a", LONG).await?;
    called("finish", before.0.finish(&ticket, &done, &finished()).await)?;
    let (ticket, _) = before.granted(&marked, "a", LONG).await?;
    called(
        "progress",
        before.0.progress(&ticket, &marked, &mark(7)).await,
    )?;
    called("release", before.0.release(&ticket).await)?;
    let (ticket, _) = before.granted(&held, "a", LONG).await?;
    let ledger = Arc::into_inner(before.0).ok_or("the ledger is still in use")?;

    let after = On(Arc::new(reopen(ledger).await));
    after.delivered(&done, "b").await?;
    let (_, resume) = after.granted(&marked, "b", LONG).await?;
    resumes(&resume, &marked, &mark(7))?;
    // A ledger that knows that the owner has ended need not wait for the lease; but
    // then the owner's ticket is void.
    match called("claim", after.0.claim(&held, "b", LONG).await)? {
        Claim::HeldBy { .. } => called(
            "finish with the ticket of before",
            after.0.finish(&ticket, &held, &finished()).await,
        )?,
        Claim::Granted { ticket: ours, .. } => {
            let stale = after.0.finish(&ticket, &held, &finished()).await;
            ensure(stale.is_err(), || {
                "a ticket of before finished a file that was granted since".to_owned()
            })?;
            called("finish", after.0.finish(&ours, &held, &finished()).await)?;
        }
        other @ Claim::Delivered => {
            return Err(format!("{} is not finished, and b got {other:?}", held.id));
        }
    }
    after.delivered(&held, "b").await
}

/// The ledger that a clause looks at.
struct On<L>(Arc<L>);

impl<L: Ledger + 'static> On<L> {
    async fn granted(
        &self,
        object: &Object,
        owner: &str,
        lease: Duration,
    ) -> Result<(Ticket, Resume), String> {
        match called("claim", self.0.claim(object, owner, lease).await)? {
            Claim::Granted { ticket, resume } => {
                ensure(ticket.object == *object && ticket.owner == owner, || {
                    format!("{ticket:?} is no ticket of {owner} for {}", object.id)
                })?;
                Ok((ticket, resume))
            }
            other => Err(format!(
                "{} was not granted to {owner}: {other:?}",
                object.id
            )),
        }
    }

    /// That somebody holds the file.
    async fn held(&self, object: &Object, asking: &str) -> Clause {
        match called("claim", self.0.claim(object, asking, LONG).await)? {
            Claim::HeldBy { remaining } => {
                ensure(remaining <= LONG && !remaining.is_zero(), || {
                    format!("a lease of {LONG:?} was said to run {remaining:?} more")
                })
            }
            other => Err(format!("{} is held, and {asking} got {other:?}", object.id)),
        }
    }

    async fn delivered(&self, object: &Object, asking: &str) -> Clause {
        match called("claim", self.0.claim(object, asking, LONG).await)? {
            Claim::Delivered => Ok(()),
            other => Err(format!(
                "{} is finished, and {asking} got {other:?}",
                object.id
            )),
        }
    }
}

/// That a call failed because the lease is lost.
fn lost(what: &str, came: Result<()>) -> Clause {
    match came {
        Ok(()) => Err(format!("{what} with a lost ticket was taken")),
        Err(error) => ensure(error.kind() == ErrorKind::Changed, || {
            format!("{what} with a lost ticket failed as {:?}", error.kind())
        }),
    }
}

/// That a grant begins where `mark` says, for the file as it was.
fn resumes(resume: &Resume, object: &Object, mark: &Mark) -> Clause {
    let got = resume.mark_for(object.etag.as_deref(), object.size);
    ensure(got == *mark, || {
        format!("the mark {mark:?} of the opened {object:?} came back as {resume:?}")
    })
}

fn object(key: &str) -> Object {
    let key = format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01/02/{key}.json.gz");
    Object::new(ObjectId::new("trail", key))
        .with_etag("9a0364b9e99bb480dd25e1f0284c8555")
        .with_size(4711)
}

/// A mark in which no two numbers are the same.
fn mark(low_water: u64) -> Mark {
    let books = RecordBooks {
        read: 60,
        accepted: 21,
        filtered: 17,
        duplicate: 13,
        quarantined: 9,
        ..RecordBooks::default()
    };
    Mark::new(low_water, books)
}

fn finished() -> Finished {
    let books = FileBooks {
        records: mark(0).records,
        ..FileBooks::default()
    };
    Finished::delivered(books).with_sha256(Some([7; 32]))
}
