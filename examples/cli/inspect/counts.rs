//! What is counted, record by record. Bounded, however many files are read.

use std::collections::BTreeMap;

use ctforward_core::event::Record;
use ctforward_core::key::{KeyClass, Kind, classify};
use jiff::Timestamp;

use super::tally::Tally;

/// Counts of all files.
#[derive(Debug, Default)]
pub struct Counts {
    pub files: Files,
    pub records: u64,
    /// Elements of the lists that are no records to forward.
    pub bad_records: u64,
    /// Bytes as stored.
    pub stored: u64,
    /// Bytes after inflation.
    pub inflated: u64,
    pub times: Times,
    pub largest: Option<Largest>,
    pub kinds: Tally,
    pub versions: Tally,
    pub accounts: Tally,
    pub regions: Tally,
    pub sources: Tally,
    pub names: Tally,
    pub errors: Tally,
}

/// What became of the files.
#[derive(Debug, Default)]
pub struct Files {
    pub read: u64,
    /// Skipped, by the reason; reasons are a few fixed words.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Cut, corrupt, over a cap, or named on the command line and no log file.
    pub unreadable: u64,
    /// Not read for a reason that may pass.
    pub failed: u64,
}

impl Files {
    pub fn skip(&mut self, why: &'static str) {
        *self.skipped.entry(why).or_default() += 1;
    }

    pub fn skipped(&self) -> u64 {
        self.skipped.values().sum()
    }
}

/// Between which times the events happened.
#[derive(Debug, Default)]
pub struct Times {
    pub range: Option<(Timestamp, Timestamp)>,
    /// Records without a readable time.
    pub without: u64,
}

impl Times {
    fn add(&mut self, time: Option<Timestamp>) {
        match (time, &mut self.range) {
            (None, _) => self.without += 1,
            (Some(at), None) => self.range = Some((at, at)),
            (Some(at), Some((first, last))) => {
                *first = at.min(*first);
                *last = at.max(*last);
            }
        }
    }
}

/// The largest record, and where it lies.
#[derive(Debug, PartialEq, Eq)]
pub struct Largest {
    pub bytes: u64,
    pub file: String,
    /// Its first byte in the inflated file.
    pub offset: u64,
    pub event_name: Option<String>,
}

impl Counts {
    /// Counts a record of the file that is shown as `file`, of this kind where
    /// its name says one.
    pub fn record(
        &mut self,
        record: Record<'_>,
        kind: Option<Kind<'_>>,
        file: impl Fn() -> String,
    ) {
        let header = record.header();
        self.records += 1;
        let category = header.event_category();
        let kind = kind.map(|kind| kind.as_str());
        self.kinds
            .add(kind.or_else(|| category.as_deref().map(kind_of_category)));
        let version = header.event_version().map(|version| version.to_string());
        self.versions.add(version.as_deref());
        self.accounts.add(header.account_id().as_deref());
        self.regions.add(header.aws_region().as_deref());
        self.sources.add(header.event_source().as_deref());
        let name = header.event_name();
        self.names.add(name.as_deref());
        self.errors.add(header.error_code().as_deref());
        self.times.add(header.event_time());
        let bytes = record.bytes().len() as u64;
        if self
            .largest
            .as_ref()
            .is_none_or(|largest| bytes > largest.bytes)
        {
            self.largest = Some(Largest {
                bytes,
                file: file(),
                offset: record.offset(),
                event_name: name.map(std::borrow::Cow::into_owned),
            });
        }
    }
}

/// The kind that a key or the name alone says.
pub fn kind_of_key(key: &str) -> Option<Kind<'_>> {
    match classify(key) {
        // A copied file stays what its name says it is, whatever folder it lies in.
        KeyClass::Log(log) | KeyClass::Digest(log) => Some(log.file.kind),
        KeyClass::FileOnly(name) => Some(name.kind),
        KeyClass::Misnamed(folder) => folder.kind,
        _ => None,
    }
}

/// In which kind of file CloudTrail delivers records of a category.
fn kind_of_category(category: &str) -> &str {
    let kind = match category {
        "Management" | "Data" => Kind::CloudTrail,
        "Insight" => Kind::Insight,
        "NetworkActivity" => Kind::NetworkActivity,
        "Aggregated" => Kind::Aggregated,
        other => return other,
    };
    kind.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctforward_core::event::RecordBuf;

    fn add(counts: &mut Counts, key: &str, record: &str) {
        let record = RecordBuf::parse(record.to_owned()).unwrap();
        counts.record(record.as_record(), kind_of_key(key), || key.to_owned());
    }

    #[test]
    fn a_name_says_the_kind_and_else_the_category() {
        let mut counts = Counts::default();
        let insight =
            "111122223333_CloudTrail-Insight_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";
        add(&mut counts, insight, r#"{"eventCategory":"Management"}"#);
        add(&mut counts, "x.json", r#"{"eventCategory":"Insight"}"#);
        add(&mut counts, "x.json", r#"{"eventCategory":"Data"}"#);
        add(&mut counts, "x.json", r#"{"eventCategory":"Tomorrow"}"#);
        add(&mut counts, "x.json", "{}");
        let top = counts.kinds.top(10);
        assert_eq!(
            top.rows,
            [
                ("CloudTrail-Insight", 2),
                ("CloudTrail", 1),
                ("Tomorrow", 1)
            ]
        );
        assert_eq!(counts.kinds.absent(), 1);
    }

    #[test]
    fn times_and_the_largest_record_are_kept() {
        let mut counts = Counts::default();
        add(
            &mut counts,
            "a",
            r#"{"eventTime":"2026-01-02T00:00:00Z","eventName":"B"}"#,
        );
        add(
            &mut counts,
            "b",
            r#"{"eventTime":"2026-01-01T00:00:00Z","eventName":"A"}"#,
        );
        add(&mut counts, "c", r#"{"eventTime":"soon"}"#);
        let (first, last) = counts.times.range.unwrap();
        assert_eq!(first.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(last.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(counts.times.without, 1);
        let largest = counts.largest.unwrap();
        assert_eq!(
            (largest.file.as_str(), largest.event_name.as_deref()),
            ("a", Some("B"))
        );
    }
}
