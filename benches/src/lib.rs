//! The benchmarks of ctforward: see the `[[bench]]` targets.
