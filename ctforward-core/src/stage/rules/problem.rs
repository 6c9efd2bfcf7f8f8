//! What is wrong with rules, all of it at once.

use std::fmt;

use crate::text::printable;
use crate::{Error, ErrorKind};

/// So many problems are kept; a file with more of them is no rules file.
const MOST: usize = 100;

/// One thing that is wrong, or looks wrong, in rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    line: Option<u32>,
    place: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(
        line: Option<u32>,
        place: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            line,
            place: place.into(),
            message: message.into(),
        }
    }

    /// The line of the file it stands in, counted from 1; none for rules that
    /// come from no file.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// The rule or setting it is about, such as `exclude rule kms-noise`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong, and where it is not plain, what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// One line, safe to print whatever the rules hold.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", printable(&self.place))?;
        }
        f.write_str(&printable(&self.message))
    }
}

/// All that is wrong with rules: at least one [`Problem`], in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// `Err` if there is any.
    pub(crate) fn of(mut list: Vec<Problem>) -> Result<(), Self> {
        if list.is_empty() {
            return Ok(());
        }
        list.sort_by_key(|problem| problem.line);
        if list.len() > MOST {
            let more = list.len() - MOST;
            list.truncate(MOST);
            list.push(Problem::new(None, "", format!("and {more} more")));
        }
        Err(Self { list })
    }

    pub(crate) fn one(problem: Problem) -> Self {
        Self {
            list: vec![problem],
        }
    }

    /// Each of them, in the file's order; beyond 100 they are only counted.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.list.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Self::new(ErrorKind::Config, "rules", all.join("; "))
    }
}
