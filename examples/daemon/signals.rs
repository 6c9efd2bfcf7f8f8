//! What the system tells the daemon by signals.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::systemd;
use crate::tokens::Tokens;

/// The signals that the daemon hears: from the moment this is made none of them ends it
/// by itself any more.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to hear them.
    ///
    /// # Errors
    /// Where signals cannot be received.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Resolves when it is told to end, while there is nothing to be ended in good order.
    pub async fn told_to_end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// From now on the first SIGTERM or SIGINT ends the daemon in good order, the second
    /// at once; SIGHUP has the tokens read again.
    pub fn listen(self, stop: CancellationToken, tokens: Arc<Tokens>, drain: Duration) {
        let Self {
            mut terminate,
            mut interrupt,
            mut hangup,
        } = self;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                    _ = hangup.recv() => {
                        // Apart: where a token is kept may be slow to answer, and a stop
                        // waits for nobody.
                        let tokens = Arc::clone(&tokens);
                        tokio::spawn(async move { tokens.read_again().await });
                        continue;
                    }
                }
                if stop.is_cancelled() {
                    tracing::warn!("told to stop again: ending at once");
                    std::process::exit(1);
                }
                tracing::info!(
                    seconds = drain.as_secs(),
                    "stopping; what is under way is finished first"
                );
                systemd::stopping(drain + LAST);
                stop.cancel();
            }
        });
    }
}

/// For the ledger's last words, behind the drain time.
const LAST: Duration = Duration::from_secs(10);
