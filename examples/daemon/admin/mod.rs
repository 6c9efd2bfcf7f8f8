//! The daemon's pages: health, metrics, status and redrive over HTTP.
//!
//! ```text
//! connection ─▶ limits ─▶ gate: Host, Origin, Sec-Fetch-Site ─▶ route ─▶ admin token? ─▶ view ─▶ reply
//! ```

mod base64;
mod gate;
mod kept;
mod limits;
mod listen;
pub mod metrics;
mod page;
mod redrive;
mod reply;
mod route;
mod settings;
mod token;
mod view;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::status::Board;

use gate::Names;
use limits::Limits;
use page::Page;
use redrive::Redrives;
use route::{Pages, Role};
use token::AdminToken;
use view::View;

pub use settings::AdminSettings;

/// The pages while they are served.
#[derive(Debug)]
pub struct Admin {
    /// Where they are.
    pub address: SocketAddr,
    /// Where `/metrics` is, where it has a listener of its own.
    pub metrics_address: Option<SocketAddr>,
    tasks: TaskTracker,
}

impl Admin {
    /// Waits until nothing is served any more, after `stop` was cancelled. A redrive
    /// that is under way is waited for: the board ends it when it stops.
    pub async fn stopped(self) {
        self.tasks.wait().await;
    }
}

/// Serves the pages until `stop` is cancelled. `metrics` is what
/// [`metrics::install`] answered.
///
/// # Errors
/// `Config` where the settings do not go together, the admin token cannot be read or
/// is short; `Unavailable` where an address cannot be bound.
pub async fn serve(
    settings: AdminSettings,
    board: Arc<dyn Board>,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<Admin> {
    serve_within(Limits::default(), settings, board, metrics, stop).await
}

async fn serve_within(
    limits: Limits,
    settings: AdminSettings,
    board: Arc<dyn Board>,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<Admin> {
    let loopback = settings.listen.ip().to_canonical().is_loopback();
    if !loopback && settings.token.is_none() {
        let what = format!(
            "listening on {} needs an admin token: others can reach that address",
            settings.listen
        );
        return Err(Error::new(ErrorKind::Config, "admin", what));
    }
    if !loopback {
        warn!(
            address = %settings.listen,
            "the pages are served in plain HTTP: the admin token can be read on the way"
        );
    }
    let token = AdminToken::new(settings.token.clone(), settings.token_file.clone());
    let token = Arc::new(token.await?);
    if loopback && !settings.hosts.is_empty() && settings.token.is_none() {
        warn!("without an admin token the pages are shown by no name of admin.hosts");
    }
    let page = Arc::new(Page::new()?);
    let view = Arc::new(View::new(Arc::clone(&board)));
    let tasks = TaskTracker::new();
    let redrives = Arc::new(Redrives::new(board, Arc::clone(&view), tasks.clone()));

    let pages = listen::bind(settings.listen).await?;
    let scrapes = match settings.metrics_listen {
        Some(address) => Some(listen::bind(address).await?),
        None => None,
    };
    let begin = |listener: TcpListener, role: Role| -> Result<SocketAddr> {
        let unknown = |e| {
            Error::new(ErrorKind::Unavailable, "admin", "a listener has no address").with_source(e)
        };
        let address = listener.local_addr().map_err(unknown)?;
        let pages = Pages {
            role,
            loopback: address.ip().to_canonical().is_loopback(),
            names: Names::new(address, &settings.hosts),
            limits,
            token: Arc::clone(&token),
            view: Arc::clone(&view),
            redrives: Arc::clone(&redrives),
            page: Arc::clone(&page),
            metrics: metrics.clone(),
        };
        tasks.spawn(listen::listen(
            listener,
            Arc::new(pages),
            limits,
            stop.clone(),
        ));
        Ok(address)
    };
    let role = match scrapes {
        Some(_) => Role::Pages,
        None => Role::All,
    };
    let address = begin(pages, role)?;
    let metrics_address = match scrapes {
        Some(listener) => Some(begin(listener, Role::Metrics)?),
        None => None,
    };
    tasks.spawn(upkeep(metrics, stop));
    tasks.close();
    Ok(Admin {
        address,
        metrics_address,
        tasks,
    })
}

/// Empties what histograms hold, also where nobody scrapes.
async fn upkeep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = every.tick() => metrics::upkeep(&handle),
        }
    }
}
