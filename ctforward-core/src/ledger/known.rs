//! Asking a ledger which files are finished, without claiming them.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::object::Object;

/// Says which files are finished, many at a time, and claims none.
///
/// A source that meets the same files again and again asks this before it hands
/// them on, so that a file is not counted anew in each of its rounds.
///
/// # Contract
/// - *Finished* is said only of a file for which [`Ledger::claim`](super::Ledger::claim)
///   would answer [`Delivered`](super::Claim::Delivered) with the same ETag and size.
///   In doubt it is not: a file that comes once too often costs a claim, one that
///   does not come is lost.
/// - The answers are as many as the questions, and in their order.
#[async_trait]
pub trait Known: Send + Sync {
    /// For each of `objects` whether it is finished.
    ///
    /// # Errors
    /// What kept the ledger from answering; then nothing counts as finished.
    async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>>;
}

macro_rules! forward_known {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<K: Known + ?Sized> Known for $pointer {
            async fn finished(&self, objects: &[Object]) -> Result<Vec<bool>> {
                (**self).finished(objects).await
            }
        }
    )*};
}
forward_known!(Box<K>, Arc<K>);
