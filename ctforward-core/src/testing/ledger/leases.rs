//! Who holds a file, and how long.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{LONG, On, finished, lost as is_lost, mark, object, resumes};
use crate::ledger::{Claim, Ledger, Mark};
use crate::testing::{Clause, called, ensure};

pub(super) async fn first<L: Ledger + 'static>(on: On<L>) -> Clause {
    let (_, resume) = on.granted(&object("1"), "a", LONG).await?;
    resumes(&resume, &object("1"), &Mark::default())?;
    ensure(resume.mark == Mark::default(), || {
        format!("nothing is decided, and the grant says {resume:?}")
    })
}

pub(super) async fn one_owner<L: Ledger + 'static>(on: On<L>) -> Clause {
    let (ticket, _) = on.granted(&object("1"), "a", LONG).await?;
    on.held(&object("1"), "b").await?;
    on.held(&object("1"), "c").await?;
    // Having been asked for changes nothing, and neither does progress.
    called(
        "progress",
        on.0.progress(&ticket, &object("1"), &mark(3)).await,
    )?;
    on.held(&object("1"), "b").await?;
    called("renew", on.0.renew(&ticket, LONG).await)?;
    on.held(&object("1"), "b").await?;
    on.granted(&object("2"), "b", LONG).await.map(drop)
}

pub(super) async fn at_once<L: Ledger + 'static>(on: On<L>) -> Clause {
    for round in 0..8 {
        let object = object(&format!("round-{round}"));
        let mut claims = JoinSet::new();
        for owner in 0..32 {
            let (ledger, object) = (Arc::clone(&on.0), object.clone());
            claims.spawn(async move { ledger.claim(&object, &format!("o{owner}"), LONG).await });
        }
        let mut granted = 0;
        while let Some(claim) = claims.join_next().await {
            let claim = claim.map_err(|error| format!("a claim ended with {error}"))?;
            match called("one of 32 claims at once", claim)? {
                Claim::Granted { .. } => granted += 1,
                Claim::HeldBy { .. } => {}
                other => return Err(format!("nothing was finished, and a claim got {other:?}")),
            }
        }
        ensure(granted == 1, || {
            format!("{granted} of 32 claims of one file were granted")
        })?;
    }
    Ok(())
}

pub(super) async fn released<L: Ledger + 'static>(on: On<L>) -> Clause {
    let (first, _) = on.granted(&object("1"), "a", LONG).await?;
    called("release", on.0.release(&first).await)?;
    let (second, _) = on.granted(&object("1"), "b", LONG).await?;
    ensure(second.fence > first.fence, || {
        format!(
            "the fence of the second grant is {}, of the first {}",
            second.fence, first.fence
        )
    })?;
    on.held(&object("1"), "a").await
}

pub(super) async fn runs_out<L: Ledger + 'static>(
    on: On<L>,
    short: Duration,
    run_out: &impl AsyncFn(),
) -> Clause {
    let (first, _) = on.granted(&object("1"), "a", short).await?;
    run_out().await;
    let (second, _) = on.granted(&object("1"), "b", LONG).await?;
    ensure(second.fence > first.fence, || {
        "the second grant has no higher fence".into()
    })?;
    on.held(&object("1"), "a").await
}

pub(super) async fn renewed<L: Ledger + 'static>(
    on: On<L>,
    short: Duration,
    run_out: &impl AsyncFn(),
) -> Clause {
    // Held long, so that a slow machine cannot lose it first, and then for short.
    let (ticket, _) = on.granted(&object("1"), "a", LONG).await?;
    called("renew", on.0.renew(&ticket, LONG).await)?;
    run_out().await;
    on.held(&object("1"), "b").await?;
    let (ticket, _) = on.granted(&object("2"), "a", short).await?;
    match on.0.renew(&ticket, LONG).await {
        Ok(()) => {}
        // The machine was so slow that the lease had run out.
        Err(error) => return is_lost("renew", Err(error)),
    }
    run_out().await;
    on.held(&object("2"), "b").await
}

pub(super) async fn lost<L: Ledger + 'static>(
    on: On<L>,
    short: Duration,
    run_out: &impl AsyncFn(),
) -> Clause {
    let object = object("1");
    let (first, _) = on.granted(&object, "a", short).await?;
    run_out().await;
    let (second, _) = on.granted(&object, "b", LONG).await?;
    called("progress", on.0.progress(&second, &object, &mark(5)).await)?;

    is_lost("renew", on.0.renew(&first, LONG).await)?;
    is_lost("progress", on.0.progress(&first, &object, &mark(99)).await)?;
    is_lost("finish", on.0.finish(&first, &object, &finished()).await)?;
    is_lost("release", on.0.release(&first).await)?;

    on.held(&object, "c").await?;
    called("release", on.0.release(&second).await)?;
    let (third, resume) = on.granted(&object, "c", LONG).await?;
    resumes(&resume, &object, &mark(5))?;
    // Nor does the right owner's name help an old ticket.
    is_lost("finish", on.0.finish(&second, &object, &finished()).await)?;
    called("finish", on.0.finish(&third, &object, &finished()).await)?;
    is_lost("progress", on.0.progress(&second, &object, &mark(98)).await)?;
    is_lost("release", on.0.release(&second).await)?;
    on.delivered(&object, "a").await
}

pub(super) async fn given_back<L: Ledger + 'static>(on: On<L>) -> Clause {
    let object = object("1");
    let (ticket, _) = on.granted(&object, "a", LONG).await?;
    called("release", on.0.release(&ticket).await)?;
    is_lost("renew", on.0.renew(&ticket, LONG).await)?;
    is_lost("progress", on.0.progress(&ticket, &object, &mark(9)).await)?;
    is_lost("finish", on.0.finish(&ticket, &object, &finished()).await)?;
    let (again, resume) = on.granted(&object, "a", LONG).await?;
    resumes(&resume, &object, &Mark::default())?;
    // The same owner's ticket of before does not become good again.
    is_lost("renew", on.0.renew(&ticket, LONG).await)?;
    is_lost("finish", on.0.finish(&ticket, &object, &finished()).await)?;
    is_lost("release", on.0.release(&ticket).await)?;
    called("finish", on.0.finish(&again, &object, &finished()).await)
}
