//! The examples of ctforward: see `cli`, `daemon` and `lambda`.
