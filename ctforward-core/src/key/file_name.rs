//! The name of a file without its folders.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::kind::Kind;
use super::part::{is_account, is_id, is_region, is_trail, time};

/// How a stored file is encoded, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `.json.gz`: as CloudTrail delivers it.
    Gzip,
    /// `.json`: as people keep it after unpacking.
    Plain,
}

impl Encoding {
    fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".json.gz",
            Self::Plain => ".json",
        }
    }
}

/// What only log files, or only digests, have in their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FilePart<'k> {
    /// A log file.
    #[non_exhaustive]
    Log {
        /// Keeps files of one minute apart (16 letters and digits as documented); has no meaning.
        id: &'k str,
    },
    /// A digest.
    #[non_exhaustive]
    Digest {
        /// The trail's name, which may hold `_`, `-` and `.`.
        trail: &'k str,
        /// The region the trail was made in; [`FileName::region`] is where the
        /// files it vouches for come from.
        home_region: &'k str,
        /// Whether the digest was made afterwards.
        backfill: bool,
    },
}

/// The name of a file that CloudTrail delivered, in parts.
///
/// - log files: `<account>_<kind>_<region>_<YYYYMMDDTHHmmZ>_<id>.json.gz`
/// - digests: `<account>_CloudTrail-Digest_<region>_<trail>_<home region>_<YYYYMMDDTHHmmssZ>[_backfill].json.gz`
///
/// Either may end in `.json` instead. A name that parses prints as it was.
///
/// ```
/// use ctforward_core::key::{FileName, Kind};
///
/// let text = "111122223333_CloudTrail_us-east-2_20150801T0210Z_Mu0KsOhtH1ar15ZZ.json.gz";
/// let name = FileName::parse(text).expect("a log file's name");
/// assert_eq!((name.account, name.kind, name.region), ("111122223333", Kind::CloudTrail, "us-east-2"));
/// assert_eq!(name.timestamp().to_string(), "2015-08-01T02:10:00Z");
/// assert_eq!(name.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct FileName<'k> {
    /// The account, 12 digits.
    pub account: &'k str,
    /// What the file holds.
    pub kind: Kind<'k>,
    /// The region, such as `us-gov-west-1`; not checked against a list.
    pub region: &'k str,
    /// In UTC: when a log file was delivered, to the minute; the end of what a
    /// digest covers, to the second.
    pub time: DateTime,
    /// The rest, which differs between log files and digests.
    pub part: FilePart<'k>,
    /// How the file is encoded.
    pub encoding: Encoding,
}

impl<'k> FileName<'k> {
    /// Takes a name apart; `None` if it fits neither form. A name with a `/` never fits.
    #[must_use]
    pub fn parse(name: &'k str) -> Option<Self> {
        let (stem, encoding) = [Encoding::Gzip, Encoding::Plain]
            .into_iter()
            .find_map(|e| Some((name.strip_suffix(e.suffix())?, e)))?;
        let (account, rest) = stem.split_once('_')?;
        let (kind, rest) = rest.split_once('_')?;
        let (region, rest) = rest.split_once('_')?;
        let kind = Kind::parse(kind)?;
        let (time, part) = match kind {
            Kind::Digest => digest_part(rest)?,
            _ => log_part(rest)?,
        };
        Self {
            account,
            kind,
            region,
            time,
            part,
            encoding,
        }
        .checked()
    }

    /// The name of a log file; `None` if a part cannot stand in a name, or
    /// `kind` is [`Kind::Digest`]. Seconds of `delivered` are cut off.
    #[must_use]
    pub fn log(
        account: &'k str,
        kind: Kind<'k>,
        region: &'k str,
        delivered: Timestamp,
        id: &'k str,
    ) -> Option<Self> {
        let time = Offset::UTC.to_datetime(delivered);
        let time = time.date().at(time.hour(), time.minute(), 0, 0);
        Self {
            account,
            kind,
            region,
            time,
            part: FilePart::Log { id },
            encoding: Encoding::Gzip,
        }
        .checked()
        .filter(|name| name.kind != Kind::Digest)
    }

