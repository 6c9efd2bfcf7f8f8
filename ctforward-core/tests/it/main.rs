//! Integration tests of `ctforward-core`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails may panic where it likes"
)]

mod delivery;
mod delivery_pace;
mod duplicates;
mod feed;
mod fresh;
mod lost;
mod oracle;
mod outcomes;
mod parts;
mod pipeline;
mod property;
mod quarantine;
mod quarantine_redrive;
mod reader;
mod redacted;
mod resume;
mod resume_property;
mod rules;
mod rules_file;
mod rules_json;
mod rules_redact;
mod stop;
