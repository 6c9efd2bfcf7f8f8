//! Of which days, accounts and regions files are.

use std::collections::BTreeMap;

use ctforward_core::Object;
use ctforward_core::key::{Folder, LogKey};
use jiff::civil::Date;

use super::survey::Tally;

/// A day, an account and a region, as far as a file's key names them.
///
/// The texts have the form of an account and a region, and are safe to print.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Place {
    /// The day's folder, in UTC.
    pub day: Option<Date>,
    /// The account's folder.
    pub account: Option<String>,
    /// The region's folder.
    pub region: Option<String>,
}

impl Place {
    /// Where a key lies in CloudTrail's layout.
    #[must_use]
    pub fn of(key: &str) -> Self {
        if let Some(key) = LogKey::parse(key) {
            return Self {
                day: Some(key.date),
                account: Some(key.account.to_owned()),
                region: Some(key.region.to_owned()),
            };
        }
        let folder = Folder::parse(key.rfind('/').map_or("", |at| &key[..=at]));
        Self {
            day: folder
                .days
                .and_then(|(first, last)| (first == last).then_some(first)),
            account: folder.account.map(str::to_owned),
            region: folder.region.map(str::to_owned),
        }
    }
}

/// Files by day, account and region; of so many of them at most, and the rest together.
#[derive(Clone, Debug)]
pub struct Missing {
    most: usize,
    places: BTreeMap<Place, Tally>,
    elsewhere: Tally,
}

impl Missing {
    /// Tells `most` places apart.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            places: BTreeMap::new(),
            elsewhere: Tally::default(),
        }
    }

    /// One more file.
    pub fn add(&mut self, object: &Object) {
        let place = Place::of(&object.id.key);
        let full = self.places.len() >= self.most && !self.places.contains_key(&place);
        let tally = if full {
            &mut self.elsewhere
        } else {
            self.places.entry(place).or_default()
        };
        tally.add(object.size);
    }

    /// The files of each place, the earliest day first; those whose key names no day
    /// before all.
    pub fn places(&self) -> impl ExactSizeIterator<Item = (&Place, &Tally)> {
        self.places.iter()
    }

    /// The files of all places that were one too many.
    #[must_use]
    pub fn elsewhere(&self) -> &Tally {
        &self.elsewhere
    }
}

#[cfg(test)]
mod tests {
    use ctforward_core::ObjectId;

    use super::*;

    #[test]
    fn files_are_told_apart_by_day_account_and_region_and_not_without_end() {
        let mut missing = Missing::new(3);
        for (account, region, day) in [
            ("111111111111", "us-east-1", "2026/03/02"),
            ("111111111111", "us-east-1", "2026/03/01"),
            ("111111111111", "us-east-1", "2026/03/02"),
            ("222222222222", "us-east-1", "2026/03/01"),
            ("222222222222", "eu-west-1", "2026/03/01"),
        ] {
            let key = format!("AWSLogs/{account}/CloudTrail/{region}/{day}/x.json.gz");
            missing.add(&Object::new(ObjectId::new("b", key)).with_size(5));
        }
        let found: Vec<(String, String, u64)> = missing
            .places()
            .map(|(place, tally)| {
                let day = place.day.map(|day| day.to_string()).unwrap_or_default();
                (day, place.account.clone().unwrap_or_default(), tally.files)
            })
            .collect();
        let row = |day: &str, account: &str, files| (day.to_owned(), account.to_owned(), files);
        assert_eq!(
            found,
            [
                row("2026-03-01", "111111111111", 1),
                row("2026-03-01", "222222222222", 1),
                row("2026-03-02", "111111111111", 2),
            ]
        );
        assert_eq!(
            (missing.elsewhere().files, missing.elsewhere().bytes),
            (1, 5)
        );
    }

    #[test]
    fn what_a_key_does_not_name_is_not_known() {
        assert_eq!(Place::of("x.json.gz"), Place::default());
        let month = Place::of("AWSLogs/111111111111/CloudTrail/us-east-1/2026/03/x.json.gz");
        assert_eq!(
            (month.day, month.region.as_deref()),
            (None, Some("us-east-1"))
        );
    }
}
