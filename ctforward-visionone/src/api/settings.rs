//! Settings of the API clients' connections and retries.

use std::fmt;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};

/// How a client connects, how long it waits and how often it asks again.
///
/// Only reading calls (GET) are ever sent again; what changes something is sent once.
/// A wait that the service asks for is never shortened: where it is longer than
/// [`longest_wait`](Self::longest_wait), the error comes back at once and says it.
#[derive(Clone)]
#[must_use]
pub struct HttpSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) proxy: Option<String>,
    pub(crate) ca: Vec<Vec<u8>>,
    pub(crate) attempts: u32,
    pub(crate) first_wait: Duration,
    pub(crate) longest_wait: Duration,
    pub(crate) window: Duration,
    pub(crate) answer_bytes: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            // The public API answers within 60 s or with 504.
            request_timeout: Duration::from_secs(75),
            proxy: None,
            ca: Vec::new(),
            attempts: 4,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(120),
            window: Duration::from_secs(60),
            answer_bytes: 64 << 20,
        }
    }
}

impl HttpSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait for a connection. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one request may take, to the answer's end. Default: 75 s, as the
    /// public API is documented to give up after 60.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The proxy to go through, instead of what `HTTPS_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` say. A loopback address is never reached through a proxy.
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// Certificates (PEM) to trust beside the system's.
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca.push(pem.into());
        self
    }

    /// How often a reading call is sent at most. Default: 4.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The first wait where the service names none; it doubles. Default: 1 s.
    pub fn first_wait(mut self, wait: Duration) -> Self {
        self.first_wait = wait;
        self
    }

    /// The longest wait before asking again. Default: 120 s.
    pub fn longest_wait(mut self, wait: Duration) -> Self {
        self.longest_wait = wait;
        self
    }

    /// The span in which the service counts requests: how long to wait after a 429
    /// without `Retry-After`. Default: 60 s, as the public API documents it.
    pub fn rate_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// The most bytes of an answer, as sent and as inflated. Default: 64 MiB.
    pub fn answer_bytes(mut self, bytes: usize) -> Self {
        self.answer_bytes = bytes;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: &'static str| Err(Error::new(ErrorKind::Config, "visionone", what));
        if self.attempts == 0 {
            return wrong("a call must be sent at least once; give 1 attempt or more");
        }
        if !(1024..=1 << 30).contains(&self.answer_bytes) {
            return wrong("the size of an answer must lie between 1 KiB and 1 GiB");
        }
        Ok(())
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No proxy: its address may hold a password.
        f.debug_struct("HttpSettings")
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("attempts", &self.attempts)
            .field("first_wait", &self.first_wait)
            .field("longest_wait", &self.longest_wait)
            .field("rate_window", &self.window)
            .field("answer_bytes", &self.answer_bytes)
            .finish_non_exhaustive()
    }
}
