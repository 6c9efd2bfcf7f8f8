//! The unit tests of the daemon, as a test target: an example that is tested
//! itself is not built as a program, so its modules are compiled once more here.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "what only `main` uses is not used here"
)]

mod admin;
mod status;
