//! The times between which files and records are taken.

use ctforward_core::key::KeyFilter;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::Select;
use crate::console::Console;
use crate::failure::Failure;
use crate::times;

/// The times between which files and records are taken.
pub struct Window {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub event_since: Option<Timestamp>,
    pub event_until: Option<Timestamp>,
}

impl Window {
    /// Reads the four times, and says how those without a zone were taken.
    pub fn of(select: &Select, console: &Console, zone: &TimeZone) -> Result<Self, Failure> {
        let now = Timestamp::now();
        let read = |option: &'static str, text: &Option<String>| -> Result<_, Failure> {
            let Some(text) = text else { return Ok(None) };
            let given = times::time(option, text, now)?;
            let shown = times::show(given.at, zone);
            let how = if given.bare_date {
                " (a date alone is UTC)"
            } else {
                ""
            };
            console.line(&format!("note: {option} is {shown}{how}"));
            Ok(Some(given.at))
        };
        let window = Self {
            since: read("--since", &select.since)?,
            until: read("--until", &select.until)?,
            event_since: read("--event-since", &select.event_since)?,
            event_until: read("--event-until", &select.event_until)?,
        };
        let backwards = |since: Option<Timestamp>, until: Option<Timestamp>| matches!((since, until), (Some(since), Some(until)) if since >= until);
        if backwards(window.since, window.until) {
            return Err(Failure::usage("--since must be before --until"));
        }
        if backwards(window.event_since, window.event_until) {
            return Err(Failure::usage("--event-since must be before --event-until"));
        }
        Ok(window)
    }

    pub fn keys(&self, select: &Select) -> KeyFilter {
        let mut keys = KeyFilter::new();
        if !select.accounts.is_empty() {
            keys = keys.accounts(select.accounts.iter().cloned());
        }
        if !select.regions.is_empty() {
            keys = keys.regions(select.regions.iter().cloned());
        }
        if !select.kinds.is_empty() {
            keys = keys.kinds(select.kinds.iter().map(|kind| kind.kind()));
        }
        if let Some(since) = self.since {
            keys = keys.since(since);
        }
        if let Some(until) = self.until {
            keys = keys.until(until);
        }
        keys
    }
}
