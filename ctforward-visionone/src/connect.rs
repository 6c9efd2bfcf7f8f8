//! The set-up of the HTTP client that the sink and the API clients share.

use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use reqwest::header::HeaderMap;

use crate::endpoint::Endpoint;
use crate::sink::exchange::chain;

/// Idle connections are closed by us before a load balancer's usual minute is over.
const IDLE: Duration = Duration::from_secs(50);

/// How connections are made.
pub(crate) struct Connect<'a> {
    /// Whether the address is one of this machine: then no proxy, and `localhost` is it.
    pub(crate) loopback: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) proxy: Option<&'a str>,
    pub(crate) ca: &'a [Vec<u8>],
}

impl Connect<'_> {
    /// A client that follows no redirect and sends `headers` with every request.
    pub(crate) fn client(&self, headers: HeaderMap) -> Result<reqwest::Client> {
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(wrong(
                "a timeout of zero lets no request through; give some seconds",
            ));
        }
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("ctforward/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .timeout(self.request_timeout)
            .pool_idle_timeout(IDLE);
        if self.loopback {
            client = client
                .no_proxy()
                .resolve_to_addrs("localhost", &Endpoint::localhost());
        } else if let Some(proxy) = self.proxy {
            // The error is dropped: it may show the proxy's password.
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|_| wrong("the proxy is not an address like http://proxy.example:3128"))?;
            client = client.proxy(proxy);
        }
        let mut certificates = Vec::new();
        for pem in self.ca {
            let found = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if found.is_empty() {
                return Err(wrong(
                    "the CA file holds no certificate in PEM form (BEGIN CERTIFICATE)",
                ));
            }
            certificates.extend(found);
        }
        if !certificates.is_empty() {
            client = client.tls_certs_merge(certificates);
        }
        client.build().map_err(|e| {
            wrong(format!(
                "the HTTPS client cannot be set up; are the CA certificates of this system in place? ({})",
                chain(&e.without_url())
            ))
        })
    }
}

fn wrong(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Config, "visionone", what)
}
