//! The examples of ctforward: see `cli` and `daemon`.

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
