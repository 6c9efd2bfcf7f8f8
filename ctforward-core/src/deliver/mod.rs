//! Handing batches to a sink until each record of them is decided.
//!
//! Middleware around a [`Sink`](crate::Sink): [`RetrySink`] tries again what may
//! pass later, [`SplitSink`] halves what is too large and finds the one record
//! that a sink refuses.

mod backoff;
mod guard;
mod retry;
mod split;

pub use backoff::RetryPolicy;
pub use guard::RefusalGuard;
pub use retry::RetrySink;
pub use split::SplitSink;
