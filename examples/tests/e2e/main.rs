//! The programs as a user runs them, against emulators of AWS: real notifications
//! through real queues.
//!
//! The emulators are MiniStack and moto, which `.ci/e2e-setup` installs each into a
//! virtual environment of its own. The tests run where the environment variable
//! `CTFORWARD_E2E` is set, and say that they are skipped otherwise; where it is
//! `required`, a test that cannot run fails. `CTFORWARD_MINISTACK` and
//! `CTFORWARD_MOTO` name the programs where they lie elsewhere than in `.venv-e2e` and
//! `.venv-moto`.
//!
//! Each test starts an emulator of its own on a free port of the loopback interface,
//! with its output in a file, and ends it with all its processes.

#![cfg(unix)]
#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails may panic where it likes; helpers are for all tests"
)]

mod daemon;
mod emulator;
mod forward;
mod lambda;
mod proxy;
mod setup;
#[path = "../it/support.rs"]
mod support;
mod trouble;
