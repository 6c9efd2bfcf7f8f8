use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ctforward_visionone::TokenProvider;

/// The port that the pages have unless another is set.
pub const PORT: u16 = 8734;

/// Where and to whom the pages are served.
#[derive(Clone)]
pub struct AdminSettings {
    /// Where: `127.0.0.1:8734` unless set. On an address that is no loopback
    /// address a token is needed.
    pub listen: SocketAddr,
    /// A listener of its own for `/metrics`, which then is on it alone (with
    /// `/healthz` and `/readyz`).
    pub metrics_listen: Option<SocketAddr>,
    /// Names by which the pages are reached, beside those of loopback and the
    /// addresses listened at: `host`, or `host:port` where another port is meant.
    pub hosts: Vec<String>,
    /// The admin token, of at least 16 characters. Without one nothing can be redriven
    /// over HTTP.
    pub token: Option<Arc<dyn TokenProvider>>,
    /// The file that it is in: then it is read when that changes, and otherwise for
    /// each request that needs it.
    pub token_file: Option<PathBuf>,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            metrics_listen: None,
            hosts: Vec::new(),
            token: None,
            token_file: None,
        }
    }
}

impl fmt::Debug for AdminSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminSettings")
            .field("listen", &self.listen)
            .field("metrics_listen", &self.metrics_listen)
            .field("hosts", &self.hosts)
            .field("token", &self.token.as_ref().map(|_| "[secret]"))
            .field("token_file", &self.token_file)
            .finish()
    }
}
