//! Integration tests of `ctforward-core`.

mod oracle;
mod parts;
mod pipeline;
mod reader;
