//! A made-up bucket of an organisation's trail, in a folder.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};

use super::random::Random;
use super::records;
use super::shape::Place;

pub const ORGANISATION: &str = "o-demo1234ab";
pub const ACCOUNTS: [&str; 4] = [
    "111122223333",
    "444455556666",
    "777788889999",
    "123456789012",
];
/// Organisations rarely use all regions in all accounts alike; here they do.
pub const REGIONS: [&str; 3] = ["us-east-1", "eu-central-1", "ap-northeast-1"];

/// Log files of each account and region, spread over so many hours.
const FILES: i64 = 10;
const HOURS: i64 = 72;
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// What was put into the bucket, to compare with what arrives.
#[derive(Debug)]
pub struct Bucket {
    /// Files that hold records to forward.
    pub log_files: u64,
    /// Files that hold none: a digest, and one of AWS Config.
    pub other_files: u64,
    /// Every record to forward.
    pub records: Vec<String>,
    /// Between which times they happened.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Makes the bucket in `folder`, which must be there; the same for the same seed
/// and time.
pub fn make(folder: &Path, seed: u64, now: Timestamp) -> io::Result<Bucket> {
    let mut random = Random::new(seed);
    let mut bucket = Bucket {
        log_files: 0,
        other_files: 0,
        records: Vec::new(),
        first: now,
        last: Timestamp::MIN,
    };
    for account in ACCOUNTS {
        for region in REGIONS {
            for back in 0..FILES {
                // The newest is delivered now, so that there is always one of today.
                let delivered = ago(now, back * HOURS * 60 / (FILES - 1));
                let time = ago(delivered, 5 + i64::try_from(random.below(10)).unwrap_or(0));
                let place = Place {
                    account,
                    region,
                    time,
                };
                let count = 20 + random.below(41);
                let records: Vec<String> = (0..count)
                    .map(|_| records::event(place, &mut random))
                    .collect();
                let key = log_key("CloudTrail", place, delivered, &mut random);
                bucket.add(folder, &key, time, records)?;
            }
        }
    }
    let [account, ..] = ACCOUNTS;
    let [region, ..] = REGIONS;
    // An Insight event is delivered up to half an hour after it happened.
    let place = Place {
        account,
        region,
        time: ago(now, 60 + 25),
    };
    let insight = records::insight(place, &mut random);
    let key = log_key("CloudTrail-Insight", place, ago(now, 60), &mut random);
    bucket.add(folder, &key, place.time, insight.into())?;

    write(folder, &digest_key(place, now), &digest(place, now))?;
    let config = "{\"fileVersion\":\"1.0\",\"configSnapshotId\":\"00000000-0000-4000-8000-000000000000\",\"configurationItems\":[]}";
    let at = now.strftime("%Y%m%dT%H%M%SZ");
    let name = format!(
        "{account}_Config_{region}_ConfigSnapshot_{at}_{}.json.gz",
        random.uuid()
    );
    // AWS Config writes months and days without a leading zero.
    let key = format!(
        "AWSLogs/{ORGANISATION}/{account}/Config/{region}/{}/ConfigSnapshot/{name}",
        now.strftime("%Y/%-m/%-d")
    );
    write(folder, &key, config)?;
    bucket.other_files = 2;
    Ok(bucket)
}

impl Bucket {
    /// Writes a log file.
    fn add(
        &mut self,
        folder: &Path,
        key: &str,
        time: Timestamp,
        records: Vec<String>,
    ) -> io::Result<()> {
        write(
            folder,
            key,
            &format!("{{\"Records\":[{}]}}", records.join(",")),
        )?;
        self.log_files += 1;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.records.extend(records);
        Ok(())
    }
}

/// So many minutes earlier; a clock at the beginning of time is left as it is.
fn ago(time: Timestamp, minutes: i64) -> Timestamp {
    time.checked_sub(SignedDuration::from_mins(minutes))
        .unwrap_or(time)
}

fn log_key(kind: &str, place: Place<'_>, delivered: Timestamp, random: &mut Random) -> String {
    let Place {
        account, region, ..
    } = place;
    let (day, minute) = (
        delivered.strftime("%Y/%m/%d"),
        delivered.strftime("%Y%m%dT%H%MZ"),
    );
    let id = random.text(16, ALPHABET);
    format!(
        "AWSLogs/{ORGANISATION}/{account}/{kind}/{region}/{day}/{account}_{kind}_{region}_{minute}_{id}.json.gz"
    )
}

fn digest_key(place: Place<'_>, end: Timestamp) -> String {
    let Place {
        account, region, ..
    } = place;
    let (day, second) = (end.strftime("%Y/%m/%d"), end.strftime("%Y%m%dT%H%M%SZ"));
    format!(
        "AWSLogs/{ORGANISATION}/{account}/CloudTrail-Digest/{region}/{day}/{account}_CloudTrail-Digest_{region}_demo_{region}_{second}.json.gz"
    )
}

/// A digest of an hour without log files, the first of its chain.
fn digest(place: Place<'_>, end: Timestamp) -> String {
    let start = ago(end, 60);
    format!(
        "{{\"awsAccountId\":\"{}\",\"digestStartTime\":\"{start}\",\"digestEndTime\":\"{end}\",\"digestS3Bucket\":\"{}\",\"digestS3Object\":\"{}\",\"newestEventTime\":null,\"oldestEventTime\":null,\"previousDigestS3Bucket\":null,\"previousDigestS3Object\":null,\"previousDigestHashValue\":null,\"previousDigestHashAlgorithm\":null,\"previousDigestSignature\":null,\"digestSignatureAlgorithm\":\"SHA256withRSA\",\"logFiles\":[]}}",
        place.account,
        super::BUCKET,
        digest_key(place, end)
    )
}

/// Writes a file that is not there yet, which only its owner can read.
fn write(folder: &Path, key: &str, text: &str) -> io::Result<()> {
    let path = folder.join(key);
    let mut folders = DirBuilder::new();
    folders.recursive(true);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folders.mode(0o700);
        options.mode(0o600);
    }
    folders.create(path.parent().unwrap_or(folder))?;
    let mut encoder = GzEncoder::new(options.open(path)?, Compression::fast());
    encoder.write_all(text.as_bytes())?;
    encoder.finish()?.flush()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use ctforward_core::key::{KeyClass, classify};

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
        while let Some(at) = open.pop() {
            for entry in std::fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let key = path
                        .strip_prefix(folder)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned();
                    found.insert(key, std::fs::read(path).unwrap());
                }
            }
        }
        found
    }

    #[test]
    fn the_same_seed_makes_the_same_bucket_in_cloudtrails_layout() {
        for now in ["2026-03-01T00:03:07Z", "2026-11-24T15:00:00Z"] {
            let now: Timestamp = now.parse().unwrap();
            let [a, b, c] = [7, 7, 8].map(|seed| {
                let folder = tempfile::tempdir().unwrap();
                let bucket = make(folder.path(), seed, now).unwrap();
                (files(folder.path()), bucket.records, bucket.log_files)
            });
            assert!(a == b);
            assert!(a.1 != c.1);
            let (files, records, log_files) = a;
            assert!((2000..20_000).contains(&records.len()), "{}", records.len());
            assert_eq!(files.len() as u64, log_files + 2);
            let class = |wanted: fn(&KeyClass<'_>) -> bool| {
                files.keys().filter(|key| wanted(&classify(key))).count() as u64
            };
            assert_eq!(class(|class| matches!(class, KeyClass::Log(_))), log_files);
            assert_eq!(class(|class| matches!(class, KeyClass::Digest(_))), 1);
            assert_eq!(class(|class| matches!(class, KeyClass::Other { .. })), 1);
            let today = now.strftime("/%Y/%m/%d/").to_string();
            assert!(files.keys().any(|key| key.contains(&today)));
        }
    }
}
