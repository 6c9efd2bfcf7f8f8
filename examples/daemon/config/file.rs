//! From the text of the file to values, with the line of each.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, NO_SECRETS, SECRETS, SECTIONS, keys_of, listed};
use super::problem::{Place, Problems};
use super::values::{Value, Values, of_text};

/// What the text sets, as far as it can be understood.
pub fn values(text: &str, problems: &mut Problems) -> Values {
    let (root, errors) = DeTable::parse_recoverable(text);
    let lines = Lines(text);
    for error in errors {
        let place = error
            .span()
            .map_or(Place::File, |span| lines.place(span.start));
        // What the parser says of a value does not hold it.
        problems.add(place, "", format!("not TOML: {}", error.message()));
    }
    let mut reader = Reader {
        lines,
        values: Values::default(),
        problems,
    };
    for (name, value) in root.get_ref().iter() {
        reader.section(name, value);
    }
    reader.values
}

struct Lines<'t>(&'t str);

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.0.as_bytes().get(..offset).unwrap_or_default();
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        Place::Line(breaks + 1)
    }
}

struct Reader<'t, 'p> {
    lines: Lines<'t>,
    values: Values,
    problems: &'p mut Problems,
}

impl Reader<'_, '_> {
    fn section(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let place = self.lines.place(name.span().start);
        let name = name.get_ref().as_ref();
        let known = name == "source" || SECTIONS.iter().any(|(section, _)| *section == name);
        if !known {
            let what = if is_secret(name) {
                NO_SECRETS.to_owned()
            } else {
                let sections = listed(SECTIONS.iter().map(|(section, _)| *section));
                format!("there is no such section; there are {sections}, and source.NAME")
            };
            self.problems.add(place, name, what);
            return;
        }
        let Some(table) = value.get_ref().as_table() else {
            let what = if name == "source" {
                "must be sections of their own, each [source.NAME]"
            } else {
                "must be a section, with its keys below [it]"
            };
            self.problems.add(place, name, what);
            return;
        };
        if name != "source" {
            self.keys(name, table);
            return;
        }
        for (name, value) in table.iter() {
            self.source(name, value);
        }
    }

    fn source(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let place = self.lines.place(name.span().start);
        let name = name.get_ref().as_ref();
        let section = format!("source.{name}");
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 40 || !name.bytes().all(plain) {
            let what = "a source's name has 1 to 40 of a to z, 0 to 9 and -";
            self.problems.add(place, &section, what);
            return;
        }
        let Some(table) = value.get_ref().as_table() else {
            let what = "must be a section of its own, [source.NAME] with a type";
            self.problems.add(place, &section, what);
            return;
        };
        self.values.sources.insert(name.to_owned(), place);
        self.keys(&section, table);
    }

    fn keys(&mut self, section: &str, table: &DeTable<'_>) {
        let keys = keys_of(section).unwrap_or_default();
        for (name, value) in table.iter() {
            let place = self.lines.place(name.span().start);
            let name = name.get_ref().as_ref();
            let full = format!("{section}.{name}");
            match keys.iter().find(|key| key.name == name) {
                Some(key) => self.value(section, key, &full, value.get_ref(), place),
                None if is_secret(name) => self.problems.add(place, &full, NO_SECRETS),
                None => {
                    let keys = listed(keys.iter().map(|key| key.name));
                    let what = format!("there is no such key; there are {keys}");
                    self.problems.add(place, &full, what);
                }
            }
        }
    }

    fn value(&mut self, section: &str, key: &Key, full: &str, value: &DeValue<'_>, place: Place) {
        self.values.say(section, key.name);
        let kind = key.kind;
        let wrong = format!("must be {}", kind.allowed());
        let value = match (kind, value) {
            (Kind::List, DeValue::Array(list)) => {
                let texts = list.iter().map(|item| item.get_ref().as_str());
                let texts =
                    texts.map(|text| text.filter(|text| !text.is_empty()).map(str::to_owned));
                texts.collect::<Option<_>>().map(Value::List)
            }
            (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
            (Kind::Number(least, most), DeValue::Integer(number)) => {
                u64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .filter(|number| (least..=most).contains(number))
                    .map(Value::Number)
            }
            (Kind::Decimal, DeValue::Integer(number)) if number.radix() == 10 => {
                return self.text(section, key, full, number.as_str(), place);
            }
            (Kind::Decimal, DeValue::Float(number)) => {
                return self.text(section, key, full, number.as_str(), place);
            }
            (Kind::Text | Kind::OneOf(_) | Kind::Address, DeValue::String(text)) => {
                return self.text(section, key, full, text, place);
            }
            _ => None,
        };
        match value {
            Some(value) => self.values.set(section, key.name, value, place),
            None => self.problems.add(place, full, wrong),
        }
    }

    fn text(&mut self, section: &str, key: &Key, full: &str, text: &str, place: Place) {
        if let Some(value) = of_text(key.kind, text, &place, full, self.problems) {
            self.values.set(section, key.name, value, place);
        }
    }
}

/// Whether a name is one that somebody would give to a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SECRETS.contains(&name.as_str())
}
