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
    /// Those that only this machine goes by, as `host:port`.
    local: Vec<String>,
    /// `host:port`, in lower case.
    hosts: Vec<String>,
    /// Names that may also be reached by `https`, through something in front.
    fronted: Vec<String>,
}

impl Names {
    /// The names of a listener at `address`, with those that were configured.
    pub(super) fn new(address: SocketAddr, configured: &[String]) -> Self {
        let port = address.port();
        let local = vec![
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
        ];
        let mut hosts = local.clone();
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
        Self {
            local,
            hosts,
            fronted,
        }
    }

    /// Whether a request names this machine as only its own programs do. Under a name
    /// that was configured, something in front may have passed it on, which need not
    /// say so.
    pub(super) fn is_local(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let local = |host: &str| {
            let bare = self
                .local
                .iter()
                .filter_map(|name| name.strip_suffix(":80"));
            let mut names = self.local.iter().map(String::as_str).chain(bare);
            names.any(|name| name.eq_ignore_ascii_case(host))
        };
        only(headers, &HOST).flatten().is_some_and(local)
            && uri.authority().is_none_or(|a| local(a.as_str()))
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
    ["forwarded", FORWARDED_FOR, "x-forwarded-host", REAL_IP]
        .iter()
        .any(|name| headers.contains_key(*name))
}

const FORWARDED_FOR: &str = "x-forwarded-for";
const REAL_IP: &str = "x-real-ip";

/// The client that what is in front says it passed this on for. What a client sends
/// itself stands to the left of what a proxy adds, so only the last address counts.
/// Good for telling clients apart, for nothing else: without a proxy anybody may say it.
pub(super) fn passed_on_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = |name| headers.get_all(name).iter().next_back();
    let line = last(FORWARDED_FOR).or_else(|| last(REAL_IP))?;
    let address = line.to_str().ok()?.rsplit(',').next()?.trim();
    let bare = address.strip_prefix('[').and_then(|a| a.split(']').next());
    let with_port = |address: &str| Some(address.parse::<SocketAddr>().ok()?.ip());
    let parsed = bare.unwrap_or(address).parse().ok();
    parsed.or_else(|| with_port(address))
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
    fn a_name_that_was_configured_is_not_this_machine_alone() {
        let local = |host: &str, path: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            names().is_local(&path.parse().unwrap(), &headers)
        };
        for host in [
            "localhost:8734",
            "LocalHost:8734",
            "127.0.0.1:8734",
            "[::1]:8734",
        ] {
            assert!(local(host, "/status"), "{host}");
        }
        for host in [
            "forward.example.com",
            "forward.example.com:8734",
            "other:9000",
        ] {
            assert!(!local(host, "/status"), "{host}");
        }
        assert!(!local(
            "localhost:8734",
            "http://forward.example.com/status"
        ));
        assert!(!names().is_local(&"/status".parse().unwrap(), &HeaderMap::new()));
    }

    #[test]
    fn the_client_is_the_one_that_the_nearest_proxy_names() {
        let of = |sent: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, value.parse().unwrap());
            }
            passed_on_for(&headers)
        };
        let client: IpAddr = "203.0.113.9".parse().unwrap();
        let named = |value| of(&[("x-forwarded-for", value)]);
        assert_eq!(named("203.0.113.9"), Some(client));
        assert_eq!(named("10.0.0.1, 203.0.113.9"), Some(client));
        assert_eq!(named("10.0.0.1,203.0.113.9:4711"), Some(client));
        assert_eq!(named("[2001:db8::1]:4711"), "2001:db8::1".parse().ok());
        assert_eq!(named("2001:db8::1"), "2001:db8::1".parse().ok());
        assert_eq!(
            of(&[
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-for", "203.0.113.9")
            ]),
            Some(client)
        );
        assert_eq!(of(&[("x-real-ip", "203.0.113.9")]), Some(client));
        assert_eq!(
            of(&[
                ("x-forwarded-for", "10.0.0.1"),
                ("x-real-ip", "203.0.113.9")
            ]),
            "10.0.0.1".parse().ok()
        );
        for nobody in ["", "unknown", "203.0.113.9,"] {
            assert_eq!(named(nobody), None, "{nobody}");
        }
        assert_eq!(of(&[]), None);
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
