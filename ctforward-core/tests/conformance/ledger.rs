use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::ledger::{Claim, Finished, Mark, MemoryLedger, Resume, Ticket};
use ctforward_core::testing::{self, Findings};
use ctforward_core::{ErrorKind, Ledger, Object, ObjectId, Result};

use crate::assert_caught;

const SHORT: Duration = Duration::from_secs(60);

async fn findings<L: Ledger + 'static>(make: impl AsyncFn() -> L) -> Findings {
    testing::ledger::check(make, SHORT, tokio::time::advance).await
}

#[tokio::test(start_paused = true)]
async fn the_ledger_in_memory_conforms() {
    findings(async || MemoryLedger::new()).await.assert();
    findings(async || Box::new(MemoryLedger::new()) as Box<dyn Ledger>)
        .await
        .assert();
    testing::ledger::check_reopened(async || MemoryLedger::new(), async |ledger| ledger)
        .await
        .assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_in_memory_conforms_where_calls_really_meet() {
    let short = Duration::from_millis(50);
    testing::ledger::check(async || MemoryLedger::new(), short, tokio::time::sleep)
        .await
        .assert();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    None,
    GrantsTwice,
    Races,
    NeverRunsOut,
    RunsOutAtOnce,
    RenewDoesNothing,
    ReleaseDoesNothing,
    SameFence,
    LostIsFine,
    LostIsAnotherKind,
    LostMarksAnyway,
    GivenBackIsFine,
    ForgetsTheMark,
    ForgetsTheBooks,
    CutsTheMark,
    ForgetsTheEtag,
    MarkForAnyFile,
    MarkEndsWithTheLease,
    ForgetsWhatIsFinished,
    DeliveredByOwner,
    RewrittenIsDelivered,
    RewrittenResumes,
    VersionIsKey,
    OneBucket,
    AnyCase,
    TrimsKeys,
    KeysRunTogether,
    CutsKeys,
    HoldsForNoTime,
}

/// A ledger in memory that breaks one clause.
struct Broken {
    inner: MemoryLedger,
    flaw: Flaw,
}

impl Broken {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    /// The object by which the row is found.
    fn row(&self, object: &Object) -> Object {
        let mut row = object.clone();
        let id = &object.id;
        let (bucket, key) = match self.flaw {
            Flaw::VersionIsKey => {
                let version = id.version.as_deref().unwrap_or_default();
                (id.bucket.clone(), format!("{}\n{version}", id.key))
            }
            Flaw::OneBucket => ("bucket".into(), id.key.clone()),
            Flaw::AnyCase => (id.bucket.clone(), id.key.to_lowercase()),
            Flaw::TrimsKeys => (id.bucket.clone(), id.key.trim().into()),
            Flaw::KeysRunTogether => (String::new(), format!("{}/{}", id.bucket, id.key)),
            Flaw::CutsKeys => (id.bucket.clone(), id.key.chars().take(255).collect()),
            _ => return row,
        };
        row.id = ObjectId::new(bucket, key);
        row
    }

    fn inside(&self, ticket: &Ticket) -> Ticket {
        Ticket::new(self.row(&ticket.object), ticket.owner.clone(), ticket.fence)
    }

    fn outcome(&self, came: Result<()>) -> Result<()> {
        match came {
            Err(_) if self.is(Flaw::LostIsFine) => Ok(()),
            Err(error) if self.is(Flaw::LostIsAnotherKind) => Err(ctforward_core::Error::new(
                ErrorKind::Other,
                "ledger",
                error.message().to_owned(),
            )),
            other => other,
        }
    }
}

#[async_trait]
impl Ledger for Broken {
    async fn claim(&self, object: &Object, owner: &str, lease: Duration) -> Result<Claim> {
        let mut row = self.row(object);
        if self.is(Flaw::RewrittenIsDelivered) {
            (row.etag, row.size) = (None, None);
        }
        let lease = match self.flaw {
            Flaw::NeverRunsOut => lease * 1000,
            Flaw::RunsOutAtOnce => Duration::ZERO,
            _ => lease,
        };
        let before = self.inner.finished(&row.id.bucket, &row.id.key);
        if self.is(Flaw::ForgetsWhatIsFinished) && before.is_some() {
            row.etag = Some("forgotten".to_owned());
        }
        let mut claim = self.inner.claim(&row, owner, lease).await?;
        match &mut claim {
            Claim::Granted { ticket, resume } => {
                ticket.object = object.clone();
                match self.flaw {
                    Flaw::ForgetsTheMark => *resume = Resume::start(),
                    Flaw::ForgetsTheBooks => {
                        resume.mark = Mark::new(resume.mark.low_water, Default::default());
                    }
                    Flaw::CutsTheMark => resume.mark.low_water &= u64::from(u32::MAX),
                    Flaw::ForgetsTheEtag => resume.etag = None,
                    Flaw::MarkForAnyFile if object.etag.is_some() => {
                        (resume.etag, resume.size) = (object.etag.clone(), object.size);
                    }
                    Flaw::RewrittenResumes if before.is_some() => {
                        let mark = Mark::new(5, Default::default());
                        *resume = Resume::at(mark, object.etag.clone(), object.size);
                    }
                    Flaw::SameFence => ticket.fence = 1,
                    _ => {}
                }
            }
            Claim::HeldBy { .. } if self.is(Flaw::GrantsTwice) => {
                let ticket = Ticket::new(object.clone(), owner, 1);
                let resume = Resume::start();
                return Ok(Claim::Granted { ticket, resume });
            }
            Claim::HeldBy { remaining } if self.is(Flaw::HoldsForNoTime) => {
                *remaining = Duration::ZERO;
            }
            // Read before another one's write, as it were.
            Claim::HeldBy { .. } if self.is(Flaw::Races) && owner.starts_with("o1") => {
                let ticket = Ticket::new(object.clone(), owner, 1);
                let resume = Resume::start();
                return Ok(Claim::Granted { ticket, resume });
            }
            Claim::Delivered if self.is(Flaw::DeliveredByOwner) && owner != "a" => {
                let remaining = lease;
                return Ok(Claim::HeldBy { remaining });
            }
            _ => {}
        }
        Ok(claim)
    }

    async fn renew(&self, ticket: &Ticket, lease: Duration) -> Result<()> {
        if self.is(Flaw::RenewDoesNothing) {
            return Ok(());
        }
        let came = self.inner.renew(&self.inside(ticket), lease).await;
        self.outcome(came)
    }

    async fn progress(&self, ticket: &Ticket, object: &Object, mark: &Mark) -> Result<()> {
        let row = self.row(object);
        let came = self.inner.progress(&self.inside(ticket), &row, mark).await;
        if came.is_err() && self.is(Flaw::LostMarksAnyway) {
            for fence in 0..9 {
                let forged = Ticket::new(row.clone(), "x", fence);
                let _ = self.inner.progress(&forged, &row, mark).await;
            }
        }
        if self.is(Flaw::GivenBackIsFine) {
            return Ok(());
        }
        self.outcome(came)
    }

    async fn finish(&self, ticket: &Ticket, object: &Object, finished: &Finished) -> Result<()> {
        let row = self.row(object);
        let ticket = self.inside(ticket);
        self.outcome(self.inner.finish(&ticket, &row, finished).await)
    }

    async fn release(&self, ticket: &Ticket) -> Result<()> {
        let ticket = self.inside(ticket);
        if self.is(Flaw::ReleaseDoesNothing) {
            return Ok(());
        }
        if self.is(Flaw::MarkEndsWithTheLease) {
            let none = Mark::default();
            self.inner.progress(&ticket, &ticket.object, &none).await?;
        }
        self.outcome(self.inner.release(&ticket).await)
    }
}

#[tokio::test(start_paused = true)]
async fn each_broken_ledger_is_caught_by_the_clause_it_breaks() {
    for (flaw, by) in [
        (Flaw::GrantsTwice, "held by one owner"),
        (Flaw::Races, "exactly one is granted"),
        (Flaw::RunsOutAtOnce, "held by one owner"),
        (Flaw::HoldsForNoTime, "held by one owner"),
        (Flaw::NeverRunsOut, "ran out"),
        (Flaw::RenewDoesNothing, "renewed lease"),
        (Flaw::ReleaseDoesNothing, "released file"),
        (Flaw::SameFence, "released file"),
        (Flaw::LostIsFine, "lost ticket"),
        (Flaw::LostIsAnotherKind, "lost ticket"),
        (Flaw::LostMarksAnyway, "lost ticket"),
        (Flaw::GivenBackIsFine, "given back"),
        (Flaw::ForgetsTheMark, "comes back"),
        (Flaw::ForgetsTheBooks, "comes back"),
        (Flaw::CutsTheMark, "comes back"),
        (Flaw::ForgetsTheEtag, "comes back"),
        (Flaw::MarkEndsWithTheLease, "outlives"),
        (Flaw::MarkForAnyFile, "void"),
        (Flaw::ForgetsWhatIsFinished, "finished file"),
        (Flaw::DeliveredByOwner, "finished file"),
        (Flaw::RewrittenIsDelivered, "rewritten"),
        (Flaw::RewrittenResumes, "rewritten"),
        (Flaw::VersionIsKey, "version"),
        (Flaw::OneBucket, "bucket and key"),
        (Flaw::AnyCase, "bucket and key"),
        (Flaw::TrimsKeys, "bucket and key"),
        (Flaw::KeysRunTogether, "bucket and key"),
        (Flaw::CutsKeys, "bucket and key"),
    ] {
        assert_caught(&format!("{flaw:?}"), &findings_of(flaw).await, by);
    }
    // It is the flaw that is caught.
    findings_of(Flaw::None).await.assert();
}

async fn findings_of(flaw: Flaw) -> Findings {
    let make = async || Broken {
        inner: MemoryLedger::new(),
        flaw,
    };
    findings(make).await
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_forgets_when_it_is_closed_is_caught() {
    let make = async || MemoryLedger::new();
    let forgets = async |_: MemoryLedger| MemoryLedger::new();
    let findings = testing::ledger::check_reopened(make, forgets).await;
    assert_caught("forgetting", &findings, "opening anew");
    let shown = findings.to_string();
    assert!(shown.starts_with("1 of 1 clauses of Ledger, opened anew are broken\n- "));
}
