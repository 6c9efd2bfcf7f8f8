//! The address records are posted to: what is allowed, and what is shown of it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ctforward_core::text::{excerpt, printable};
use ctforward_core::{Error, ErrorKind, Result};
use url::{Host, Url};

/// A checked address.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: Url,
    shown: String,
    loopback: bool,
    secrets: Vec<String>,
}

impl Endpoint {
    /// Checks `text`. No error shows the address, as it may hold a secret.
    pub(crate) fn parse(text: &str, allow_plain_http: bool) -> Result<Self> {
        let wrong = |what: String| Err(Error::new(ErrorKind::Config, "endpoint", what));
        let text = text.trim();
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong(
                "the address holds white space; copy it anew from the collector's page".to_owned(),
            );
        }
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(e) => {
                return wrong(format!(
                    "this is not an address ({e}); give the endpoint that the collector's page shows, \
                     beginning with https://"
                ));
            }
        };
        if !matches!(url.scheme(), "https" | "http") {
            return wrong(format!(
                "the scheme {} is not known; the address begins with https://",
                excerpt(url.scheme(), 32)
            ));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return wrong(
                "the address holds a user name or password; give the address alone, and the token as the token"
                    .to_owned(),
            );
        }
        if url.fragment().is_some() {
            return wrong(
                "the address holds a part after #, which is never sent; leave it out".to_owned(),
            );
        }
        let loopback = is_loopback(&url);
        let shown = shown(&url);
        if url.scheme() == "http" && !loopback && !allow_plain_http {
            return wrong(format!(
                "{shown} would send the token in plain text; use https://, or allow plain http if this \
                 network is trusted"
            ));
        }
        Ok(Self {
            secrets: secrets(&url),
            url,
            shown,
            loopback,
        })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The address without its query, safe to print.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether it is an address of this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// What of the address may be secret: its query, and each value in it as it
    /// stands and decoded. (Shorter values would hide half of what a server says.)
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }

    /// Where a `Location` header of this endpoint points, safe to print.
    pub(crate) fn target(&self, location: &str) -> Option<String> {
        self.url.join(location.trim()).ok().map(|url| shown(&url))
    }

    /// What `localhost` stands for, so that no name server can send the token elsewhere.
    pub(crate) fn localhost() -> [SocketAddr; 2] {
        [
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
        ]
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Scheme, host, port and path; no user information, no query, no fragment.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    let text = format!("{}://{host}{port}{}", url.scheme(), url.path());
    excerpt(&printable(&text), 512)
}

fn secrets(url: &Url) -> Vec<String> {
    let Some(query) = url.query().filter(|query| query.len() >= 4) else {
        return Vec::new();
    };
    let raw = query.split('&').filter_map(|pair| pair.split_once('='));
    let raw = raw.map(|(_, value)| value.to_owned());
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    let mut secrets = vec![query.to_owned()];
    secrets.extend(raw.chain(decoded).filter(|value| value.len() >= 4));
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for text in [
            "http://127.0.0.1:8080/x",
            "http://127.9.9.9/x",
            "http://[::1]:1/x",
            "http://localhost/x",
            "http://0x7f.1/x",
            " https://xlogr-ec1.xdr.trendmicro.com/ingest ",
        ] {
            assert!(Endpoint::parse(text, false).is_ok(), "{text}");
        }
        for text in [
            "http://example.com/x",
            "http://localhost.example.com/x",
            "http://127.0.0.1.example.com/x",
            "http://128.0.0.1/",
            "http://0.0.0.0/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            let Err(error) = Endpoint::parse(text, false) else {
                panic!("{text} was let through");
            };
            assert!(error.message().contains("plain text"), "{error}");
            assert!(Endpoint::parse(text, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_one_line_without_being_shown() {
        for text in [
            "",
            "s3cr3t",
            "xlogr.example.com/s3cr3t",
            "ftp://example.com/s3cr3t",
            "https://u:s3cr3t@example.com/",
            "https://s3cr3t@example.com/",
            "https://example.com/#s3cr3t",
            "https://example.com/\ns3cr3t",
            "https:///",
            "data:s3cr3t",
        ] {
            let Err(error) = Endpoint::parse(text, true) else {
                panic!("{text:?} was let through");
            };
            assert_eq!(error.kind(), ErrorKind::Config);
            let said = format!("{error} {error:?}");
            assert!(
                !said.contains("s3cr3t") && !error.message().contains('\n'),
                "{said}"
            );
        }
    }

    #[test]
    fn each_value_of_the_query_is_a_secret_as_it_stands_and_decoded() {
        let endpoint = Endpoint::parse("https://in.example/x?k=s3cr3t&q=abc%25def&v=1", false);
        let endpoint = endpoint.map_err(|e| e.to_string()).unwrap();
        let secrets: Vec<&str> = endpoint.secrets().collect();
        for expected in ["k=s3cr3t&q=abc%25def&v=1", "s3cr3t", "abc%25def", "abc%def"] {
            assert!(secrets.contains(&expected), "{expected}: {secrets:?}");
        }
        assert!(!secrets.contains(&"1"));
    }

    #[test]
    fn an_address_is_shown_without_its_query() {
        let endpoint = Endpoint::parse("https://example.com:8443/in?key=s3cr3t", false).unwrap();
        assert_eq!(endpoint.shown(), "https://example.com:8443/in");
        assert_eq!(
            endpoint
                .target("//user:pw@other.example/p?key=1#f")
                .unwrap(),
            "https://other.example/p"
        );
        assert_eq!(
            endpoint.target("/login?x").unwrap(),
            "https://example.com:8443/login"
        );
    }
}
