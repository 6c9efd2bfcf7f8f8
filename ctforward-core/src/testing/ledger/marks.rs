//! How far a file was decided.

use std::time::Duration;

use super::{LONG, On, mark, object, resumes};
use crate::ledger::{Ledger, Mark};
use crate::testing::{Clause, called, ensure};

pub(super) async fn comes_back<L: Ledger + 'static>(on: On<L>) -> Clause {
    // Claimed by a notification that knows neither; the opened file knows both.
    let opened = object("1");
    let mut asked = opened.clone();
    (asked.etag, asked.size) = (None, None);
    let (ticket, _) = on.granted(&asked, "a", LONG).await?;
    for low_water in [1, 1 << 33, u64::from(u32::MAX) + 7] {
        let set = on.0.progress(&ticket, &opened, &mark(low_water)).await;
        called("progress", set)?;
    }
    let last = mark(u64::from(u32::MAX) + 7);
    called("release", on.0.release(&ticket).await)?;
    for owner in ["b", "c"] {
        let (ticket, resume) = on.granted(&asked, owner, LONG).await?;
        resumes(&resume, &opened, &last)?;
        ensure(
            resume.etag == opened.etag && resume.size == opened.size,
            || format!("of {opened:?} it remembers {resume:?}"),
        )?;
        called("release", on.0.release(&ticket).await)?;
    }
    // Back to the start, as when the file turned out to be another one.
    let (ticket, _) = on.granted(&asked, "a", LONG).await?;
    let set = on.0.progress(&ticket, &opened, &Mark::default()).await;
    called("progress", set)?;
    called("release", on.0.release(&ticket).await)?;
    let (_, resume) = on.granted(&asked, "a", LONG).await?;
    resumes(&resume, &opened, &Mark::default())
}

pub(super) async fn outlives<L: Ledger + 'static>(
    on: On<L>,
    short: Duration,
    run_out: &impl AsyncFn(),
) -> Clause {
    let object = object("1");
    let (ticket, _) = on.granted(&object, "a", LONG).await?;
    called("progress", on.0.progress(&ticket, &object, &mark(5)).await)?;
    called("release", on.0.release(&ticket).await)?;
    on.granted(&object, "b", short).await?;
    run_out().await;
    let (_, resume) = on.granted(&object, "c", LONG).await?;
    resumes(&resume, &object, &mark(5))
}

pub(super) async fn void<L: Ledger + 'static>(on: On<L>) -> Clause {
    let object = object("1");
    let (ticket, _) = on.granted(&object, "a", LONG).await?;
    called("progress", on.0.progress(&ticket, &object, &mark(5)).await)?;
    called("release", on.0.release(&ticket).await)?;
    for other in [
        object.clone().with_etag("another"),
        object.clone().with_size(4712),
    ] {
        // Known when it is claimed, or only when it is opened.
        let (ticket, resume) = on.granted(&other, "b", LONG).await?;
        resumes(&resume, &other, &Mark::default())?;
        called("release", on.0.release(&ticket).await)?;
        let (ticket, resume) = on.granted(&object, "b", LONG).await?;
        resumes(&resume, &other, &Mark::default())?;
        called("release", on.0.release(&ticket).await)?;
    }
    Ok(())
}
