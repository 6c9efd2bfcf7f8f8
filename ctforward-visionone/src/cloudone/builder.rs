//! Settings of the Cloud One client.

use std::fmt;
use std::sync::Arc;

use ctforward_core::Result;

use super::{CloudOneClient, CloudOneRegion, ORIGIN};
use crate::api::{Base, Http, HttpSettings};
use crate::token::TokenProvider;

/// Settings of a [`CloudOneClient`]. All are checked by [`build`](Self::build).
#[must_use]
pub struct CloudOneClientBuilder {
    key: Arc<dyn TokenProvider>,
    region: Option<CloudOneRegion>,
    base: Option<String>,
    http: HttpSettings,
}

impl CloudOneClientBuilder {
    pub(super) fn new(key: Arc<dyn TokenProvider>) -> Self {
        Self {
            key,
            region: None,
            base: None,
            http: HttpSettings::new(),
        }
    }

    /// The region. Default: the one that the key belongs to, asked for when needed.
    pub fn region(mut self, region: CloudOneRegion) -> Self {
        self.region = Some(region);
        self
    }

    /// One address for all calls, such as that of a stand-in: https, or http on this
    /// machine. Default: the hosts of the service.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base = Some(url.into());
        self
    }

    /// Connections and retries.
    pub fn http(mut self, settings: HttpSettings) -> Self {
        self.http = settings;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// `Config`, with one line that says which setting is wrong and what to do.
    pub fn build(self) -> Result<CloudOneClient> {
        let base = self.base.as_deref().map(Base::parse).transpose()?;
        let loopback = base.as_ref().is_some_and(Base::is_loopback);
        Ok(CloudOneClient {
            http: Http::new(ORIGIN, "ApiKey", self.key, loopback, self.http)?,
            region: self.region,
            base,
        })
    }
}

impl fmt::Debug for CloudOneClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No address: it is not checked yet, and may hold a secret.
        f.debug_struct("CloudOneClientBuilder")
            .field("region", &self.region)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}
