//! Reading the sample, and what it says of the whole.

use ctforward_core::key::{KeyClass, classify};
use ctforward_core::read::{LogReader, ReadError, ReadLimits, Step, one_line};
use ctforward_core::{Error, ErrorKind, LogFile, ObjectId};
use serde::Serialize;

/// Failures that are kept to be named.
const NAMED: usize = 5;

/// What one file of the sample came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measured {
    /// Bytes as stored.
    pub stored: u64,
    /// Bytes inflated.
    pub inflated: u64,
    /// Records.
    pub records: u64,
    /// Bytes of the records as they are sent, a line feed each.
    pub sent: u64,
    /// Elements that would go to quarantine.
    pub bad: u64,
}

/// All files of the sample that could be read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sample {
    /// Files that were to be opened.
    pub opened: u64,
    /// What those came to that could be read.
    pub files: Vec<Measured>,
    /// Files that are no CloudTrail log files by their content; among `files`, as empty.
    pub no_log: u64,
    /// Files that turned out to be archived.
    pub archived: u64,
    /// Files that could not be read.
    pub failed: u64,
    /// The first failures.
    pub failures: Vec<(ObjectId, Error)>,
}

enum Ending {
    Read(Measured),
    NoLog,
    Archived,
    Failed(Error),
}

/// Opens and reads the files to their ends, one after the other.
pub async fn read_sample(files: Vec<LogFile>, limits: ReadLimits) -> Sample {
    let mut sample = Sample::default();
    for file in files {
        sample.opened += 1;
        match one(&file, limits).await {
            Ending::Read(measured) => sample.files.push(measured),
            Ending::NoLog => {
                sample.no_log += 1;
                // A forward reads a part of it, and sends nothing.
                sample.files.push(Measured {
                    stored: file.object.size.unwrap_or(0),
                    ..Measured::default()
                });
            }
            Ending::Archived => sample.archived += 1,
            Ending::Failed(why) => {
                sample.failed += 1;
                if sample.failures.len() < NAMED {
                    sample.failures.push((file.object.id, why));
                }
            }
        }
    }
    sample
}

async fn one(file: &LogFile, limits: ReadLimits) -> Ending {
    let mut opened = match file.open.open().await {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::Archived => return Ending::Archived,
        Err(error) => return Ending::Failed(error),
    };
    let mut reader = LogReader::with_limits(limits);
    let mut measured = Measured::default();
    let mut line = Vec::new();
    loop {
        match reader.next() {
            Ok(Step::Record(record)) => {
                measured.records += 1;
                line.clear();
                let bytes = record.bytes();
                let broken = bytes.contains(&b'\n') || bytes.contains(&b'\r');
                let length = if broken {
                    one_line(bytes, &mut line);
                    line.len()
                } else {
                    bytes.len()
                };
                measured.sent += length as u64 + 1;
            }
            Ok(Step::Bad(_) | Step::Oversized(_)) => measured.bad += 1,
            Ok(Step::NeedInput) => match opened.chunks.next().await {
                Ok(Some(chunk)) => reader.push(chunk),
                Ok(None) => reader.finish(),
                Err(error) => return Ending::Failed(error),
            },
            Ok(Step::End) => break,
            Ok(_) => {}
            Err(error) if passed_over(file, &error) => return Ending::NoLog,
            Err(error) => return Ending::Failed(error.into()),
        }
    }
    measured.stored = reader.stored_bytes();
    measured.inflated = reader.inflated_bytes();
    Ending::Read(measured)
}

/// Whether a forward would pass the file over instead of quarantining it.
fn passed_over(file: &LogFile, error: &ReadError) -> bool {
    let no_log = matches!(
        error,
        ReadError::Empty | ReadError::NotJson { .. } | ReadError::NotCloudTrail { .. }
    );
    let class = classify(&file.object.id.key);
    no_log && !file.named && matches!(class, KeyClass::Unknown | KeyClass::Other { .. })
}

/// How much of something there is for each stored byte.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ratio {
    /// So much for one stored byte.
    pub value: f64,
    /// One standard error, as a share of the value; unknown from less than two files.
    pub relative_error: Option<f64>,
}

impl Ratio {
    /// The ratio of sums, which is right also where large files compress better,
    /// and its standard error for a sample of `of` files drawn without putting back.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn of(files: &[Measured], of: u64, what: fn(&Measured) -> u64) -> Option<Self> {
        let pairs = || files.iter().map(|f| (f.stored as f64, what(f) as f64));
        let n = files.len() as f64;
        let (x, y) = pairs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
        if x <= 0.0 {
            return None;
        }
        let value = y / x;
        let relative_error = (files.len() > 1 && value > 0.0).then(|| {
            let squares: f64 = pairs().map(|(a, b)| (b - value * a).powi(2)).sum();
            let left = (1.0 - n / (of as f64).max(n)).max(0.0);
            (left * squares / (n * (n - 1.0))).sqrt() / (x / n) / value
        });
        Some(Self {
            value,
            relative_error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(u64, u64)]) -> Vec<Measured> {
        let measured = |&(stored, inflated)| Measured {
            stored,
            inflated,
            ..Measured::default()
        };
        pairs.iter().map(measured).collect()
    }

    #[test]
    fn a_ratio_is_of_sums_and_its_error_is_as_computed_by_hand() {
        let of = |pairs: &[(u64, u64)], of| Ratio::of(&files(pairs), of, |f| f.inflated);
        assert_eq!(of(&[], 10), None);
        assert_eq!(of(&[(0, 5)], 10), None);
        let one = of(&[(10, 100)], 10).unwrap();
        assert_eq!((one.value, one.relative_error), (10.0, None));
        // r = 30/3 = 10; residuals 12-10 and 18-20: squares 4 + 4; without the
        // correction sqrt(8/2)/1.5 = 4/3, a share of 2/15; half of all were drawn.
        let two = of(&[(1, 12), (2, 18)], 4).unwrap();
        assert!((two.value - 10.0).abs() < 1e-12);
        let expected = 2.0 / 15.0 * 0.5_f64.sqrt();
        assert!((two.relative_error.unwrap() - expected).abs() < 1e-12);
        // Who has read everything knows.
        assert_eq!(
            of(&[(1, 12), (2, 18)], 2).unwrap().relative_error,
            Some(0.0)
        );
    }
}
