//! A folder on the way to log files: what a lister needs to know before it descends.

use jiff::civil::Date;

use super::kind::Kind;
use super::part::{ROOT, is_account, is_organisation, is_region, narrow, number};

/// How deep in the layout a folder lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// No `AWSLogs` on the way yet; a root may lie anywhere below.
    Outside,
    /// `AWSLogs/`.
    Root,
    /// `o-…/`.
    Organisation,
    /// `<account>/`.
    Account,
    /// `<kind>/`, such as `CloudTrail/`.
    Kind,
    /// `<region>/`.
    Region,
    /// `YYYY/`.
    Year,
    /// `MM/`.
    Month,
    /// `DD/`: here lie files.
    Day,
    /// The folder of another service in an account, or below it.
    OtherService,
    /// Below a folder of the layout, but not where the layout goes on.
    /// Anything may lie here, even another root.
    Off,
}

/// Where a folder lies in the layout, and what its path says so far.
///
/// A part is `None` until the path has named it: a lister that wants certain
/// accounts, kinds, regions or days descends unless a named part rules it out.
///
/// The last `AWSLogs` of the path counts. A trail whose own prefix looks like
/// another part of the layout (`AWSLogs/111122223333/Config/AWSLogs/…`) is not
/// reached by a walk that leaves that part out: a lister should report which
/// folders it left out.
///
/// ```
/// use ctforward_core::key::{Folder, Kind, Level};
///
/// let folder = Folder::parse("logs/AWSLogs/111122223333/CloudTrail/eu-west-1/2024/02/");
/// assert_eq!(folder.level, Level::Month);
/// assert_eq!(folder.account, Some("111122223333"));
/// assert_eq!((folder.kind, folder.region), (Some(Kind::CloudTrail), Some("eu-west-1")));
/// let (first, last) = folder.days.expect("the days of the month");
/// assert_eq!((first.to_string(), last.to_string()), ("2024-02-01".into(), "2024-02-29".into()));
///
/// let folder = Folder::parse("AWSLogs/111122223333/vpcflowlogs/");
/// assert_eq!((folder.level, folder.service), (Level::OtherService, Some("vpcflowlogs")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Folder<'k> {
    /// How deep it lies.
    pub level: Level,
    /// What comes before `AWSLogs`, without the `/` between.
    pub prefix: Option<&'k str>,
    /// The organisation (`o-…`).
    pub organisation: Option<&'k str>,
    /// The account, 12 digits.
    pub account: Option<&'k str>,
    /// The kind of CloudTrail files.
    pub kind: Option<Kind<'k>>,
    /// The region.
    pub region: Option<&'k str>,
    /// The first and last day of delivery (UTC) of the files below, from the year on.
    pub days: Option<(Date, Date)>,
    /// The name of another service's folder.
    pub service: Option<&'k str>,
}

