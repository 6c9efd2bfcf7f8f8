//! Conformance suites: whether an implementation keeps the contract of its trait.
//!
//! Each suite is a function that a test calls with the means to make the
//! implementation and to look at what it did. It goes through the contract clause
//! by clause and answers [`Findings`]; [`Findings::assert`] fails the test with
//! every clause that is broken and what was seen.
//!
//! The suites run on tokio. Those that try many calls at once are worth more on a
//! multi-threaded runtime, where such calls really meet.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use ctforward_core::quarantine::MemoryQuarantine;
//! use ctforward_core::testing;
//!
//! testing::quarantine::check(
//!     async || MemoryQuarantine::new(),
//!     async |quarantine: &MemoryQuarantine| quarantine.entries(),
//! )
//! .await
//! .assert();
//! # }
//! ```

pub mod ledger;
mod poll;
pub mod quarantine;
pub mod seen;
pub mod sink;
pub mod source;

use std::fmt;
use std::time::Duration;

/// How long one clause may take where no clock is paused.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one clause came to: `Err` says what was seen instead.
type Clause = Result<(), String>;

/// A clause of a contract that an implementation breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// What the contract asks for.
    pub clause: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; but {}", self.clause, self.seen)
    }
}

/// What a suite found.
#[derive(Clone, Debug)]
#[must_use = "findings that nobody looks at fail no test"]
pub struct Findings {
    of: &'static str,
    clauses: usize,
    violations: Vec<Violation>,
}

impl Findings {
    fn new(of: &'static str) -> Self {
        Self {
            of,
            clauses: 0,
            violations: Vec::new(),
        }
    }

    fn note(&mut self, clause: &'static str, came_to: Clause) {
        self.clauses += 1;
        if let Err(seen) = came_to {
            self.violations.push(Violation { clause, seen });
        }
    }

    /// The clauses that are broken.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Fails the test where a clause is broken.
    ///
    /// # Panics
    /// With every broken clause and what was seen instead.
    #[track_caller]
    #[allow(clippy::panic, reason = "this is how a test fails")]
    pub fn assert(&self) {
        if !self.violations.is_empty() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} clauses of {} are broken",
            self.violations.len(),
            self.clauses,
            self.of
        )?;
        for violation in &self.violations {
            write!(f, "\n- {violation}")?;
        }
        Ok(())
    }
}

/// `Err` with what was seen, unless `holds`.
fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Clause {
    if holds { Ok(()) } else { Err(seen()) }
}

/// What came of a call that should not have failed.
fn called<T>(what: &str, came: crate::Result<T>) -> Result<T, String> {
    came.map_err(|error| format!("{what} failed: {error}"))
}

/// A clause that is given up after a minute.
async fn patiently(clause: impl Future<Output = Clause>) -> Clause {
    match tokio::time::timeout(PATIENCE, clause).await {
        Ok(came_to) => came_to,
        Err(_) => Err(format!("there was no end after {} s", PATIENCE.as_secs())),
    }
}
