//! The unit tests of the command line, as a test target.
//!
//! An example that is tested itself is not built as a program, and the tests in
//! `tests/it` run the program; so its modules are compiled once more here.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "what only `main` uses is not used here"
)]

#[macro_use]
mod say;

mod args;
mod books;
mod catch_up;
mod console;
mod demo;
mod doctor;
mod failure;
mod forward;
mod inspect;
mod ledger;
mod plan;
mod quarantine;
mod queue;
mod rules;
mod sources;
mod standin;
mod table;
mod times;
