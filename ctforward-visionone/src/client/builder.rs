//! Settings of the Vision One client.

use std::fmt;
use std::sync::Arc;

use ctforward_core::{Error, ErrorKind, Result};

use super::{ORIGIN, VisionOneClient, VisionOneRegion};
use crate::api::{Base, Http, HttpSettings};
use crate::token::TokenProvider;

/// Settings of a [`VisionOneClient`]. All are checked by [`build`](Self::build).
#[must_use]
pub struct VisionOneClientBuilder {
    key: Arc<dyn TokenProvider>,
    region: Option<VisionOneRegion>,
    base: Option<String>,
    http: HttpSettings,
    window_rows: u64,
    most_pages: usize,
}

impl VisionOneClientBuilder {
    pub(super) fn new(key: Arc<dyn TokenProvider>) -> Self {
        Self {
            key,
            region: None,
            base: None,
            http: HttpSettings::new(),
            window_rows: 10_000,
            most_pages: 1000,
        }
    }

    /// The region, which names the host. A key of another region is refused by it.
    pub fn region(mut self, region: VisionOneRegion) -> Self {
        self.region = Some(region);
        self
    }

    /// The base address instead of a region's: https, or http on this machine.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base = Some(url.into());
        self
    }

    /// Connections and retries.
    pub fn http(mut self, settings: HttpSettings) -> Self {
        self.http = settings;
        self
    }

    /// How many items one search shows of one range at most, after which its range is
    /// split. Default: 10,000, as one user of the service reports; it is not documented.
    pub fn window_rows(mut self, rows: u64) -> Self {
        self.window_rows = rows;
        self
    }

    /// How many pages of one list are read at most. Default: 1,000.
    pub fn most_pages(mut self, pages: usize) -> Self {
        self.most_pages = pages;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// `Config`, with one line that says which setting is wrong and what to do.
    pub fn build(self) -> Result<VisionOneClient> {
        let wrong = |what: &'static str| Err(Error::new(ErrorKind::Config, ORIGIN, what));
        let base = match (&self.base, &self.region) {
            (Some(base), None) => Base::parse(base)?,
            (None, Some(region)) => Base::of_host(&region.host())?,
            (None, None) => return wrong("give the region of Vision One, such as us, eu or jp"),
            (Some(_), Some(_)) => {
                return wrong("give a region or a base address, not both: they may contradict");
            }
        };
        if self.window_rows == 0 || self.most_pages == 0 {
            return wrong("a search must show at least one item and one page");
        }
        Ok(VisionOneClient {
            http: Http::new(ORIGIN, "Bearer", self.key, base.is_loopback(), self.http)?,
            base,
            window_rows: self.window_rows,
            most_pages: self.most_pages,
        })
    }
}

impl fmt::Debug for VisionOneClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No address: it is not checked yet, and may hold a secret.
        f.debug_struct("VisionOneClientBuilder")
            .field("region", &self.region)
            .field("http", &self.http)
            .field("window_rows", &self.window_rows)
            .field("most_pages", &self.most_pages)
            .finish_non_exhaustive()
    }
}
