//! Handing batches to a sink.
