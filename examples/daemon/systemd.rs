//! What the service manager is told, where there is one.

use std::time::Duration;

use ctforward_core::text::printable;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// That the daemon is ready to work.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// That it still starts, what it does, and that the next word of it may take so long.
pub fn starting(what: &str, at_most: Duration) {
    let micros = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::ExtendTimeoutUsec(micros),
        NotifyState::Status(&printable(&format!("starts: {what}"))),
    ]);
}

/// That it ends, which may take so long.
pub fn stopping(at_most: Duration) {
    let micros = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(micros),
        NotifyState::Status("ends; what is under way is finished first"),
    ]);
}

/// What it does, in a line.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(&printable(line))]);
}

/// Tells a watchdog, where one is set, that the daemon lives: twice in its time.
pub async fn watchdog(stop: CancellationToken) {
    let Some(every) = sd_notify::watchdog_enabled() else {
        return;
    };
    let every = (every / 2).max(Duration::from_millis(1));
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    // Without a service manager nothing is sent; and where it does not listen, the
    // work goes on.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
