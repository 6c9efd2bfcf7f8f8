//! Counting values without holding all of them.

use std::collections::HashMap;

use ctforward_core::text::printable;
use serde_json::{Value, json};

/// Distinct values that are held by name; those met later are counted together.
const HELD: usize = 10_000;

/// A longer value is held up to here, so that values bound memory too.
const LONGEST: usize = 256;

/// How often each value of a field was met.
#[derive(Debug, Default)]
pub struct Tally {
    held: HashMap<Box<str>, u64>,
    /// Records whose value came when no more could be held.
    beyond: u64,
    /// Records without the field.
    absent: u64,
}

/// The most frequent values, and what is left.
#[derive(Debug, PartialEq, Eq)]
pub struct Top<'t> {
    pub rows: Vec<(&'t str, u64)>,
    /// Records of all other values.
    pub other: u64,
    /// Distinct values among `other`, as far as they were held.
    pub other_values: usize,
}

impl Tally {
    pub fn add(&mut self, value: Option<&str>) {
        let Some(value) = value else {
            self.absent += 1;
            return;
        };
        let value = held_form(value);
        if let Some(count) = self.held.get_mut(&*value) {
            *count += 1;
        } else if self.held.len() < HELD {
            self.held.insert(value.into(), 1);
        } else {
            self.beyond += 1;
        }
    }

    pub fn absent(&self) -> u64 {
        self.absent
    }

    /// Whether values were met that could not be held by name.
    pub fn is_full(&self) -> bool {
        self.beyond > 0
    }

    /// The `n` most frequent values, those of equal count by name.
    pub fn top(&self, n: usize) -> Top<'_> {
        let mut rows: Vec<(&str, u64)> = self.held.iter().map(|(k, v)| (&**k, *v)).collect();
        rows.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let rest = rows.split_off(n.min(rows.len()));
        Top {
            rows,
            other: self.beyond + rest.iter().map(|(_, count)| count).sum::<u64>(),
            other_values: rest.len(),
        }
    }

    pub fn json(&self, n: usize) -> Value {
        let top = self.top(n);
        let rows: Vec<Value> = top
            .rows
            .iter()
            .map(|(value, count)| json!({"value": value, "count": count}))
            .collect();
        json!({"top": rows, "other": top.other, "absent": self.absent})
    }
}

/// The value, cut where it is too long to be held.
fn held_form(value: &str) -> std::borrow::Cow<'_, str> {
    if value.len() <= LONGEST {
        return value.into();
    }
    let mut end = LONGEST;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &value[..end]).into()
}

/// The JSON of a value in one line, with everything that could steer a terminal
/// written as `\u…`: it means the same, and is safe to look at.
pub fn safe_json(value: &Value) -> String {
    let json = value.to_string();
    let mut out = String::with_capacity(json.len());
    let mut buffer = [0; 4];
    for c in json.chars() {
        let steers = (!c.is_ascii() || c == '\x7f')
            && printable(c.encode_utf8(&mut buffer)).starts_with('\\');
        if steers {
            // Such characters stand in texts only, and all of them are below U+10000.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_the_rest_is_other() {
        let mut tally = Tally::default();
        for value in ["a", "b", "b", "c", "c", "d"] {
            tally.add(Some(value));
        }
        tally.add(None);
        let top = tally.top(2);
        assert_eq!(top.rows, [("b", 2), ("c", 2)]);
        assert_eq!((top.other, top.other_values), (2, 2));
        assert_eq!(tally.absent(), 1);
        assert_eq!(tally.top(9).rows.len(), 4);
        assert!(!tally.is_full());
    }

    #[test]
    fn what_is_held_is_bounded_in_number_and_length() {
        let mut tally = Tally::default();
        for n in 0..HELD + 500 {
            tally.add(Some(&n.to_string()));
        }
        tally.add(Some("0"));
        assert_eq!(tally.held.len(), HELD);
        assert_eq!(tally.top(1).rows, [("0", 2)]);
        assert_eq!(tally.top(HELD).other, 500);
        assert!(tally.is_full());
        let mut tally = Tally::default();
        tally.add(Some(&"ü".repeat(1 << 20)));
        let longest = tally.held.keys().map(|value| value.len()).max();
        assert!(longest.unwrap() <= LONGEST + "…".len());
    }

    #[test]
    fn json_keeps_every_value_and_steers_nothing() {
        let value = json!({"日本": "a\x1b[2J\u{202e}\u{9b}\x7f\u{2028}ü\n"});
        let text = safe_json(&value);
        assert!(
            !text.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{text}"
        );
        assert!(text.contains("日本") && text.contains('ü'));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
