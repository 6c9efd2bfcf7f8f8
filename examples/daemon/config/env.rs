//! Environment variables that override keys of the file.

use std::collections::BTreeMap;

use super::keys::{NO_SECRETS, SECRETS, SECTIONS, keys_of, listed};
use super::problem::{Place, Problems};
use super::values::{Values, of_text};

/// What the name of each begins with.
pub const PREFIX: &str = "CTFORWARD_";

/// The variable that overrides a key: `CTFORWARD_PACE_CONCURRENCY`,
/// `CTFORWARD_SOURCE_LOGS_EU_PATH` of the source `logs-eu`.
pub fn variable(section: &str, key: &str) -> String {
    let name = format!("{PREFIX}{section}_{key}");
    name.to_ascii_uppercase().replace(['.', '-'], "_")
}

/// Puts what `environment` says over what the file said. Variables that begin as
/// those of a section and name none of its keys are problems; others are not ours.
pub fn over(values: &mut Values, environment: &BTreeMap<String, String>, problems: &mut Problems) {
    let mut sections: Vec<String> = SECTIONS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    sections.extend(values.sources.keys().map(|name| format!("source.{name}")));
    // The longest first: one source's name may begin as another's.
    sections.sort_by_key(|section| std::cmp::Reverse(section.len()));
    for (name, text) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Variable(name.clone());
        let keys = sections.iter().flat_map(|section| {
            let keys = keys_of(section).unwrap_or_default();
            keys.into_iter().map(move |key| (section, key))
        });
        let mut found = keys.filter(|(section, key)| variable(section, key.name) == *name);
        if let Some((section, key)) = found.next() {
            let section = section.clone();
            let full = format!("{section}.{}", key.name);
            values.say(&section, key.name);
            if let Some(value) = of_text(key.kind, text, &place, &full, problems) {
                values.set(&section, key.name, value, place);
            }
            continue;
        }
        let begins = |section: &&str| rest.starts_with(&format!("{}_", section.to_uppercase()));
        let names = SECTIONS.iter().map(|(section, _)| *section);
        let Some(section) = names.chain(["source"]).find(begins) else {
            continue;
        };
        let key = rest.get(section.len() + 1..).unwrap_or_default();
        if SECRETS.contains(&key.to_ascii_lowercase().as_str()) {
            problems.add(place, "", NO_SECRETS);
        } else if section == "source" {
            let what = "no source of the file and none of its keys is named so; the name is \
                 CTFORWARD_SOURCE_NAME_KEY, of a source that the file has";
            problems.add(place, "", what);
        } else {
            let keys = keys_of(section).unwrap_or_default();
            let keys = listed(keys.iter().map(|key| key.name));
            problems.add(
                place,
                "",
                format!("[{section}] has no such key; it has {keys}"),
            );
        }
    }
}
