//! The settings: one TOML file, each key of which an environment variable may override.

mod env;
mod file;
mod keys;
mod problem;
mod settings;
mod values;

use std::collections::BTreeMap;
use std::path::Path;

#[cfg(test)]
use keys::{SECTIONS, SOURCE};
pub use problem::{Place, Problems};
pub use settings::{
    AwsSettings, Form, LogSettings, PaceSettings, RecordSettings, S3Settings, Settings, SourceKind,
    SourceSettings, SqsSettings, TokenPlace,
};

/// More than a file of settings has.
const MOST: u64 = 1 << 20;

/// The settings of a file and of an environment.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Settings, Problems> {
    let name = path.to_string_lossy().into_owned();
    let text = match read(path) {
        Ok(text) => text,
        Err(what) => {
            let mut problems = Problems::of(&name);
            problems.add(Place::File, "", what);
            return Err(problems);
        }
    };
    parse(&name, &text, environment)
}

/// The settings that `text`, of a file of this name, and an environment hold.
///
/// # Errors
/// As [`load`].
pub fn parse(
    name: &str,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Settings, Problems> {
    let mut problems = Problems::of(name);
    let mut values = file::values(text, &mut problems);
    env::over(&mut values, environment, &mut problems);
    let settings = Settings::of(&values, &mut problems);
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(problems),
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST {
        return Err("larger than 1 MiB; this is no file of settings".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "not in UTF-8".to_owned())
}

#[cfg(test)]
mod tests;
