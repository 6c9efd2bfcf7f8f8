//! The program is killed while it forwards, again and again, and goes on from its
//! ledger: no record is lost, and the books balance.
//!
//! `CTFORWARD_KILLS` and `CTFORWARD_KILL_FILES` ask for more of it, and
//! `CTFORWARD_KILL_SEED` for other moments.

mod bucket;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ctforward_core::ledger::{
    Claim, Finished, Ledger as _, LedgerReader, LedgerRow, LedgerStatus, RowFilter, RowState,
    SqliteLedger,
};
use ctforward_core::pipeline::FileBooks;
use ctforward_core::quarantine::{DirectoryQuarantine, Filter, Kept, Reason};
use ctforward_core::{Object, ObjectId, QuarantineEntry};
use ctforward_visionone::standin::{Faults, StandIn};

use crate::support::*;
use bucket::{Bucket, REFUSED, Rng, is_refused};

/// More than any small file has, so that these go whole or not at all.
const BATCH_BYTES: u64 = 40 * 1024;
const CONCURRENCY: u64 = 4;
/// No run of these sizes takes longer, unless it hangs.
const HANGS: Duration = Duration::from_secs(300);

fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A bucket, a faulty stand-in, and the ledger that outlives the program.
struct Place {
    folder: tempfile::TempDir,
    bucket: Bucket,
    standin: StandIn,
    rng: Rng,
    more: &'static [&'static str],
    /// Kills that hit a running process with work left to do.
    hits: u64,
}

impl Place {
    async fn new(files: u64, seed: u64, more: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = Rng(seed);
        let bucket = Bucket::write(&folder.path().join("logs"), files as usize, &mut rng);
        let refuses = format!("400:match={REFUSED}");
        let faults = [
            "429:0.04",
            "503:0.04",
            "reset-before:0.02",
            "reset-after:0.03",
            "truncated:0.02",
            "slow:0.6,ms=40",
            &refuses,
        ];
        let faults = Faults::of(faults).unwrap().seed(seed);
        let standin = start(StandIn::builder().faults(faults).keep_bytes(1 << 30)).await;
        println!("CTFORWARD_KILL_SEED={seed}");
        Self {
            folder,
            bucket,
            standin,
            rng,
            more,
            hits: 0,
        }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("state/ledger.db")
    }

    fn status(&self) -> LedgerStatus {
        LedgerReader::open(self.ledger()).unwrap().status().unwrap()
    }

    /// Files that the ledger calls finished; a program killed at once may have left
    /// no ledger, or one that holds nothing.
    fn finished(&self) -> u64 {
        if !self.ledger().exists() {
            return 0;
        }
        match LedgerReader::open(self.ledger()) {
            Ok(reader) => {
                let status = reader.status().unwrap();
                assert!(status.balanced(), "{status:?}");
                status.delivered + status.quarantined
            }
            Err(error) => {
                assert!(error.message().contains("holds nothing"), "{error}");
                0
            }
        }
    }

    fn rows(&self) -> Vec<LedgerRow> {
        let reader = LedgerReader::open(self.ledger()).unwrap();
        reader.rows(None, u32::MAX, &RowFilter::all()).unwrap()
    }

    fn args(&self) -> Vec<String> {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut args = vec!["forward".to_owned(), text(&self.folder.path().join("logs"))];
        args.extend(["--endpoint".to_owned(), self.standin.endpoint()]);
        args.extend(["--ledger".to_owned(), text(&self.ledger())]);
        args.extend(["--batch-bytes".to_owned(), BATCH_BYTES.to_string()]);
        args.extend(["--concurrency".to_owned(), CONCURRENCY.to_string()]);
        args.extend(["--report", "json", "--linger", "200ms"].map(str::to_owned));
        args.extend(self.more.iter().map(|&arg| arg.to_owned()));
        args
    }

    /// Starts the program and kills it after that time; whether it still ran.
    async fn kill_after(&self, delay: Duration) -> bool {
        let said = self.folder.path().join("said");
        let mut child = cli()
            .args(self.args())
            .stdout(std::process::Stdio::null())
            .stderr(fs::File::create(&said).unwrap())
            .spawn()
            .unwrap();
        tokio::time::sleep(delay).await;
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let said = fs::read_to_string(said).unwrap();
        assert!(!said.contains("panicked"), "{said}");
        match status.signal() {
            Some(signal) => assert_eq!(signal, 9, "{said}"),
            None => assert!(matches!(status.code(), Some(0 | 3)), "{status} {said}"),
        }
        status.signal().is_some()
    }

    /// Kills it so many times, at moments spread over the whole of the work
    /// however fast the machine is.
    async fn kills(&mut self, kills: u64) {
        let (mut ran, all) = (0, self.bucket.files.len() as u64);
        let (mut done, mut share) = (0, 100);
        for left in (1..=kills).rev() {
            // What the rest may take at the pace so far, shared among the kills; at
            // first little is known of the pace.
            let rest = (ran * (all - done))
                .checked_div(done)
                .unwrap_or(u64::MAX / 4);
            share = (rest * 3 / 2 / (left + 1)).clamp(40, share * 2);
            let delay = self.rng.within(5, share);
            ran += delay;
            let hit = self.kill_after(Duration::from_millis(delay)).await;
            let before = std::mem::replace(&mut done, self.finished());
            assert!(done >= before, "what was finished is forgotten");
            println!("{delay} of {share} ms, then killed: {hit}; {done} of {all} files are done");
            self.hits += u64::from(hit && done < all);
        }
    }

