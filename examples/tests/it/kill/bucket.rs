//! A bucket whose records are known, and what must have become of each.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use ctforward_core::QuarantineEntry;
use ctforward_core::quarantine::{Kept, Reason};

use crate::support::{gzip, write};

/// The text by which the stand-in knows the record that it refuses.
pub const REFUSED: &str = "kill-refused-marker";

/// Whether the stand-in refuses this record.
pub fn is_refused(record: &[u8]) -> bool {
    String::from_utf8_lossy(record).contains(REFUSED)
}

/// Numbers from a seed (`SplitMix64`).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

/// A log file, and where in it each element of `Records` lies.
pub struct LogFile {
    pub key: String,
    pub elements: Vec<(u64, Vec<u8>)>,
    /// What can be read of it ends before its last record.
    pub cut: bool,
    /// It is too large to be held back until its end was seen.
    pub streams: bool,
}

pub struct Bucket {
    pub files: Vec<LogFile>,
}

/// Inflated bytes up to which a file is small here: less than any `--batch-bytes` used.
const SMALL: usize = 32 * 1024;
/// A large file has at least so many.
const LARGE: usize = 1_200_000;

impl Bucket {
    /// Writes `small` small files and five large ones. Among them are a refused
    /// record, an element that is no object, a file that came twice, and two files
    /// that are cut, one of them behind records that were handed on.
    pub fn write(root: &Path, small: usize, rng: &mut Rng) -> Self {
        let mut files: Vec<LogFile> = Vec::new();
        for number in 0..small {
            let count = if number == 17 { 12 } else { rng.within(1, 14) };
            let mut records: Vec<String> = (0..count).map(|_| record(rng, "GetObject")).collect();
            match number {
                7 => records.insert(1, record(rng, REFUSED)),
                11 => records.insert(1, "\"no object\"".to_owned()),
                13 => {
                    // CloudTrail may deliver a record in two files.
                    let twice = &files[5].elements;
                    let twice = twice.iter().map(|(_, r)| String::from_utf8(r.clone()));
                    records = twice.map(Result::unwrap).collect();
                }
                _ => {}
            }
            files.push(LogFile::write(root, number, &records, number == 17, rng));
        }
        for number in 0..5 {
            let mut records = Vec::new();
            let mut length = 0;
            while length < LARGE {
                let next = record(rng, "PutObject");
                length += next.len();
                records.push(next);
            }
            let number = number * small / 5;
            files.push(LogFile::write(root, number, &records, number == 0, rng));
        }
        Self { files }
    }

    /// Elements of its small files, and of those that are streamed.
    pub fn elements(&self) -> (u64, u64) {
        let count = |streams: bool| {
            let files = self.files.iter().filter(|file| file.streams == streams);
            files.map(|file| file.elements.len() as u64).sum()
        };
        (count(false), count(true))
    }

    /// Elements that are in it more than once.
    pub fn twice(&self) -> HashSet<&[u8]> {
        let elements = self.files.iter().flat_map(|file| &file.elements);
        let mut once = HashSet::new();
        let elements = elements.map(|(_, bytes)| bytes.as_slice());
        elements.filter(|bytes| !once.insert(*bytes)).collect()
    }

    /// What may be sent: a small file that is cut goes to quarantine as a whole.
    fn sendable(&self) -> HashSet<&[u8]> {
        let sent = self.files.iter().filter(|file| !file.cut || file.streams);
        let elements = sent.flat_map(|file| &file.elements);
        elements.map(|(_, bytes)| bytes.as_slice()).collect()
    }

    /// The elements that neither arrived nor lie in quarantine, byte for byte, and
    /// not behind a cut. With `each`, a record that came twice must arrive twice.
    pub fn missing(
        &self,
        arrived: &HashMap<Bytes, usize>,
        kept: &[QuarantineEntry],
        each: bool,
    ) -> Vec<(&str, u64)> {
        let mut left: HashMap<&[u8], usize> = HashMap::new();
        for (line, count) in arrived {
            left.insert(line, *count);
        }
        let mut bytes_at: HashMap<(&str, u64), &[u8]> = HashMap::new();
        let mut cut_at: HashMap<&str, u64> = HashMap::new();
        for entry in kept {
            let key = entry.object.id.key.as_str();
            match (&entry.kept, entry.offset) {
                (Kept::Bytes(bytes), Some(offset)) => {
                    bytes_at.insert((key, offset), bytes);
                }
                (Kept::Reference { .. }, from) if entry.reason == Reason::Unreadable => {
                    cut_at.insert(key, from.unwrap_or(0));
                }
                _ => {}
            }
        }
        let mut missing = Vec::new();
        for file in &self.files {
            let key = file.key.as_str();
            // Only what really is cut may be kept by reference.
            let end = cut_at.get(key).filter(|_| file.cut);
            for (offset, bytes) in &file.elements {
                let here = left.get_mut(bytes.as_slice()).filter(|count| **count > 0);
                if let Some(count) = here {
                    *count -= usize::from(each);
                    continue;
                }
                let is_kept = bytes_at.get(&(key, *offset)) == Some(&bytes.as_slice());
                if !is_kept && end.is_none_or(|end| offset < end) {
                    missing.push((key, *offset));
                }
            }
        }
        missing
    }

