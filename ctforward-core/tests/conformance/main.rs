//! The conformance suites, run by every implementation in this crate, and by
//! broken ones that they must catch.

// Helpers of tests fail by panicking, like the tests themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod ledger;
mod quarantine;
mod seen;
mod sink;
mod source;
#[cfg(feature = "sqlite")]
mod sqlite;

use ctforward_core::testing::Findings;

/// That a broken implementation is caught, by the clause that it breaks.
#[track_caller]
fn assert_caught(broken: &str, findings: &Findings, by: &str) {
    let caught = findings
        .violations()
        .iter()
        .any(|violation| violation.clause.contains(by));
    assert!(caught, "{broken} is not caught by \"{by}\": {findings}");
}
