//! The program is killed while it forwards, again and again, and goes on from its
//! ledger: no record is lost, and the books balance.
//!
//! `CTFORWARD_KILLS` and `CTFORWARD_KILL_FILES` ask for more of it, and
//! `CTFORWARD_KILL_SEED` for other moments.

mod bucket;
mod place;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ctforward_core::ledger::{Claim, Finished, Ledger as _, RowState, SqliteLedger};
use ctforward_core::pipeline::FileBooks;
use ctforward_core::{Object, ObjectId};

use bucket::{Bucket, is_refused};
use place::{BATCH_BYTES, CONCURRENCY, Place, asked};

/// Records that one request holds at most.
fn batch_records(bucket: &Bucket) -> u64 {
    let elements = bucket.files.iter().flat_map(|file| &file.elements);
    let records = elements.filter(|(_, bytes)| bytes.starts_with(b"{"));
    let shortest = records.map(|(_, bytes)| bytes.len()).min().unwrap();
    BATCH_BYTES / (shortest as u64 + 1)
}

async fn killed_and_restarted(more: &'static [&'static str], kills: u64, files: u64, each: bool) {
    let began = Instant::now();
    let seed = asked("CTFORWARD_KILL_SEED", 20_260_301);
    let mut place = Place::new(files, seed, more).await;
    place.kills(kills).await;
    assert!(
        place.hits > kills / 2,
        "only {} of {kills} hit a running process",
        place.hits
    );
    let ran = place.finish().await;
    assert!([0, 3].contains(&ran.status), "{ran:?}");
    ran.assert_no_secret();
    assert_eq!(ran.json()["files"]["failed"], 0, "{ran:?}");
    let (small, streamed) = place.check(each).await;

    // A kill: what is under way, or answered and not yet noted. A lost answer: its request.
    let (untold, batch) = (place.untold(), batch_records(&place.bucket));
    let bound = place.hits * CONCURRENCY * batch + untold * batch;
    let (all_small, all_streamed) = place.bucket.elements();
    println!(
        "{more:?}: {} of {kills} kills hit, {} files, {all_small} + {all_streamed} records; again \
         {small} of small and {streamed} of streamed files, {bound} = {} * {CONCURRENCY} * {batch} \
         + {untold} * {batch} at most; {:.1} s",
        place.hits,
        place.bucket.files.len(),
        place.hits,
        began.elapsed().as_secs_f64()
    );
    assert!(small <= bound, "{small} came again");
    if each {
        // While one batch waits for its next attempt, those behind it go on: all of
        // a streamed file may lie beyond its low-water mark.
        let bound = bound + place.hits * all_streamed;
        assert!(streamed <= bound, "{streamed} came again");
    } else {
        // What was accepted is remembered record by record, whatever the mark.
        assert!(
            small + streamed <= bound,
            "{small} and {streamed} came again"
        );
    }

    let before = place.standin.counts();
    let ran = place.finish().await;
    assert!([0, 3].contains(&ran.status), "{ran:?}");
    assert_eq!(ran.json()["records"]["in"], 0, "{ran:?}");
    assert_eq!(place.standin.counts(), before, "nothing is left to send");
    place.check(each).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_arrives_however_often_the_program_is_killed() {
    let (kills, files) = (
        asked("CTFORWARD_KILLS", 6),
        asked("CTFORWARD_KILL_FILES", 400),
    );
    killed_and_restarted(&[], kills, files, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_distinct_record_arrives_where_duplicates_are_not_sent_again() {
    let (kills, files) = (
        asked("CTFORWARD_KILLS", 4),
        asked("CTFORWARD_KILL_FILES", 150),
    );
    killed_and_restarted(&["--deduplicate"], kills, files, false).await;
}

/// Were a file taken for delivered too early, this test would see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_only_the_ledger_calls_delivered_is_found_missing() {
    let place = Place::new(60, 7, &[]).await;
    let mut delay = 300;
    // Killed in the midst: some is delivered, and some is not.
    while place.finished() == 0 {
        assert!(delay < 10_000, "nothing is ever delivered");
        place.kill_after(Duration::from_millis(delay)).await;
        delay += 50;
    }
    let (arrived, rows) = (place.arrived(), place.rows());
    let finished = rows.iter().filter(|row| row.state != RowState::InProgress);
    let finished: HashSet<&str> = finished.map(|row| &*row.key).collect();
    let twice = place.bucket.twice();
    let unsent = place.bucket.files.iter().filter(|file| {
        let mut elements = file.elements.iter().map(|(_, bytes)| &bytes[..]);
        !file.cut
            && !finished.contains(&*file.key)
            && elements.all(|bytes| {
                let is_plain = bytes.starts_with(b"{") && !is_refused(bytes);
                is_plain && !arrived.contains_key(bytes) && !twice.contains(bytes)
            })
    });
    // The last to be read: no request on its way to the stand-in holds it.
    let lost = unsent.max_by_key(|file| &file.key).unwrap();
    let object = Object::new(ObjectId::new(rows[0].bucket.clone(), lost.key.clone()));
    let ledger = SqliteLedger::open(place.ledger()).unwrap();
    let minute = Duration::from_secs(60);
    let Claim::Granted { ticket, .. } = ledger.claim(&object, "test", minute).await.unwrap() else {
        panic!("nobody lives who could hold it");
    };
    let mut books = FileBooks::default();
    books.records.read = lost.elements.len() as u64;
    books.records.accepted = books.records.read;
    ledger
        .finish(&ticket, &object, &Finished::delivered(books))
        .await
        .unwrap();
    ledger.close().await;

    let ran = place.finish().await;
    assert!([0, 3].contains(&ran.status), "{ran:?}");
    // The books alone cannot show it.
    place.check_books();
    let missing = place
        .bucket
        .missing(&place.arrived(), &place.kept().await, true);
    let expected: Vec<(&str, u64)> = lost
        .elements
        .iter()
        .map(|(offset, _)| (&*lost.key, *offset))
        .collect();
    assert_eq!(missing, expected);
}
