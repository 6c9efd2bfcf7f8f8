//! Which keys to take.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::classify::{KeyClass, classify};
use super::file_name::FileName;
use super::folder::Folder;
use super::kind::Kind;

/// Which files to take, by what their keys say.
///
/// A key that does not say is taken: only what a key proves to lie outside is
/// left out. Times are those of delivery, in UTC, and the range is half-open.
///
/// ```
/// use ctforward_core::key::{Admission, KeyFilter};
///
/// let filter = KeyFilter::new()
///     .regions(["us-east-1"])
///     .since("2024-01-02T03:05:00Z".parse()?);
/// let key = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02/\
///            111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";
/// assert_eq!(filter.admit(key), Admission::Take);
/// assert_eq!(filter.admit("copies/some.json"), Admission::TakeWithoutTime);
/// assert!(matches!(filter.admit(&key.replace("us-east-1", "eu-west-1")), Admission::Skip(_)));
/// # Ok::<(), jiff::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct KeyFilter {
    accounts: BTreeSet<String>,
    regions: BTreeSet<String>,
    /// Names of kinds as they stand in keys.
    kinds: BTreeSet<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// What a [`KeyFilter`] says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// The file is taken.
    Take,
    /// The file is taken though a time range is set and its key carries no time.
    TakeWithoutTime,
    /// The file is left out, for this reason.
    Skip(&'static str),
}

impl KeyFilter {
    /// Every log file of CloudTrail's; no digests, and no files of other services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these accounts (none named: all).
    pub fn accounts<I: IntoIterator<Item: Into<String>>>(mut self, accounts: I) -> Self {
        self.accounts = accounts.into_iter().map(Into::into).collect();
        self
    }

    /// Only these regions (none named: all).
    pub fn regions<I: IntoIterator<Item: Into<String>>>(mut self, regions: I) -> Self {
        self.regions = regions.into_iter().map(Into::into).collect();
        self
    }

    /// Only these kinds (none named: all but digests).
    pub fn kinds<'k, I: IntoIterator<Item = Kind<'k>>>(mut self, kinds: I) -> Self {
        let names = kinds.into_iter().map(|kind| kind.as_str().to_owned());
        self.kinds = names.collect();
        self
    }

    /// Only files delivered at this time or later.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Only files delivered before this time.
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// What the filter says of a key, taken as S3 has it.
    #[must_use]
    pub fn admit(&self, key: &str) -> Admission {
        match classify(key) {
            KeyClass::Log(log) | KeyClass::Digest(log) => self.file(&log.file),
            KeyClass::FileOnly(file) => self.file(&file),
            KeyClass::Misnamed(folder) => self.folder(&folder),
            KeyClass::Other { .. } => Admission::Skip("file of another service"),
            KeyClass::Folder(_) => Admission::Skip("folder object"),
            KeyClass::Unknown => self.without_time(),
        }
    }

    fn file(&self, file: &FileName<'_>) -> Admission {
        if let Some(why) = self.outside(Some(file.account), Some(file.kind), Some(file.region)) {
            return Admission::Skip(why);
        }
        let time = file.timestamp();
        if self.since.is_some_and(|since| time < since) {
            return Admission::Skip("delivered before the time asked for");
        }
        if self.until.is_some_and(|until| time >= until) {
            return Admission::Skip("delivered after the time asked for");
        }
        Admission::Take
    }

    /// A file whose name says nothing, in a folder of the layout.
    fn folder(&self, folder: &Folder<'_>) -> Admission {
        if let Some(why) = self.outside(folder.account, folder.kind, folder.region) {
            return Admission::Skip(why);
        }
        if let Some((first, last)) = folder.days {
            // A day's folder holds what was delivered on that day, give or take a minute.
            let after = |day: Date| day.tomorrow().unwrap_or(Date::MAX);
            let before = |day: Date| day.yesterday().unwrap_or(Date::MIN);
            let day_of = |time: Timestamp| Offset::UTC.to_datetime(time).date();
            if self.since.is_some_and(|since| after(last) < day_of(since)) {
                return Admission::Skip("delivered before the time asked for");
            }
            if self
                .until
                .is_some_and(|until| before(first) > day_of(until))
            {
                return Admission::Skip("delivered after the time asked for");
            }
        }
        self.without_time()
    }

    fn without_time(&self) -> Admission {
        if self.since.is_some() || self.until.is_some() {
            Admission::TakeWithoutTime
        } else {
            Admission::Take
        }
    }