impl<'k> Folder<'k> {
    /// Says where the folder with this path lies; its last `/` may be left out.
    #[must_use]
    pub fn parse(path: &'k str) -> Self {
        let mut folder = Self {
            level: Level::Outside,
            prefix: None,
            organisation: None,
            account: None,
            kind: None,
            region: None,
            days: None,
            service: None,
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        let Some((prefix, below)) = split_at_root(path) else {
            return folder;
        };
        folder.prefix = prefix;
        folder.level = Level::Root;
        for part in below.into_iter().flat_map(|below| below.split('/')) {
            folder.enter(part);
        }
        folder
    }

    /// One folder further down.
    fn enter(&mut self, part: &'k str) {
        self.level = match self.level {
            Level::Root if is_organisation(part) => {
                self.organisation = Some(part);
                Level::Organisation
            }
            Level::Root | Level::Organisation if is_account(part) => {
                self.account = Some(part);
                Level::Account
            }
            Level::Account => {
                self.kind = Kind::parse(part);
                if self.kind.is_some() {
                    Level::Kind
                } else {
                    self.service = Some(part);
                    Level::OtherService
                }
            }
            Level::Kind if is_region(part) => {
                self.region = Some(part);
                Level::Region
            }
            Level::Region | Level::Year | Level::Month => match self.days_of(part) {
                Some((level, first, last)) => {
                    self.days = Some((first, last));
                    level
                }
                None => Level::Off,
            },
            Level::OtherService => Level::OtherService,
            _ => Level::Off,
        };
    }

    /// The level and the days of the year, month or day folder `part` in this folder.
    fn days_of(&self, part: &str) -> Option<(Level, Date, Date)> {
        let Some((above, _)) = self.days else {
            let first = Date::new(number(part, 4)?, 1, 1).ok()?;
            return Some((Level::Year, first, first.last_of_year()));
        };
        if self.level == Level::Year {
            let first = Date::new(above.year(), narrow(part)?, 1).ok()?;
            return Some((Level::Month, first, first.last_of_month()));
        }
        let day = Date::new(above.year(), above.month(), narrow(part)?).ok()?;
        Some((Level::Day, day, day))
    }

    /// Whether files delivered on `day` (UTC) may lie in the folder or below it.
    #[must_use]
    pub fn may_hold(&self, day: Date) -> bool {
        self.days
            .is_none_or(|(first, last)| (first..=last).contains(&day))
    }
}

/// What comes before and behind the last `AWSLogs` of a path.
fn split_at_root(path: &str) -> Option<(Option<&str>, Option<&str>)> {
    let mut end = path.len();
    for part in path.rsplit('/') {
        let start = end - part.len();
        if part == ROOT {
            let prefix = start.checked_sub(1).and_then(|slash| path.get(..slash));
            return Some((prefix, path.get(end + 1..)));
        }
        end = start.saturating_sub(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::log_key::tests::keys;
    use super::*;
    use crate::key::LogKey;

    #[test]
    fn each_level_of_the_way() {
        let path = "p/AWSLogs/o-a1/111122223333/CloudTrail-Insight/us-gov-west-1/2023/12/31/";
        let levels: Vec<_> = path
            .char_indices()
            .filter(|(_, c)| *c == '/')
            .map(|(at, _)| Folder::parse(&path[..=at]).level)
            .collect();
        assert_eq!(
            levels,
            [
                Level::Outside,
                Level::Root,
                Level::Organisation,
                Level::Account,
                Level::Kind,
                Level::Region,
                Level::Year,
                Level::Month,
                Level::Day
            ]
        );
        let folder = Folder::parse(path);
        assert_eq!(folder.prefix, Some("p"));
        assert_eq!(folder.organisation, Some("o-a1"));
        assert_eq!(folder.kind, Some(Kind::Insight));
        assert_eq!(Folder::parse(path.trim_end_matches('/')), folder);
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert!(folder.may_hold(day("2023-12-31")));
        assert!(!folder.may_hold(day("2024-01-01")));
        let year = Folder::parse("AWSLogs/111122223333/CloudTrail/us-gov-west-1/2023/");
        assert_eq!(year.days, Some((day("2023-01-01"), day("2023-12-31"))));
        assert!(Folder::parse("AWSLogs/").may_hold(day("2023-12-31")));
    }

    #[test]
    fn what_leaves_the_layout_is_off_and_keeps_what_is_known() {
        for (path, level) in [
            ("", Level::Outside),
            ("/", Level::Outside),
            ("a/xAWSLogs/", Level::Outside),
            ("AWSLogs/backup/", Level::Off),
            ("AWSLogs//", Level::Off),
            ("AWSLogs/backup/AWSLogs/", Level::Root),
            ("AWSLogs/111122223333/CloudTrail/backup/", Level::Off),
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2024/13/",
                Level::Off,
            ),
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2023/02/29/",
                Level::Off,
            ),
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2023/02/28/x/",
                Level::Off,
            ),
            (
                "AWSLogs/111122223333/CloudTrail/us-east-1/2023/02/28/x/y/",
                Level::Off,
            ),
            (
                "AWSLogs/111122223333/CloudTrail-Lake/Query/",
                Level::OtherService,
            ),
            (
                "AWSLogs/111122223333/Config/us-east-1/2024/",
                Level::OtherService,
            ),
        ] {
            assert_eq!(Folder::parse(path).level, level, "{path}");
        }
        let off = Folder::parse("AWSLogs/111122223333/CloudTrail/us-east-1/2023/13/");
        assert_eq!(
            (off.account, off.region),
            (Some("111122223333"), Some("us-east-1"))
        );
        assert_eq!(off.days.map(|d| d.0.year()), Some(2023));
    }

    proptest! {
        #[test]
        fn no_folder_above_a_key_rules_it_out(text in keys()) {
            let key = LogKey::parse(&text).unwrap();
            // A prefix may be anything, and its own folders may mislead; below the root nothing does.
            let below = key.prefix.map_or(0, |p| p.len() + 1);
            for (at, _) in text.match_indices('/').filter(|(at, _)| *at > below) {
                let folder = Folder::parse(&text[..=at]);
                prop_assert!(folder.level != Level::Off && folder.level != Level::Outside);
                prop_assert_eq!(folder.prefix, key.prefix);
                prop_assert!(folder.organisation.is_none() || folder.organisation == key.organisation);
                prop_assert!(folder.account.is_none_or(|a| a == key.account));
                prop_assert!(folder.kind.is_none_or(|k| k == key.kind));
                prop_assert!(folder.region.is_none_or(|r| r == key.region));
                prop_assert!(folder.may_hold(key.date));
                prop_assert_eq!(folder.service, None);
            }
        }

        #[test]
        fn no_path_makes_it_panic(path in any::<String>(), parts in "(AWSLogs|o-a|[0-9]{12}|CloudTrail|us-east-1|[0-9]{4}|[0-9]{2}|ü|/){0,12}") {
            let _ = Folder::parse(&path);
            let _ = Folder::parse(&parts);
        }
    }
}
