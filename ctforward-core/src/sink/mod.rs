//! Where records go: the trait [`Sink`] and what it answers.

mod lines;
mod memory;

use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::{Batch, BatchLimits};
use crate::error::{Error, Result};

pub use lines::LineSink;
pub use memory::MemorySink;

/// Takes batches of records and says what became of each.
///
/// # Contract
/// - `Ok` means that the sink has taken (durably, as far as it says so) every
///   record that the [`Delivery`] does not name.
/// - `Err` means that no record of the batch is known to be taken; some may be.
///   The caller sends them again, so delivery is at least once.
/// - Batches may be delivered concurrently and in any order.
/// - `deliver` is cancel-safe in that sense: a dropped call leaves the batch's
///   outcome unknown, and the records undecided.
/// - A sink never sees a batch beyond its own [`limits`](Self::limits).
///
/// Middleware is a type that wraps a `Sink` and is one.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What one batch may hold.
    fn limits(&self) -> BatchLimits;

    /// Delivers one batch.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge): a smaller batch may pass.
    /// [`Rejected`](crate::ErrorKind::Rejected): some record in it is refused.
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) and
    /// [`Config`](crate::ErrorKind::Config): no batch will pass until somebody
    /// mends the token or the address. Everything else by its retry advice.
    async fn deliver(&self, batch: &Batch) -> Result<Delivery>;
}

macro_rules! forward_sink {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: Sink + ?Sized> Sink for $pointer {
            fn limits(&self) -> BatchLimits {
                (**self).limits()
            }

            async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
                (**self).deliver(batch).await
            }
        }
    )*};
}
forward_sink!(Box<S>, Arc<S>);

/// What a sink says of a batch: every record it does not name was accepted.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// Records that are refused for good: their index in the batch, and why.
    pub rejected: Vec<Rejection>,
    /// Records that were neither taken nor refused, to be sent again.
    pub again: Vec<usize>,
    /// Why `again` is not empty.
    pub again_because: Option<Error>,
}

impl Delivery {
    /// Every record was accepted.
    #[must_use]
    pub fn accepted() -> Self {
        Self::default()
    }

    /// Whether every record was accepted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.rejected.is_empty() && self.again.is_empty()
    }

    /// Whether it names records of a batch of `len`, and each once. An answer that
    /// does not is not to be understood, and decides nothing.
    #[must_use]
    pub fn fits(&self, len: usize) -> bool {
        let mut named = vec![false; len];
        let rejected = self.rejected.iter().map(|rejection| rejection.index);
        rejected.chain(self.again.iter().copied()).all(|index| {
            let seen = named.get_mut(index);
            seen.is_some_and(|seen| !std::mem::replace(seen, true))
        })
    }
}

/// One record that a sink refuses for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// Its index in the batch.
    pub index: usize,
    /// Why, in the sink's words, cut and made printable.
    pub reason: String,
}

impl Rejection {
    /// The record at `index` is refused because of `reason`.
    pub fn new(index: usize, reason: impl Into<String>) -> Self {
        Self {
            index,
            reason: reason.into(),
        }
    }
}