    /// Why account, kind or region lie outside, as far as they are known.
    fn outside(
        &self,
        account: Option<&str>,
        kind: Option<Kind<'_>>,
        region: Option<&str>,
    ) -> Option<&'static str> {
        let misses = |set: &BTreeSet<String>, value: Option<&str>| {
            !set.is_empty() && value.is_some_and(|value| !set.contains(value))
        };
        if self.kinds.is_empty() && kind == Some(Kind::Digest) {
            return Some("digest file");
        }
        if misses(&self.kinds, kind.as_ref().map(Kind::as_str)) {
            return Some("of a kind not asked for");
        }
        if misses(&self.accounts, account) {
            return Some("of an account not asked for");
        }
        if misses(&self.regions, region) {
            return Some("of a region not asked for");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::log_key::tests::keys;
    use super::*;
    use crate::key::LogKey;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    const DAY: &str = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02/";
    const NAME: &str = "111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

    #[test]
    fn a_range_of_times_is_half_open() {
        let key = format!("{DAY}{NAME}");
        let time = at("2024-01-02T03:05:00Z");
        let later = at("2024-01-02T03:05:01Z");
        let new = KeyFilter::new;
        assert_eq!(new().since(time).admit(&key), Admission::Take);
        assert_eq!(new().until(later).admit(&key), Admission::Take);
        assert!(matches!(new().since(later).admit(&key), Admission::Skip(_)));
        assert!(matches!(new().until(time).admit(&key), Admission::Skip(_)));
        // The name alone says as much.
        assert!(matches!(new().until(time).admit(NAME), Admission::Skip(_)));
    }

    #[test]
    fn what_a_key_does_not_say_does_not_leave_it_out() {
        let filter = KeyFilter::new()
            .accounts(["999999999999"])
            .regions(["eu-west-1"])
            .since(at("2024-01-05T00:00:00Z"));
        assert_eq!(
            filter.admit("records/1_05.json"),
            Admission::TakeWithoutTime
        );
        assert_eq!(KeyFilter::new().admit("records/1_05.json"), Admission::Take);
        let misnamed = format!("{DAY}renamed.json.gz");
        assert!(
            matches!(filter.admit(&misnamed), Admission::Skip(_)),
            "its folders say account and region"
        );
        let since = |text| KeyFilter::new().since(at(text)).admit(&misnamed);
        assert_eq!(since("2024-01-02T23:00:00Z"), Admission::TakeWithoutTime);
        assert_eq!(since("2024-01-03T00:30:00Z"), Admission::TakeWithoutTime);
        assert!(matches!(since("2024-01-05T00:00:00Z"), Admission::Skip(_)));
    }

    #[test]
    fn digests_and_other_services_are_left_out_unless_asked_for() {
        let digest = "AWSLogs/111122223333/CloudTrail-Digest/us-east-1/2024/01/02/111122223333_CloudTrail-Digest_us-east-1_my_trail_us-east-1_20240102T030405Z.json.gz";
        assert_eq!(
            KeyFilter::new().admit(digest),
            Admission::Skip("digest file")
        );
        assert_eq!(
            KeyFilter::new().kinds([Kind::Digest]).admit(digest),
            Admission::Take
        );
        let config = "AWSLogs/111122223333/Config/us-east-1/2024/1/2/x.json.gz";
        assert!(matches!(KeyFilter::new().admit(config), Admission::Skip(_)));
        assert!(matches!(
            KeyFilter::new().admit(DAY),
            Admission::Skip("folder object")
        ));
        assert!(matches!(
            KeyFilter::new()
                .kinds([Kind::Insight])
                .admit(&format!("{DAY}{NAME}")),
            Admission::Skip(_)
        ));
    }

    proptest! {
        #[test]
        fn a_key_passes_the_filter_that_it_describes(text in keys()) {
            let key = LogKey::parse(&text).unwrap();
            let time = key.file.timestamp();
            let filter = KeyFilter::new()
                .accounts([key.file.account])
                .regions([key.file.region])
                .kinds([key.file.kind])
                .since(time);
            prop_assert_eq!(filter.admit(&text), Admission::Take);
            prop_assert!(matches!(filter.until(time).admit(&text), Admission::Skip(_)));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let filter = KeyFilter::new().since(at("2024-01-05T00:00:00Z")).accounts(["1"]);
            let _ = filter.admit(&text);
        }
    }
}
