use async_trait::async_trait;

use super::Pacer;
use super::breaker::Answer;
use crate::batch::{Batch, BatchLimits};
use crate::error::Result;
use crate::sink::{Delivery, Sink};

/// Sends each request when its [`Pacer`] lets it go, and tells the pacer of the answer.
///
/// It adds no attempt of its own. Beside the sink's own errors it returns
/// retryable ones for batches that were not sent, because they cannot be held
/// until they could be: their files are given back. While it waits it can be
/// dropped at any moment; nothing of the wait is left behind.
#[derive(Debug)]
pub struct PaceSink<S> {
    inner: S,
    pacer: Pacer,
}

impl<S: Sink> PaceSink<S> {
    /// Wraps `inner`; requests go when `pacer` lets them.
    pub fn new(inner: S, pacer: Pacer) -> Self {
        Self { inner, pacer }
    }
}

#[async_trait]
impl<S: Sink> Sink for PaceSink<S> {
    fn limits(&self) -> BatchLimits {
        self.inner.limits()
    }

    async fn deliver(&self, batch: &Batch) -> Result<Delivery> {
        let slot = self.pacer.enter(batch).await?;
        let answer = self.inner.deliver(batch).await;
        slot.answered(Answer::of(&answer, batch));
        match answer {
            Ok(mut delivery) => {
                let because = delivery.again_because.take();
                delivery.again_because = because.map(|error| self.pacer.outward(error));
                Ok(delivery)
            }
            Err(error) => Err(self.pacer.outward(error)),
        }
    }
}
