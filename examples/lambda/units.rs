//! The unit tests of the function, as a test target: an example that is tested
//! itself is not built as a program, so its modules are compiled once more here.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "what only `main` uses is not used here"
)]

mod config;
mod gate;
mod handler;
#[path = "../daemon/log.rs"]
mod log;
mod parts;
#[path = "../cli/rules/load.rs"]
mod rules_file;
mod runtime;
mod token;
