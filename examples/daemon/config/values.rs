use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::keys::Kind;
use super::problem::{Place, Problems};

/// A value that is of its key's kind.
#[derive(Clone, Debug)]
pub enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    Decimal(f64),
    List(Vec<String>),
    Address(SocketAddr),
}

/// What was set, by section and key.
#[derive(Debug, Default)]
pub struct Values {
    map: BTreeMap<(String, String), (Value, Place)>,
    /// Keys that something was said of, good or not.
    given: BTreeSet<(String, String)>,
    /// The sources that the file names, and where.
    pub sources: BTreeMap<String, Place>,
}

impl Values {
    pub fn set(&mut self, section: &str, key: &str, value: Value, place: Place) {
        let at = (section.to_owned(), key.to_owned());
        self.map.insert(at, (value, place));
    }

    /// Something is said of a key, whether or not it can be meant.
    pub fn say(&mut self, section: &str, key: &str) {
        self.given.insert((section.to_owned(), key.to_owned()));
    }

    /// Whether something is said of a key: then it is not missing.
    pub fn given(&self, section: &str, key: &str) -> bool {
        self.given.contains(&(section.to_owned(), key.to_owned()))
    }

    /// Where a key is set; in the file where it is not.
    pub fn place(&self, section: &str, key: &str) -> Place {
        self.found(section, key)
            .map_or(Place::File, |(_, place)| place.clone())
    }

    pub fn has(&self, section: &str, key: &str) -> bool {
        self.found(section, key).is_some()
    }

    fn found(&self, section: &str, key: &str) -> Option<&(Value, Place)> {
        self.map.get(&(section.to_owned(), key.to_owned()))
    }

    pub fn text(&self, section: &str, key: &str) -> Option<String> {
        match self.found(section, key)? {
            (Value::Text(text), _) => Some(text.clone()),
            _ => None,
        }
    }

    pub fn flag(&self, section: &str, key: &str) -> bool {
        matches!(self.found(section, key), Some((Value::Flag(true), _)))
    }

    pub fn number(&self, section: &str, key: &str) -> Option<u64> {
        match self.found(section, key)? {
            (Value::Number(number), _) => Some(*number),
            _ => None,
        }
    }

    pub fn decimal(&self, section: &str, key: &str) -> Option<f64> {
        match self.found(section, key)? {
            (Value::Decimal(number), _) => Some(*number),
            _ => None,
        }
    }

    pub fn list(&self, section: &str, key: &str) -> Vec<String> {
        match self.found(section, key) {
            Some((Value::List(list), _)) => list.clone(),
            _ => Vec::new(),
        }
    }

    pub fn address(&self, section: &str, key: &str) -> Option<SocketAddr> {
        match self.found(section, key)? {
            (Value::Address(address), _) => Some(*address),
            _ => None,
        }
    }
}

/// A text as its key's kind; `None`, and a problem, where it is none.
pub fn of_text(
    kind: Kind,
    text: &str,
    place: &Place,
    key: &str,
    problems: &mut Problems,
) -> Option<Value> {
    let value = match kind {
        Kind::Text => (!text.is_empty()).then(|| Value::Text(text.to_owned())),
        Kind::Flag => text.parse().ok().map(Value::Flag),
        Kind::Number(least, most) => {
            let number = text.parse().ok();
            let number = number.filter(|number| (least..=most).contains(number));
            number.map(Value::Number)
        }
        Kind::Decimal => {
            let number = text.parse().ok();
            let number = number.filter(|number: &f64| number.is_finite() && *number > 0.0);
            number.map(Value::Decimal)
        }
        Kind::OneOf(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        Kind::List => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            Some(Value::List(parts.map(str::to_owned).collect()))
        }
        Kind::Address => text.parse().ok().map(Value::Address),
    };
    if value.is_none() {
        problems.add(place.clone(), key, format!("must be {}", kind.allowed()));
    }
    value
}
