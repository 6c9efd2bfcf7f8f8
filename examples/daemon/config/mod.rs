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
    SourceSettings, SqsSettings, TOKEN, TokenPlace,
};

/// More than a file of settings has.
const MOST: u64 = 1 << 20;

/// The settings of a file and of an environment, and everything that is wrong with
/// them. Where something is, the settings are only good to look for more of it.
pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> (Option<Settings>, Problems) {
    let name = path.to_string_lossy().into_owned();
    match read(path) {
        Ok(text) => parse(&name, &text, environment),
        Err(what) => {
            let mut problems = Problems::of(&name);
            problems.add(Place::File, "", what);
            (None, problems)
        }
    }
}

/// As [`load`], of the text of a file of this name.
pub fn parse(
    name: &str,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> (Option<Settings>, Problems) {
    let mut problems = Problems::of(name);
    let mut values = file::values(text, &mut problems);
    env::over(&mut values, environment, &mut problems);
    let settings = Settings::of(&values, &mut problems);
    (settings, problems)
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
