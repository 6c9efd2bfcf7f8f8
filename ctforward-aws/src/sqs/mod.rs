//! Log files that the messages of an SQS queue name.
//!
//! [`SqsSource`] receives messages and keeps them until every file that they name is
//! decided; [`client`](client()) makes an SDK client for the queue.

mod builder;
pub(crate) mod calls;
mod client;
mod depth;
pub(crate) mod error;
mod keeper;
mod lease;
mod message;
mod queue;
mod receive;
mod source;
mod stats;
pub(crate) mod terms;

pub use builder::{DeadLetters, SqsSourceBuilder};
pub use client::client;
pub use depth::{QueueDepth, QueueDepthHandle};
pub use queue::QueueUrl;
pub use source::SqsSource;
pub use stats::{SqsStats, SqsStatsHandle};
