//! Where the program runs, is killed and is looked at.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ctforward_core::QuarantineEntry;
use ctforward_core::ledger::{LedgerReader, LedgerRow, LedgerStatus, RowFilter};
use ctforward_core::quarantine::{DirectoryQuarantine, Filter, Kept, Reason};
use ctforward_visionone::standin::{Faults, StandIn};

use super::bucket::{Bucket, REFUSED, Rng};
use crate::support::*;

/// More than any small file has, so that these go whole or not at all.
pub const BATCH_BYTES: u64 = 40 * 1024;
pub const CONCURRENCY: u64 = 4;
/// No run of these sizes takes longer, unless it hangs.
const HANGS: Duration = Duration::from_secs(300);

pub fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A bucket, a faulty stand-in, and the ledger that outlives the program.
pub struct Place {
    folder: tempfile::TempDir,
    pub bucket: Bucket,
    pub standin: StandIn,
    rng: Rng,
    more: &'static [&'static str],
    /// Kills that hit a running process with work left to do.
    pub hits: u64,
}

impl Place {
    pub async fn new(files: u64, seed: u64, more: &'static [&'static str]) -> Self {
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

    pub fn ledger(&self) -> PathBuf {
        self.folder.path().join("state/ledger.db")
    }

    pub fn status(&self) -> LedgerStatus {
        LedgerReader::open(self.ledger()).unwrap().status().unwrap()
    }

    /// Files that the ledger calls finished; a program killed at once may have left
    /// no ledger, or one that holds nothing.
    pub fn finished(&self) -> u64 {
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

    pub fn rows(&self) -> Vec<LedgerRow> {
        let reader = LedgerReader::open(self.ledger()).unwrap();
        reader.rows(None, u32::MAX, &RowFilter::all()).unwrap()
    }

    pub fn args(&self) -> Vec<String> {
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
    pub async fn kill_after(&self, delay: Duration) -> bool {
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
    pub async fn kills(&mut self, kills: u64) {
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
    pub async fn finish(&self) -> Ran {
        tokio::time::timeout(HANGS, run(self.args())).await.unwrap()
    }

    pub fn arrived(&self) -> HashMap<Bytes, usize> {
        assert_eq!(self.standin.counts().dropped, 0);
        let mut arrived = HashMap::new();
        for line in self.standin.lines() {
            *arrived.entry(line).or_default() += 1;
        }
        arrived
    }

    /// What lies in quarantine. Every line there can be read.
    pub async fn kept(&self) -> Vec<QuarantineEntry> {
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
    pub fn untold(&self) -> u64 {
        let counts = self.standin.fault_counts();
        let untold = counts.iter().filter(|(fault, _)| {
            let fault = fault.to_string();
            fault.starts_with("reset-after") || fault.starts_with("truncated")
        });
        untold.map(|(_, count)| count).sum()
    }

    /// Lines that came again, of small files and of streamed ones.
    pub fn again(&self, arrived: &HashMap<Bytes, usize>) -> (u64, u64) {
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
    pub async fn check(&self, each: bool) -> (u64, u64) {
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
        assert!(owners.is_empty(), "the ledger was not closed: {owners:?}");
        self.again(&arrived)
    }

    /// Nothing but what belongs there is in quarantine.
    pub fn check_kept(&self, kept: &[QuarantineEntry]) {
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
    pub fn check_books(&self) {
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
