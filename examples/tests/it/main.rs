//! The command line as a user runs it: the built program, real files, real HTTP.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails may panic where it likes"
)]

mod bad_input;
mod catch_up;
mod corpus;
#[cfg(unix)]
mod daemon;
mod day;
mod doctor;
mod forward;
#[cfg(unix)]
mod kill;
#[cfg(unix)]
mod lambda;
#[cfg(unix)]
mod pages;
mod permissions;
mod plan;
mod quarantine;
mod rules;
mod s3;
mod support;
