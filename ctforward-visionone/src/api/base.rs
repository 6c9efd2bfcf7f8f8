//! The base address of an API: a scheme and a host, nothing else.

use ctforward_core::{Error, ErrorKind, Result};
use url::Url;

use crate::endpoint::{is_loopback, shown};

/// A checked base address.
#[derive(Clone)]
pub(crate) struct Base {
    url: Url,
    shown: String,
}

impl Base {
    /// Checks `text`. No error shows it, as it may hold a secret.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &'static str| Err(Error::new(ErrorKind::Config, "api", what));
        let text = text.trim();
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong("the base address holds white space");
        }
        let Ok(url) = Url::parse(text) else {
            return wrong(
                "the base address is not one; give it like https://api.xdr.trendmicro.com, or a region",
            );
        };
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return wrong("the base address must begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong("the base address holds a user name or password; leave them out");
        }
        if url.query().is_some() || url.fragment().is_some() || url.path() != "/" {
            return wrong("the base address must end with the host; leave out path, ? and #");
        }
        if url.scheme() == "http" && !is_loopback(&url) {
            return wrong(
                "the base address would send the key in plain text; use https:// (http is for this machine only)",
            );
        }
        Ok(Self {
            shown: shown(&url).trim_end_matches('/').to_owned(),
            url,
        })
    }

    /// `https://` and a host that is known to be one.
    pub(crate) fn of_host(host: &str) -> Result<Self> {
        Self::parse(&format!("https://{host}"))
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// The address, safe to print.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// The address of `path`, which begins with `/`.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// Path and query of `other` on this host.
    pub(crate) fn rehost(&self, other: &Url) -> Url {
        let mut url = self.at(other.path());
        url.set_query(other.query());
        url
    }
}

/// Whether `text` may stand between two dots of a host name, in lower case.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_https_and_a_host_or_this_machine() {
        for (text, shown) in [
            (
                "https://api.xdr.trendmicro.com",
                "https://api.xdr.trendmicro.com",
            ),
            (
                "https://api.xdr.trendmicro.co.jp/",
                "https://api.xdr.trendmicro.co.jp",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
        ] {
            assert_eq!(Base::parse(text).map(|b| b.shown).unwrap(), shown);
        }
        for text in [
            "",
            "s3cr3t",
            "http://example.com",
            "ftp://s3cr3t.example",
            "https://u:s3cr3t@example.com",
            "https://example.com/s3cr3t",
            "https://example.com/?s3cr3t",
            "https://example.com/#s3cr3t",
            "https://exa mple.com",
            "data:s3cr3t",
        ] {
            let Err(error) = Base::parse(text) else {
                panic!("{text:?} was let through");
            };
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
        }
    }

    #[test]
    fn a_label_steers_no_host() {
        for good in ["us-1", "trend-us-1", "jp", "a"] {
            assert!(is_label(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "", "US", "us.1", "us/", "-us", "us-", "u s", "us@x", "üs", "a%2e", &long,
        ] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
