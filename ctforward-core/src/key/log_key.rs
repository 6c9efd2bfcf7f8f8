//! A whole key.

use std::fmt;

use jiff::civil::Date;

use super::file_name::FileName;
use super::kind::Kind;
use super::part::{ROOT, date, is_account, is_organisation, is_region};

/// The key of a log file or digest, in parts.
///
/// The folders and the file's name repeat account, kind and region; both are
/// kept, and need not agree (a copied file stays what its name says it is).
/// A key that parses prints as it was.
///
/// ```
/// use ctforward_core::key::{Kind, LogKey};
///
/// let text = "logs/AWSLogs/o-a1b2c3d4e5/111122223333/CloudTrail/us-east-2/2015/08/01/\
///             111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz";
/// let key = LogKey::parse(text).expect("a log file's key");
/// assert_eq!(key.prefix, Some("logs"));
/// assert_eq!(key.organisation, Some("o-a1b2c3d4e5"));
/// assert_eq!((key.account, key.kind, key.region), ("111122223333", Kind::CloudTrail, "us-east-2"));
/// assert_eq!(key.date.to_string(), "2015-08-01");
/// assert_eq!(key.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct LogKey<'k> {
    /// What comes before `AWSLogs`, without the `/` between; any text, `/` included.
    pub prefix: Option<&'k str>,
    /// The organisation (`o-…`), where an organisation's trail wrote the file.
    pub organisation: Option<&'k str>,
    /// The account's folder, 12 digits.
    pub account: &'k str,
    /// The kind's folder.
    pub kind: Kind<'k>,
    /// The region's folder; not checked against a list.
    pub region: &'k str,
    /// The day's folders, in UTC.
    pub date: Date,
    /// The file's name.
    pub file: FileName<'k>,
}

impl<'k> LogKey<'k> {
    /// Takes a key apart; `None` if it does not have the layout.
    #[must_use]
    pub fn parse(key: &'k str) -> Option<Self> {
        // From the right: the layout has a fixed number of parts there, and the
        // prefix, which may hold anything, even `AWSLogs/`, is what is left.
        let (rest, file) = key.rsplit_once('/')?;
        let file = FileName::parse(file)?;
        let (rest, day) = rest.rsplit_once('/')?;
        let (rest, month) = rest.rsplit_once('/')?;
        let (rest, year) = rest.rsplit_once('/')?;
        let date = date(year, month, day)?;
        let (rest, region) = rest.rsplit_once('/')?;
        let (rest, kind) = rest.rsplit_once('/')?;
        let kind = Kind::parse(kind)?;
        let (rest, account) = rest.rsplit_once('/')?;
        if !is_region(region) || !is_account(account) {
            return None;
        }
        let (rest, organisation) = match rest.rsplit_once('/') {
            Some((rest, last)) if is_organisation(last) => (rest, Some(last)),
            _ => (rest, None),
        };
        let prefix = match rest.strip_suffix(ROOT)? {
            "" => None,
            prefix => Some(prefix.strip_suffix('/')?),
        };
        Some(Self {
            prefix,
            organisation,
            account,
            kind,
            region,
            date,
            file,
        })
    }

    /// The key under which CloudTrail would put `file`; `None` if `organisation` is none.
    ///
    /// ```
    /// use ctforward_core::key::{FileName, LogKey};
    ///
    /// let file = FileName::parse("111122223333_CloudTrail_eu-west-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz")
    ///     .expect("a log file's name");
    /// let key = LogKey::of(None, None, file).expect("a key");
    /// assert_eq!(
    ///     key.to_string(),
    ///     format!("AWSLogs/111122223333/CloudTrail/eu-west-1/2024/01/02/{file}")
    /// );
    /// ```
    #[must_use]
    pub fn of(
        prefix: Option<&'k str>,
        organisation: Option<&'k str>,
        file: FileName<'k>,
    ) -> Option<Self> {
        organisation.is_none_or(is_organisation).then_some(Self {
            prefix,
            organisation,
            account: file.account,
            kind: file.kind,
            region: file.region,
            date: file.time.date(),
            file,
        })
    }
}

