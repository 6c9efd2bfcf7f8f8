//! What a rules file says of redaction.

use super::{Redaction, RedactionKey};
use crate::stage::rules::{Problem, Problems, path_fault};

/// The most paths.
const PATHS: usize = 1000;

/// The longest mark, in bytes.
const MARK: usize = 256;

/// What stands in place of a redacted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum With {
    /// The same text for each.
    Mark,
    /// A keyed hash: equal values stay equal.
    Hmac,
}

/// The object `redact` of a rules file. The key of hashes is never in it.
#[derive(Clone, Debug, Default)]
pub struct RedactSettings {
    pub(in crate::stage) paths: Vec<String>,
    pub(in crate::stage) known_secrets: bool,
    pub(in crate::stage) with: Option<With>,
    pub(in crate::stage) mark: Option<String>,
    pub(in crate::stage) hmac_key_file: Option<String>,
    pub(in crate::stage) line: Option<u32>,
}

impl RedactSettings {
    /// The paths, without those of [`Redaction::secrets_paths`].
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Whether those of [`Redaction::secrets_paths`] are meant too.
    #[must_use]
    pub fn known_secrets(&self) -> bool {
        self.known_secrets
    }

    /// What stands in place of a value: as the file says, or hashes where it names
    /// a key's file, or else the mark.
    #[must_use]
    pub fn with(&self) -> With {
        match (self.with, &self.hmac_key_file) {
            (Some(with), _) => with,
            (None, Some(_)) => With::Hmac,
            (None, None) => With::Mark,
        }
    }

    /// Where the program is to read the key from. Reading it, and refusing a file
    /// that others can read, is the program's.
    #[must_use]
    pub fn hmac_key_file(&self) -> Option<&str> {
        self.hmac_key_file.as_deref()
    }

    /// The redactor. `key` is needed where [`with`](Self::with) says hashes, and
    /// else not used.
    ///
    /// # Errors
    /// What is wrong with the settings, or that the key is missing.
    pub fn build(&self, key: Option<RedactionKey>) -> Result<Redaction, Problems> {
        let mut redaction = self.preview()?;
        if let Some(mark) = &self.mark {
            redaction = redaction.with_mark(mark);
        }
        match (self.with(), key) {
            (With::Mark, _) => Ok(redaction),
            (With::Hmac, Some(key)) => Ok(redaction.with_key(key)),
            (With::Hmac, None) => {
                let message = "it asks for hashes, and no key was given";
                Err(Problems::one(Problem::new(self.line, "redact", message)))
            }
        }
    }

    /// The redactor by the default mark, whatever the file asks for: to see what
    /// would be redacted, without a key.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn preview(&self) -> Result<Redaction, Problems> {
        Problems::of(self.problems())?;
        let known = self.known_secrets.then(Redaction::secrets_paths);
        let known = known
            .unwrap_or_default()
            .iter()
            .map(|path| (*path).to_owned());
        Redaction::new(self.paths.iter().cloned().chain(known))
    }

    pub(in crate::stage) fn problems(&self) -> Vec<Problem> {
        let mut found = path_problems(&self.paths, self.line);
        let mut say = |message: &str| found.push(Problem::new(self.line, "redact", message));
        if self.paths.is_empty() && !self.known_secrets {
            say("it names nothing: neither paths nor known-secrets");
        }
        if self.with == Some(With::Mark) && self.hmac_key_file.is_some() {
            say("hmac-key-file is given, and with is mark");
        }
        if let Some(mark) = &self.mark {
            if self.with() == With::Hmac {
                say("mark is given, and hashes are asked for");
            }
            if mark.len() > MARK || crate::text::printable(mark) != *mark {
                say("mark is at most 256 bytes of printable text");
            }
        }
        if self.hmac_key_file.as_deref() == Some("") {
            say("hmac-key-file is empty");
        }
        found
    }

    pub(in crate::stage) fn warnings(&self) -> Vec<Problem> {
        // Whoever receives a record knows it by these.
        const NEEDED: [&str; 4] = ["eventID", "eventTime", "eventSource", "eventName"];
        let mut found = Vec::new();
        for path in &self.paths {
            if path == "*" || NEEDED.contains(&path.as_str()) {
                let message = format!("path `{path}`: records can hardly be told apart without it");
                found.push(Problem::new(self.line, "redact", message));
            }
        }
        found
    }
}

pub(super) fn path_problems(paths: &[String], line: Option<u32>) -> Vec<Problem> {
    let mut found = Vec::new();
    if paths.len() > PATHS {
        let message = format!("{} paths; at most {PATHS} are taken", paths.len());
        found.push(Problem::new(line, "redact", message));
    }
    for path in paths {
        if let Some(fault) = path_fault(path, true) {
            let path = crate::text::excerpt(path, 64);
            found.push(Problem::new(
                line,
                "redact",
                format!("path `{path}`: {fault}"),
            ));
        }
    }
    found
}
