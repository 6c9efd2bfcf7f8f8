//! Who a request says that it is for, and where it comes from. Pure.
//!
//! A page in the operator's browser must not reach these addresses through it:
//! neither under a name of its own that points here (that is what `Host` tells),
//! nor from its own origin (`Origin`, `Sec-Fetch-Site`).

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, Uri};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    Host,
    Origin,
    Site,
}

impl Foreign {
    /// Its name in metrics.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Site => "site",
        }
    }

    /// What the client is told.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Host => {
                "this daemon does not go by that name: reach it by localhost, or name the \
                 host in its configuration"
            }
            Self::Origin => "this request was made by a page of another origin",
            Self::Site => "this request was made by a page of another site",
        }
    }
}

/// How strict to be about the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What shows or changes something: a known name.
    Page,
    /// What shows little and is asked by machines that go by addresses (a scrape, a
    /// probe): any IP address will do as well. No name points at an address
    /// literal, so there is nothing to rebind.
    Machine,
}

/// The names that a listener goes by.
#[derive(Debug)]
pub(super) struct Names {
    /// `host:port`, in lower case.
    hosts: Vec<String>,
    /// Names that may also be reached by `https`, through something in front.
    fronted: Vec<String>,
}

impl Names {
    /// The names of a listener at `address`, with those that were configured.
    pub(super) fn new(address: SocketAddr, configured: &[String]) -> Self {
        let port = address.port();
        let mut hosts = vec![
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
        ];
        if !address.ip().is_unspecified() {
            hosts.push(address.to_string());
        }
        let mut fronted = Vec::new();
        for name in configured {
            let name = name.to_ascii_lowercase();
            hosts.push(format!("{name}:{port}"));
            fronted.push(name);
        }
        if port == 80 {
            let bare = |host: &String| host.strip_suffix(":80").map(str::to_owned);
            fronted.extend(hosts.iter().filter_map(bare).collect::<Vec<_>>());
        }
        Self { hosts, fronted }
    }

    fn knows(&self, host: &str) -> bool {
        let same = |name: &String| name.eq_ignore_ascii_case(host);
        self.hosts.iter().any(same) || self.fronted.iter().any(same)
    }

    fn is_origin(&self, origin: &str) -> bool {
        let https = |host: &str| self.fronted.iter().any(|n| n.eq_ignore_ascii_case(host));
        match origin.split_once("://") {
            Some(("http", host)) => self.knows(host),
            Some(("https", host)) => https(host),
            _ => false,
        }
    }

    /// Whether a request is for us, and of us.
    pub(super) fn admit(
        &self,
        asked: Asked,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Foreign> {
        let fits = |host: &str| self.knows(host) || (asked == Asked::Machine && is_address(host));
        // One header, readable; and where the request line names a host, that one too.
        let host = only(headers, &HOST).ok_or(Foreign::Host)?;
        let named = uri.authority().is_none_or(|a| fits(a.as_str()));
        if !fits(host.ok_or(Foreign::Host)?) || !named {
            return Err(Foreign::Host);
        }
        match only(headers, &ORIGIN) {
            Some(None) => {}
            Some(Some(origin)) if self.is_origin(origin) => {}
            _ => return Err(Foreign::Origin),
        }
        // A link to the page may be anywhere: the page holds no data, fits in no
        // frame, and following a link does nothing.
        let is = |name: &HeaderName, value: &str| only(headers, name) == Some(Some(value));
        let followed = *method == Method::GET
            && uri.path() == "/"
            && is(&MODE, "navigate")
            && is(&DEST, "document");
        match only(headers, &SITE) {
            Some(None | Some("same-origin" | "none")) => Ok(()),
            _ if followed => Ok(()),
            _ => Err(Foreign::Site),
        }
    }
}

/// The value of a header that may be there once: `None` where it is not readable,
/// or there more than once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Option<&'h str>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => value.to_str().ok().map(Some),
        _ => None,
    }
}

/// Whether a host is an IP address, with a port or without.
fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    host.parse::<SocketAddr>().is_ok() || bare.unwrap_or(host).parse::<IpAddr>().is_ok()
}