    /// Lines that are no record of it, or one that should not have been sent.
    pub fn strange<'a>(&self, arrived: &'a HashMap<Bytes, usize>) -> Vec<&'a Bytes> {
        let ours = self.sendable();
        arrived
            .keys()
            .filter(|line| !ours.contains(&line[..]) || !line.starts_with(b"{") || is_refused(line))
            .collect()
    }
}

impl LogFile {
    fn write(root: &Path, number: usize, records: &[String], cut: bool, rng: &mut Rng) -> Self {
        let mut document = br#"{"Records":["#.to_vec();
        let mut elements = Vec::new();
        for record in records {
            if !elements.is_empty() {
                document.push(b',');
            }
            elements.push((document.len() as u64, record.clone().into_bytes()));
            document.extend_from_slice(record.as_bytes());
        }
        document.extend_from_slice(b"]}");
        let mut stored = gzip(&document);
        if cut {
            stored.truncate(stored.len() * 2 / 3);
        }
        let key = key(number, rng);
        write(root, &key, &stored);
        assert!(document.len() < SMALL || document.len() > LARGE);
        let file = Self {
            key,
            elements,
            cut,
            streams: document.len() > LARGE,
        };
        assert!(!cut || file.readable(&stored) < document.len());
        file
    }

    /// How many bytes of it can be inflated.
    fn readable(&self, stored: &[u8]) -> usize {
        let mut bytes = Vec::new();
        let read = flate2::read::GzDecoder::new(stored).read_to_end(&mut bytes);
        assert_eq!(read.is_err(), self.cut);
        bytes.len()
    }
}

/// A key of the layout; files of several accounts, regions and days.
fn key(number: usize, rng: &mut Rng) -> String {
    const ACCOUNTS: [&str; 3] = ["111122223333", "444455556666", "123456789012"];
    const REGIONS: [&str; 4] = [
        "us-east-1",
        "eu-central-1",
        "us-west-2-lax-1a",
        "ap-south-2",
    ];
    let account = ACCOUNTS[number % 3];
    let region = REGIONS[(number / 3) % 4];
    let day = 1 + number % 9;
    let (hour, minute) = (rng.within(0, 23), rng.within(0, 11) * 5);
    let unique: String = (0..16)
        .map(|_| {
            char::from(b"abcdefghijklmnopqrstuvwxyzABCDEF0123456789"[rng.next() as usize % 42])
        })
        .collect();
    format!(
        "AWSLogs/{account}/CloudTrail/{region}/2026/03/{day:02}/{account}_CloudTrail_{region}_202603{day:02}T{hour:02}{minute:02}Z_{unique}.json.gz"
    )
}

/// A record with what a parser would spoil, of 400 to 1,400 bytes.
fn record(rng: &mut Rng, name: &str) -> String {
    let (a, b) = (rng.next(), rng.next());
    let id = format!("{:08x}-{:04x}-{:016x}", a as u32, (a >> 32) as u16, b);
    let agent = "[aws-sdk \\\"x\\\" \\u00fc\\/ é] ".repeat(rng.within(1, 40) as usize);
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","accountId":"111122223333"}},"eventTime":"2026-03-0{}T12:00:{:02}Z","eventSource":"s3.amazonaws.com","eventName":"{name}","awsRegion":"us-east-1","userAgent":"{agent}","requestParameters":{{"big":12345678901234567890{},"float":1624.0,"a":1,"a":2}},"eventID":"{id}","readOnly":true,"eventType":"AwsApiCall","recipientAccountId":"111122223333"}}"#,
        rng.within(1, 9),
        rng.within(0, 59),
        rng.within(100, 999),
    )
}