    /// The name of a digest that ends at `end`; `None` if a part cannot stand in
    /// a name. Fractions of a second are cut off.
    #[must_use]
    pub fn digest(
        account: &'k str,
        region: &'k str,
        trail: &'k str,
        home_region: &'k str,
        end: Timestamp,
        backfill: bool,
    ) -> Option<Self> {
        let time = Offset::UTC.to_datetime(end);
        let time = time.date().at(time.hour(), time.minute(), time.second(), 0);
        Self {
            account,
            kind: Kind::Digest,
            region,
            time,
            part: FilePart::Digest {
                trail,
                home_region,
                backfill,
            },
            encoding: Encoding::Gzip,
        }
        .checked()
    }

    /// The same name with another encoding.
    #[must_use]
    pub fn with_encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// [`time`](Self::time) as an instant.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        // Fails only in the last hours of the year 9999, and no name with such a time is made.
        Offset::UTC
            .to_timestamp(self.time)
            .unwrap_or(Timestamp::MAX)
    }

    /// Whether the file is a digest, which holds no events.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        matches!(self.part, FilePart::Digest { .. })
    }

    fn checked(self) -> Option<Self> {
        let kind = Kind::parse(self.kind.as_str()) == Some(self.kind);
        let part = match self.part {
            FilePart::Log { id } => is_id(id),
            FilePart::Digest {
                trail, home_region, ..
            } => is_trail(trail) && is_region(home_region),
        };
        let time =
            (0..=9999).contains(&self.time.year()) && Offset::UTC.to_timestamp(self.time).is_ok();
        (kind && part && time && is_account(self.account) && is_region(self.region)).then_some(self)
    }
}

fn log_part(rest: &str) -> Option<(DateTime, FilePart<'_>)> {
    let (delivered, id) = rest.split_once('_')?;
    Some((time(delivered, false)?, FilePart::Log { id }))
}

/// From the right, because a trail's name may hold `_`.
fn digest_part(rest: &str) -> Option<(DateTime, FilePart<'_>)> {
    let (rest, backfill) = match rest.strip_suffix("_backfill") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (rest, end) = rest.rsplit_once('_')?;
    let (trail, home_region) = rest.rsplit_once('_')?;
    let part = FilePart::Digest {
        trail,
        home_region,
        backfill,
    };
    Some((time(end, true)?, part))
}

