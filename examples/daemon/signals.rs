//! What the system tells the daemon by signals.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::systemd;
use crate::tokens::Tokens;

/// The first SIGTERM or SIGINT ends the daemon in good order, the second at once;
/// SIGHUP has the tokens read again.
///
/// # Errors
/// Where signals cannot be received.
pub fn listen(
    stop: CancellationToken,
    tokens: Arc<Tokens>,
    drain: Duration,
) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    // Apart: where a token is kept may be slow to answer, and a stop waits
                    // for nobody.
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
    Ok(())
}

/// For the ledger's last words, behind the drain time.
const LAST: Duration = Duration::from_secs(10);
