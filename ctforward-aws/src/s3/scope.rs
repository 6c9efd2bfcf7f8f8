//! What is asked for: which folders are entered, and which keys are wanted.
//!
//! Decisions are by position in the key layout, and the same for a folder as for
//! every key in it, so that leaving a folder out never loses a wanted key.

use std::collections::BTreeSet;

use ctforward_core::key::{FileName, Folder, Kind, Level};
use ctforward_core::{Error, ErrorKind, Result};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use crate::error::ORIGIN;

/// What to do with a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Leave it out.
    Prune,
    /// List its folders and judge each.
    Folders,
    /// List everything below it.
    Flat {
        start_after: Option<String>,
        stop_at: Option<String>,
    },
}

/// What to do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Yes,
    /// Wanted, though a time was asked for and its key carries none.
    WithoutTime,
    /// Its own time is not within what was asked for.
    OutOfTime,
}

/// What narrows a run; empty sets narrow nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) accounts: BTreeSet<String>,
    pub(crate) regions: BTreeSet<String>,
    /// Names of the folders of the kinds asked for.
    pub(crate) kinds: BTreeSet<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

impl Scope {
    pub(crate) fn narrows(&self) -> bool {
        self.timed()
            || !self.accounts.is_empty()
            || !self.regions.is_empty()
            || !self.kinds.is_empty()
    }

    fn timed(&self) -> bool {
        self.since.is_some() || self.until.is_some()
    }

    /// What to do with `folder`, which is empty or ends in `/`.
    pub(crate) fn step(&self, folder: &str) -> Step {
        let all = Step::Flat {
            start_after: None,
            stop_at: None,
        };
        if !self.narrows() {
            return all;
        }
        let place = Folder::parse(folder);
        if !self.enters(&place) {
            return Step::Prune;
        }
        if place.region.is_some() {
            let base = region_base(folder);
            return Step::Flat {
                start_after: self.first_day().map(|day| format!("{base}{day}")),
                stop_at: self.day_past().map(|day| format!("{base}{day}")),
            };
        }
        if place.level == Level::Kind && self.regions.is_empty() && !self.timed() {
            // Nothing below can be left out any more.
            return all;
        }
        Step::Folders
    }

    pub(crate) fn enters(&self, place: &Folder<'_>) -> bool {
        // What the path has not named yet rules nothing out.
        let asked = |set: &BTreeSet<String>, name: Option<&str>| {
            set.is_empty() || name.is_none_or(|name| set.contains(name))
        };
        place.level != Level::OtherService
            && asked(&self.accounts, place.account)
            && asked(&self.kinds, place.kind.as_ref().map(Kind::as_str))
            && asked(&self.regions, place.region)
    }

    /// What to do with a key in a folder that was entered.
    pub(crate) fn want(&self, key: &str) -> Want {
        if !self.timed() {
            return Want::Yes;
        }
        let name = key.rsplit('/').next().unwrap_or(key);
        match FileName::parse(name).map(|name| name.timestamp()) {
            None => Want::WithoutTime,
            Some(time) if self.within(time) => Want::Yes,
            Some(_) => Want::OutOfTime,
        }
    }

    fn within(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// Keys of this day sort after it: one day before `since`, to be safe.
    fn first_day(&self) -> Option<String> {
        folder_of(day(self.since?).checked_sub(Span::new().days(1)).ok()?)
    }

    /// The first day of which no key is wanted: one whole day after the last.
    fn day_past(&self) -> Option<String> {
        folder_of(day(self.until?).checked_add(Span::new().days(2)).ok()?)
    }

    /// Whether the settings make sense together.
    pub(crate) fn check(&self, prefix: &str) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Config, ORIGIN, why));
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return refuse(format!("since ({since}) is not before until ({until})"));
        }
        let folder = prefix.rfind('/').map_or("", |at| &prefix[..=at]);
        if self.step(folder) == Step::Prune {
            return refuse(format!(
                "the prefix {} lies outside the accounts, regions and kinds asked for, or in a \
                 folder of another service",
                ctforward_core::text::printable(prefix)
            ));
        }
        Ok(())
    }
}

/// The path of the region's folder that `folder` is or lies in.
fn region_base(folder: &str) -> &str {
    let ends = folder.rmatch_indices('/').map(|(at, _)| &folder[..=at]);
    let region = |path: &&str| Folder::parse(path).level == Level::Region;
    ends.clone().find(region).unwrap_or(folder)
}

/// The day in UTC.
pub(crate) fn day(time: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(time).date()
}

/// `YYYY/MM/DD`; `None` outside the years the layout can write, where nothing is bounded.
pub(crate) fn folder_of(day: Date) -> Option<String> {
    let (year, month, day) = (day.year(), day.month(), day.day());
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}/{month:02}/{day:02}"))
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
