//! Why a command ends without doing its work, and with which status.

use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;

use ctforward_core::text::printable;
use ctforward_core::{Error, ErrorKind};

/// A command's end: one line that says what to do, and an exit status.
#[derive(Debug)]
pub struct Failure {
    line: String,
    status: u8,
}

impl Failure {
    /// The command was used wrongly, or a setting is wrong: status 2.
    pub fn usage(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            status: 2,
        }
    }

    /// The command could not do its work: status 1.
    pub fn work(line: impl Into<String>) -> Self {
        Self {
            line: line.into(),
            status: 1,
        }
    }

    /// The line alone, for another error to say.
    pub fn into_line(self) -> String {
        self.line
    }

    pub fn report(self) -> ExitCode {
        // Nobody may be listening; the status says it too.
        let _ = writeln!(std::io::stderr(), "ctforward: {}", printable(&self.line));
        ExitCode::from(self.status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let line = chain(&error);
        match error.kind() {
            ErrorKind::Config => Self::usage(line),
            _ => Self::work(line),
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    printable(&line).into_owned()
}
