use std::collections::VecDeque;
use std::fmt;

use async_trait::async_trait;

use super::{Intake, Source};
use crate::error::Result;

/// Several sources, one after the other.
pub struct Chain {
    sources: VecDeque<Box<dyn Source>>,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("left", &self.sources.len())
            .finish()
    }
}

impl Chain {
    /// The files of the first source, then those of the second, and so on. A
    /// source that is never exhausted keeps those behind it waiting for ever.
    pub fn new(sources: impl IntoIterator<Item = Box<dyn Source>>) -> Self {
        Self {
            sources: sources.into_iter().collect(),
        }
    }
}

#[async_trait]
impl Source for Chain {
    async fn next(&mut self) -> Result<Option<Intake>> {
        while let Some(source) = self.sources.front_mut() {
            if let Some(intake) = source.next().await? {
                return Ok(Some(intake));
            }
            self.sources.pop_front();
        }
        Ok(None)
    }
}