/// The key, exactly as it was parsed.
impl fmt::Display for LogKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [self.prefix, Some(ROOT), self.organisation]
            .into_iter()
            .flatten()
        {
            write!(f, "{part}/")?;
        }
        let (year, month, day) = (self.date.year(), self.date.month(), self.date.day());
        write!(
            f,
            "{}/{}/{}/{year:04}/{month:02}/{day:02}/{}",
            self.account, self.kind, self.region, self.file
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::file_name::tests::names;
    use super::*;

    /// Keys with prefixes of all sorts, valid by construction.
    pub(in crate::key) fn keys() -> impl Strategy<Value = String> {
        let prefix = prop_oneof![
            Just(String::new()),
            "([a-zA-Z0-9_.=-]{0,8}/){1,3}",
            "(AWSLogs/|111122223333/|CloudTrail/|o-ab12/|2024/){1,6}",
            any::<String>().prop_map(|s| s + "/"),
        ];
        (
            prefix,
            prop::option::of("o-[a-z0-9]{10,32}"),
            "[0-9]{12}/CloudTrail(|-Digest|-Insight|-NetworkActivity|-Aggregated|-New)/[a-z]{2}-[a-z]{4,9}-[1-9]/(19|20)[0-9]{2}/(0[1-9]|1[0-2])/(0[1-9]|1[0-9]|2[0-8])/",
            names(),
        )
            .prop_map(|(prefix, organisation, folders, name)| {
                let organisation = organisation.map(|o| o + "/").unwrap_or_default();
                format!("{prefix}AWSLogs/{organisation}{folders}{name}")
            })
    }

    const FILE: &str = "111122223333_CloudTrail_us-east-1_20240102T0305Z_A1b2C3d4E5f6G7h8.json.gz";

    #[test]
    fn a_prefix_may_look_like_the_layout() {
        let inner = "AWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02";
        let key = format!("{inner}/{inner}/{FILE}");
        let parsed = LogKey::parse(&key).unwrap();
        assert_eq!(parsed.prefix, Some(inner));
        assert_eq!(parsed.to_string(), key);

        let key = format!("/{inner}/{FILE}");
        assert_eq!(LogKey::parse(&key).unwrap().prefix, Some(""));
        let key = format!("a//{inner}/{FILE}");
        assert_eq!(LogKey::parse(&key).unwrap().prefix, Some("a/"));
        let key = format!("o-abc/{inner}/{FILE}");
        let parsed = LogKey::parse(&key).unwrap();
        assert_eq!((parsed.prefix, parsed.organisation), (Some("o-abc"), None));
    }

    #[test]
    fn what_is_off_the_layout_is_none() {
        for folders in [
            "AWSLogs/111122223333/CloudTrail/us-east-1/2024/02/30",
            "AWSLogs/111122223333/CloudTrail/us-east-1/2024/1/02",
            "AWSLogs/111122223333/Config/us-east-1/2024/01/02",
            "AWSLogs/o-A/111122223333/CloudTrail/us-east-1/2024/01/02",
            "xAWSLogs/111122223333/CloudTrail/us-east-1/2024/01/02",
            "111122223333/CloudTrail/us-east-1/2024/01/02",
            "AWSLogs/1111/CloudTrail/us-east-1/2024/01/02",
            "",
        ] {
            assert_eq!(
                LogKey::parse(&format!("{folders}/{FILE}")),
                None,
                "{folders}"
            );
        }
        assert_eq!(LogKey::parse(FILE), None);
    }

    #[test]
    fn a_made_key_takes_no_bad_organisation() {
        let file = FileName::parse(FILE).unwrap();
        assert!(LogKey::of(Some("a/b"), Some("o-abc"), file).is_some());
        assert!(LogKey::of(None, Some("x/y"), file).is_none());
    }

    proptest! {
        #[test]
        fn every_key_comes_back_as_it_was(text in keys()) {
            let key = LogKey::parse(&text);
            prop_assert_eq!(key.map(|k| k.to_string()), Some(text));
        }

        #[test]
        fn a_made_key_parses_to_itself(
            prefix in prop::option::of(any::<String>()),
            organisation in prop::option::of("o-[a-z0-9]{10,32}"),
            name in names(),
        ) {
            let file = FileName::parse(&name).unwrap();
            let key = LogKey::of(prefix.as_deref(), organisation.as_deref(), file).unwrap();
            let text = key.to_string();
            prop_assert_eq!(LogKey::parse(&text), Some(key));
        }

        #[test]
        fn whatever_parses_prints_as_it_was(
            text in keys(), at in any::<prop::sample::Index>(), with in any::<char>(),
        ) {
            let mut damaged: Vec<char> = text.chars().collect();
            let at = at.index(damaged.len());
            damaged[at] = with;
            let damaged: String = damaged.into_iter().collect();
            if let Some(key) = LogKey::parse(&damaged) {
                prop_assert_eq!(key.to_string(), damaged);
            }
        }
    }
}
