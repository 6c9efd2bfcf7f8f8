//! Futures that are given up early.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Polls `future` so many times, other tasks running in between, and drops it.
/// `Some` where it was ready by then.
pub(super) async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(output) = polled {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
