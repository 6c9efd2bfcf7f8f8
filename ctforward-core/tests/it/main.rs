//! Integration tests of `ctforward-core`.

mod oracle;
mod reader;