/// The name, exactly as it was parsed.
impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            kind,
            region,
            ..
        } = self;
        write!(f, "{account}_{kind}_{region}_")?;
        if let FilePart::Digest {
            trail, home_region, ..
        } = self.part
        {
            write!(f, "{trail}_{home_region}_")?;
        }
        let t = self.time;
        write!(
            f,
            "{:04}{:02}{:02}T{:02}{:02}",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute()
        )?;
        match self.part {
            FilePart::Log { id } => write!(f, "Z_{id}")?,
            FilePart::Digest { backfill, .. } => {
                let suffix = if backfill { "_backfill" } else { "" };
                write!(f, "{:02}Z{suffix}", t.second())?;
            }
        }
        f.write_str(self.encoding.suffix())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of every form, valid by construction.
    pub(in crate::key) fn names() -> impl Strategy<Value = String> {
        let region = "[a-z]{2,4}(-gov)?-[a-z]{2,9}-[1-9](-[a-z]{3}-1[a-z])?";
        let day =
            "(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3])[0-5][0-9]";
        let log = (
            "[0-9]{12}_CloudTrail(|-Insight|-NetworkActivity|-Aggregated|-New)_",
            region,
            day,
            "[A-Za-z0-9]{16}",
        )
            .prop_map(|(head, region, day, id)| format!("{head}{region}_{day}Z_{id}"));
        let digest = (
            "[0-9]{12}_CloudTrail-Digest_",
            region,
            "[A-Za-z0-9][A-Za-z0-9._-]{2,20}",
            region,
            day,
            "[0-5][0-9]Z(|_backfill)",
        )
            .prop_map(|(head, source, trail, home, day, tail)| {
                format!("{head}{source}_{trail}_{home}_{day}{tail}")
            });
        (prop_oneof![log, digest], "\\.json(\\.gz)?").prop_map(|(stem, end)| stem + &end)
    }

    #[test]
    fn a_digest_of_a_trail_with_underscores() {
        let text = "111122223333_CloudTrail-Digest_eu-west-1_my_trail-of_us-east-1_us-gov-west-1_20240102T030405Z_backfill.json.gz";
        let name = FileName::parse(text).unwrap();
        assert!(name.is_digest());
        assert_eq!(name.region, "eu-west-1");
        assert_eq!(
            name.part,
            FilePart::Digest {
                trail: "my_trail-of_us-east-1",
                home_region: "us-gov-west-1",
                backfill: true
            }
        );
        assert_eq!(name.timestamp().to_string(), "2024-01-02T03:04:05Z");
        assert_eq!(name.to_string(), text);
        let made = FileName::digest(
            "111122223333",
            "eu-west-1",
            "my_trail-of_us-east-1",
            "us-gov-west-1",
            name.timestamp(),
            true,
        );
        assert_eq!(made, Some(name));
    }

    #[test]
    fn a_log_name_is_made_and_checked() {
        let at: Timestamp = "2024-05-06T07:08:09Z".parse().unwrap();
        let log = |account, kind, region, id| FileName::log(account, kind, region, at, id);
        let name = log(
            "111122223333",
            Kind::Insight,
            "cn-north-1",
            "A1b2C3d4E5f6G7h8",
        )
        .unwrap();
        assert_eq!(
            name.with_encoding(Encoding::Plain).to_string(),
            "111122223333_CloudTrail-Insight_cn-north-1_20240506T0708Z_A1b2C3d4E5f6G7h8.json"
        );
        assert_eq!(log("1", Kind::CloudTrail, "cn-north-1", "A"), None);
        assert_eq!(log("111122223333", Kind::CloudTrail, "a/b-1", "A"), None);
        assert_eq!(
            log("111122223333", Kind::CloudTrail, "cn-north-1", "../x"),
            None
        );
        assert_eq!(log("111122223333", Kind::Digest, "cn-north-1", "A"), None);
        assert_eq!(
            log("111122223333", Kind::Other("x/y"), "cn-north-1", "A"),
            None
        );
        assert_eq!(
            log("111122223333", Kind::Other("CloudTrail"), "cn-north-1", "A"),
            None
        );
    }

    #[test]
    fn what_is_no_cloudtrail_name_is_none() {
        for bad in [
            "",
            ".json.gz",
            "111122223333_Config_us-east-1_ConfigHistory_AWS__EC2_20240101T000000Z_1.json.gz",
            "111122223333_CloudTrail_us-east-1_20240101T0000Z_.json.gz",
            "111122223333_CloudTrail_us-east-1_20240101T0000Z_A.json.gz.tmp",
            "111122223333_CloudTrail_us-east-1_20240101T0000Z_A_B.json.gz",
            "111122223333_CloudTrail-Digest_us-east-1_20240101T0000Z_A.json.gz",
            "111122223333_CloudTrail_us-east-1_99991231T2359Z_A.json.gz",
            "x/111122223333_CloudTrail_us-east-1_20240101T0000Z_A.json.gz",
        ] {
            assert_eq!(FileName::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_as_it_was(text in names()) {
            let name = FileName::parse(&text);
            prop_assert_eq!(name.map(|n| n.to_string()), Some(text));
        }

        #[test]
        fn whatever_parses_prints_as_it_was(
            text in names(), at in any::<prop::sample::Index>(), with in any::<char>(),
        ) {
            let mut damaged: Vec<char> = text.chars().collect();
            let at = at.index(damaged.len());
            damaged[at] = with;
            let damaged: String = damaged.into_iter().collect();
            if let Some(name) = FileName::parse(&damaged) {
                prop_assert_eq!(name.to_string(), damaged);
            }
        }
    }
}
