//! The unit tests of the daemon, as a test target: an example that is tested
//! itself is not built as a program, so its modules are compiled once more here.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "what only `main` uses is not used here"
)]

#[path = "../cli/say.rs"]
#[macro_use]
mod say;

mod admin;
mod args;
mod board;
mod config;
mod day;
mod demo;
#[path = "../cli/failure.rs"]
mod failure;
mod keep;
mod lobby;
mod log;
mod prepare;
mod redrive;
#[path = "../cli/rules/load.rs"]
mod rules_file;
mod run;
mod signals;
mod sources;
mod status;
mod systemd;
mod tokens;
