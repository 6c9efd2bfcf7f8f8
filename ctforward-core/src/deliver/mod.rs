//! Handing batches to a sink until each record of them is decided.
//!
//! Middleware around a [`Sink`](crate::Sink): [`RetrySink`] tries again what may
//! pass later, [`SplitSink`] halves what is too large and finds the one record
//! that a sink refuses, [`PaceSink`] lets requests go at the
//! sink's pace.

mod backoff;
mod guard;
pub mod pace;
mod retry;
mod split;

pub use backoff::RetryPolicy;
pub use guard::RefusalGuard;
pub use pace::{Denied, PacePolicy, PaceSink, PaceStatus, Pacer};
pub use retry::RetrySink;
pub use split::SplitSink;
