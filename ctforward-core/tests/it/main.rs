//! Integration tests of `ctforward-core`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails may panic where it likes"
)]

mod delivery;
mod oracle;
mod parts;
mod pipeline;
mod property;
mod quarantine;
mod quarantine_redrive;
mod reader;
