//! Which rows there are, and how they end.

use super::{LONG, On, finished, mark, object, resumes};
use crate::ledger::{Finished, Ledger, Mark};
use crate::object::{Object, ObjectId};
use crate::pipeline::FileBooks;
use crate::testing::{Clause, called, ensure};

pub(super) async fn delivered<L: Ledger + 'static>(on: On<L>) -> Clause {
    let done = object("1");
    let (ticket, _) = on.granted(&done, "a", LONG).await?;
    called("finish", on.0.finish(&ticket, &done, &finished()).await)?;
    on.delivered(&done, "a").await?;
    on.delivered(&done, "b").await?;
    // Where nothing is known of the file, nothing says that it is another one.
    let unknown = Object::new(done.id.clone());
    on.delivered(&unknown, "b").await?;

    let aside = object("2");
    let (ticket, _) = on.granted(&aside, "a", LONG).await?;
    let quarantined = Finished::quarantined(FileBooks::default());
    called("finish", on.0.finish(&ticket, &aside, &quarantined).await)?;
    on.delivered(&aside, "b").await
}

pub(super) async fn rewritten<L: Ledger + 'static>(on: On<L>) -> Clause {
    let first = object("1");
    let second = first.clone().with_etag("rewritten");
    let (ticket, _) = on.granted(&first, "a", LONG).await?;
    called("progress", on.0.progress(&ticket, &first, &mark(5)).await)?;
    called("finish", on.0.finish(&ticket, &first, &finished()).await)?;
    let (ticket, resume) = on.granted(&second, "b", LONG).await?;
    resumes(&resume, &second, &Mark::default())?;
    ensure(resume.mark == Mark::default(), || {
        format!("the mark of the finished file is still there: {resume:?}")
    })?;
    on.held(&second, "c").await?;
    called("finish", on.0.finish(&ticket, &second, &finished()).await)?;
    on.delivered(&second, "c").await
}

pub(super) async fn apart<L: Ledger + 'static>(on: On<L>) -> Clause {
    let long = "k".repeat(1024);
    let longer = format!("{}K", &long[1..]);
    let all: Vec<Object> = [
        ("b", "k"),
        ("B", "k"),
        ("b", "K"),
        ("b", "k "),
        ("b", " k"),
        ("b", "k/"),
        ("b", "/k"),
        ("b", "k\n"),
        ("b", "k\r"),
        ("b", "k\t"),
        ("b", "k%20"),
        ("b", "k+"),
        ("b", "k_"),
        ("b", "k%"),
        ("b", "k*"),
        ("b", "k?versionId=1"),
        ("b", "k'; DROP TABLE x; --"),
        ("b", "k\""),
        ("b", "k\\"),
        ("b", "k#x"),
        ("b", "../k"),
        ("b", "a/b"),
        ("b/a", "b"),
        ("b\u{0}a", "b"),
        ("b", "a\u{0}b"),
        // Composed, decomposed, and one that lower case would lose.
        ("b", "\u{e9}"),
        ("b", "e\u{301}"),
        ("b", "\u{c9}"),
        ("b", "\u{1f980}"),
        ("b", "\u{202e}k"),
        ("file:///var/log", "k"),
        ("b", &long),
        ("b", &longer),
    ]
    .into_iter()
    .map(|(bucket, key)| Object::new(ObjectId::new(bucket, key)).with_etag("e"))
    .collect();
    let mut tickets = Vec::new();
    for object in &all {
        tickets.push(on.granted(object, "a", LONG).await?.0);
    }
    for (number, (object, ticket)) in (1..).zip(all.iter().zip(&tickets)) {
        let set = on.0.progress(ticket, object, &mark(number)).await;
        called("progress", set)?;
    }
    for (number, (object, ticket)) in (0_usize..).zip(all.iter().zip(&tickets)) {
        on.held(object, "b").await?;
        if number.is_multiple_of(2) {
            called("finish", on.0.finish(ticket, object, &finished()).await)?;
        } else {
            called("release", on.0.release(ticket).await)?;
        }
    }
    for (number, object) in (0_u64..).zip(&all) {
        if number.is_multiple_of(2) {
            on.delivered(object, "b").await?;
        } else {
            let (_, resume) = on.granted(object, "b", LONG).await?;
            resumes(&resume, object, &mark(number + 1))?;
        }
    }
    Ok(())
}

pub(super) async fn versions<L: Ledger + 'static>(on: On<L>) -> Clause {
    let none = object("1");
    let mut one = none.clone();
    one.id = one.id.with_version("v1");
    let mut two = none.clone();
    two.id = two.id.with_version("v2");
    let (ticket, _) = on.granted(&one, "a", LONG).await?;
    on.held(&two, "b").await?;
    on.held(&none, "b").await?;
    called("finish", on.0.finish(&ticket, &one, &finished()).await)?;
    on.delivered(&two, "b").await?;
    on.delivered(&none, "b").await
}