/// Whether a request says that something in front of us passed it on.
pub(super) fn was_forwarded(headers: &HeaderMap) -> bool {
    [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
    ]
    .iter()
    .any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(
            "127.0.0.1:8734".parse().unwrap(),
            &["Forward.example.com".to_owned(), "other:9000".to_owned()],
        )
    }

    fn admit(
        asked: Asked,
        method: &Method,
        path: &str,
        sent: &[(&str, &str)],
    ) -> Result<(), Foreign> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        names().admit(asked, method, &path.parse().unwrap(), &headers)
    }

    #[test]
    fn only_its_own_names_are_answered() {
        for host in [
            "localhost:8734",
            "LOCALHOST:8734",
            "127.0.0.1:8734",
            "[::1]:8734",
            "forward.example.com",
            "forward.example.com:8734",
            "other:9000",
        ] {
            assert_eq!(
                admit(Asked::Page, &Method::GET, "/status", &[("host", host)]),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "",
            "localhost",
            "localhost:1",
            "evil.example:8734",
            "127.0.0.1",
            "127.0.0.2:8734",
            "0.0.0.0:8734",
            "localhost.evil.example:8734",
            "localhost:8734@evil.example",
            "forward.example.com.",
            "forward.example.com:443",
        ] {
            let sent = [("host", host)];
            let refused = admit(Asked::Page, &Method::GET, "/status", &sent);
            assert_eq!(refused, Err(Foreign::Host), "{host}");
        }
        let two = [("host", "localhost:8734"), ("host", "evil.example")];
        for sent in [&two[..], &[]] {
            let refused = admit(Asked::Machine, &Method::GET, "/healthz", sent);
            assert_eq!(refused, Err(Foreign::Host));
        }
        let absolute = "http://evil.example/status";
        let sent = [("host", "localhost:8734")];
        assert_eq!(
            admit(Asked::Page, &Method::GET, absolute, &sent),
            Err(Foreign::Host)
        );
    }

    #[test]
    fn a_machine_may_come_by_address_but_not_by_a_name() {
        for host in ["10.1.2.3:9464", "10.1.2.3", "[fd00::1]:9464", "[fd00::1]"] {
            let sent = [("host", host)];
            assert_eq!(
                admit(Asked::Machine, &Method::GET, "/metrics", &sent),
                Ok(()),
                "{host}"
            );
            let page = admit(Asked::Page, &Method::GET, "/status", &sent);
            assert_eq!(page, Err(Foreign::Host), "{host}");
        }
        for host in [
            "evil.example:9464",
            "10.1.2.3.evil.example",
            "10.1.2.3:99999",
        ] {
            let sent = [("host", host)];
            let refused = admit(Asked::Machine, &Method::GET, "/metrics", &sent);
            assert_eq!(refused, Err(Foreign::Host), "{host}");
        }
    }

    #[test]
    fn other_origins_and_sites_are_sent_away() {
        let of = |name: &'static str, value: &'static str| {
            let sent = [("host", "localhost:8734"), (name, value)];
            admit(Asked::Page, &Method::POST, "/redrive", &sent)
        };
        for origin in [
            "http://localhost:8734",
            "http://127.0.0.1:8734",
            "https://forward.example.com",
        ] {
            assert_eq!(of("origin", origin), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "http://localhost",
            "https://localhost:8734",
            "http://evil.example",
            "http://localhost:8734.evil.example",
            "file://",
            "",
        ] {
            assert_eq!(of("origin", origin), Err(Foreign::Origin), "{origin}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(of("sec-fetch-site", site), Ok(()), "{site}");
        }
        for site in ["same-site", "cross-site", "", "anything"] {
            assert_eq!(of("sec-fetch-site", site), Err(Foreign::Site), "{site}");
        }
    }

    #[test]
    fn a_link_to_the_page_may_be_followed_and_nothing_else_of_another_site() {
        let sent = |dest: &'static str| {
            [
                ("host", "localhost:8734"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", dest),
            ]
        };
        assert_eq!(
            admit(Asked::Page, &Method::GET, "/", &sent("document")),
            Ok(())
        );
        for (method, path, dest) in [
            (Method::GET, "/", "iframe"),
            (Method::GET, "/status", "document"),
            (Method::POST, "/", "document"),
            (Method::POST, "/redrive", "document"),
        ] {
            let refused = admit(Asked::Page, &method, path, &sent(dest));
            assert_eq!(refused, Err(Foreign::Site), "{method} {path} {dest}");
        }
    }
}
