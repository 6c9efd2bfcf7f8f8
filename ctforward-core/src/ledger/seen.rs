use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::error::Result;

/// One accepted record, as the window of duplicates remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Seen {
    /// The keyed hash of what names the record (its eventID).
    pub id: [u8; 16],
    /// The keyed hash of its bytes.
    pub content: [u8; 16],
    /// When it was accepted.
    pub at: Timestamp,
}

impl Seen {
    /// A record accepted at `at`.
    #[must_use]
    pub fn new(id: [u8; 16], content: [u8; 16], at: Timestamp) -> Self {
        Self { id, content, at }
    }
}

/// Remembers accepted records between runs, for the removal of duplicates.
///
/// # Contract
/// - `key` is chosen at random once and answered ever after: hashes made with
///   another are void. It is a secret: who knows it could make a record that
///   passes for another.
/// - `recall` answers what was remembered, oldest first, at most the newest `most`
///   and none accepted before `since`. What is older may be forgotten for good.
/// - `remember` is not acknowledged on: what it loses is sent once more, never lost.
#[async_trait]
pub trait SeenStore: Send + Sync {
    /// The key of the hashes.
    ///
    /// # Errors
    /// What kept it from being read or made.
    async fn key(&self) -> Result<[u8; 32]>;

    /// The newest records remembered.
    ///
    /// # Errors
    /// What kept them from being read.
    async fn recall(&self, most: usize, since: Timestamp) -> Result<Vec<Seen>>;

    /// Remembers records that were accepted.
    ///
    /// # Errors
    /// What kept them from being written.
    async fn remember(&self, seen: &[Seen]) -> Result<()>;
}

macro_rules! forward_store {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<S: SeenStore + ?Sized> SeenStore for $pointer {
            async fn key(&self) -> Result<[u8; 32]> {
                (**self).key().await
            }
            async fn recall(&self, most: usize, since: Timestamp) -> Result<Vec<Seen>> {
                (**self).recall(most, since).await
            }
            async fn remember(&self, seen: &[Seen]) -> Result<()> {
                (**self).remember(seen).await
            }
        }
    )*};
}
forward_store!(Box<S>, Arc<S>);