    /// Lets it run to its end.
    async fn finish(&self) -> Ran {
        tokio::time::timeout(HANGS, run(self.args())).await.unwrap()
    }

    fn arrived(&self) -> HashMap<Bytes, usize> {
        assert_eq!(self.standin.counts().dropped, 0);
        let mut arrived = HashMap::new();
        for line in self.standin.lines() {
            *arrived.entry(line).or_default() += 1;
        }
        arrived
    }

    /// What lies in quarantine. Every line there can be read.
    async fn kept(&self) -> Vec<QuarantineEntry> {
        let folder = self.folder.path().join("state/ledger.db.quarantine");
        let quarantine = DirectoryQuarantine::open(folder).await.unwrap();
        let mut entries = quarantine.entries(Filter::new());
        let mut kept = Vec::new();
        while let Some(stored) = entries.next().await.unwrap() {
            kept.push(stored.entry);
        }
        assert_eq!((entries.damaged(), entries.unknown()), (0, 0));
        kept
    }

    /// How often lines were stored and the client was not told.
    fn untold(&self) -> u64 {
        let counts = self.standin.fault_counts();
        let untold = counts.iter().filter(|(fault, _)| {
            let fault = fault.to_string();
            fault.starts_with("reset-after") || fault.starts_with("truncated")
        });
        untold.map(|(_, count)| count).sum()
    }

    /// Lines that came again, of small files and of streamed ones.
    fn again(&self, arrived: &HashMap<Bytes, usize>) -> (u64, u64) {
        let (mut small, mut streamed) = (0, 0);
        let mut once: HashMap<&[u8], (u64, bool)> = HashMap::new();
        for file in &self.bucket.files {
            for (_, bytes) in &file.elements {
                let here = once.entry(bytes).or_insert((0, file.streams));
                here.0 += 1;
            }
        }
        for (line, count) in arrived {
            let (expected, streams) = once.get(&line[..]).copied().unwrap_or_default();
            let again = (*count as u64).saturating_sub(expected);
            *(if streams { &mut streamed } else { &mut small }) += again;
        }
        (small, streamed)
    }

    /// Everything that must hold once a run came to its end; the lines that came again.
    async fn check(&self, each: bool) -> (u64, u64) {
        let (arrived, kept) = (self.arrived(), self.kept().await);
        let missing = self.bucket.missing(&arrived, &kept, each);
        assert!(
            missing.is_empty(),
            "{} are missing: {missing:?}",
            missing.len()
        );
        let strange = self.bucket.strange(&arrived);
        assert!(
            strange.is_empty(),
            "{} are not ours: {strange:?}",
            strange.len()
        );
        self.check_kept(&kept);
        self.check_books();
        let state = self.folder.path().join("state");
        for file in files(&state) {
            let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", file.display());
        }
        // The marks of those that were killed are cleared away.
        let owners = files(&state.join("ledger.db.owners"));
        assert!(owners.len() <= 1, "{owners:?}");
        self.again(&arrived)
    }

    /// Nothing but what belongs there is in quarantine.
    fn check_kept(&self, kept: &[QuarantineEntry]) {
        let mut reasons: Vec<Reason> = kept.iter().map(|entry| entry.reason).collect();
        reasons.sort_unstable_by_key(|reason| reason.as_str());
        let expected = [
            Reason::NotAnObject,
            Reason::Refused,
            Reason::Unreadable,
            Reason::Unreadable,
        ];
        assert_eq!(reasons, expected, "{kept:?}");
        let cut: HashSet<&str> = self
            .bucket
            .files
            .iter()
            .filter(|f| f.cut)
            .map(|f| &*f.key)
            .collect();
        let found: HashSet<&str> = kept
            .iter()
            .filter(|e| matches!(e.kept, Kept::Reference { .. }))
            .map(|e| &*e.object.id.key)
            .collect();
        assert_eq!(found, cut);
    }

    /// The books of each file say what is in it, and all of them balance.
    fn check_books(&self) {
        let status = self.status();
        assert!(status.balanced(), "{status:?}");
        let cut = self.bucket.files.iter().filter(|file| file.cut).count() as u64;
        let whole = self.bucket.files.len() as u64 - cut;
        assert_eq!(
            (status.in_progress, status.delivered, status.quarantined),
            (0, whole, cut)
        );
        let rows = self.rows();
        let rows: HashMap<&str, &LedgerRow> = rows.iter().map(|row| (&*row.key, row)).collect();
        let mut sum = 0;
        for file in &self.bucket.files {
            let (row, all) = (rows[&*file.key], file.elements.len() as u64);
            if file.cut {
                assert!(row.records.read > 0 && row.records.read < all, "{row:?}");
                assert_eq!(row.records.accepted > 0, file.streams, "{row:?}");
            } else {
                assert_eq!(row.records.read, all, "{row:?}");
            }
            sum += row.records.read;
        }
        assert_eq!(status.records.read, sum);
    }
}

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
