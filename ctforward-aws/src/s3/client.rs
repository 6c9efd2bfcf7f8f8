//! An SDK client for an endpoint of one's own.

use std::net::IpAddr;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder as ConfigBuilder, Region, SharedHttpClient};
use aws_smithy_http_client::{Builder as HttpClient, tls};
use ctforward_core::{Error, ErrorKind, Result};

use crate::error::ORIGIN;
use crate::facts::clean;

/// Where an endpoint may be spoken to without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// On this machine only.
    #[default]
    LoopbackOnly,
    /// Anywhere: log files and session tokens cross the network readable.
    Anywhere,
}

/// An S3 client, for AWS or for an endpoint of one's own.
///
/// With `endpoint_url` the client writes the bucket into the path instead of the
/// host name, which is what most other S3 servers and every plain address need.
/// Without it the SDK finds the host itself, in whatever partition the region is;
/// this crate never builds a host name. An endpoint on this machine is reached
/// without the proxy that the environment may name; any other client of `config`
/// gives way to one that does so.
///
/// `config` holds everything else; `aws_sdk_s3::config::Builder::from(&sdk_config)`
/// makes one from what `aws-config` loaded.
///
/// # Errors
/// [`Config`](ErrorKind::Config) where the endpoint is no `http://` or `https://`
/// address, has user information, a query or a fragment, or is plain HTTP where
/// that is not allowed.
pub fn client(
    mut config: ConfigBuilder,
    endpoint_url: Option<&str>,
    region: Option<&str>,
    plain: PlainHttp,
) -> Result<Client> {
    if let Some(region) = region {
        config = config.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint_url {
        let on_this_machine = check(ORIGIN, endpoint, plain)?;
        config = config.endpoint_url(endpoint).force_path_style(true);
        if on_this_machine {
            config = config.http_client(direct());
        }
    }
    Ok(Client::from_conf(config.build()))
}

/// An HTTP client that uses no proxy: the SDK's own would send even requests to this
/// machine to the proxy that the environment names.
pub(crate) fn direct() -> SharedHttpClient {
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
    HttpClient::new().tls_provider(tls).build_https()
}

/// Whether the endpoint is on this machine, once it was found to be one that may be used.
pub(crate) fn check(origin: &'static str, endpoint: &str, plain: PlainHttp) -> Result<bool> {
    let refuse = |why: &str| {
        let shown = clean(endpoint);
        let why = format!("the endpoint {shown} {why}");
        Err(Error::new(ErrorKind::Config, origin, why))
    };
    let (tls, rest) = match endpoint.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => return refuse("is no http:// or https:// address"),
    };
    if rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) {
        return refuse("must be an address and nothing more: no user, no query, no fragment");
    }
    let host = host(rest);
    if host.is_empty() {
        return refuse("names no host");
    }
    if !tls && plain == PlainHttp::LoopbackOnly && !is_loopback(host) {
        return refuse("is plain http to another machine; use https");
    }
    Ok(is_loopback(host))
}

fn host(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_told_otherwise() {
        let ok = [
            "https://s3.example.com",
            "http://127.0.0.1:9000",
            "http://[::1]:9000/",
            "http://localhost:4566",
        ];
        for endpoint in ok {
            assert!(
                check(ORIGIN, endpoint, PlainHttp::LoopbackOnly).is_ok(),
                "{endpoint}"
            );
        }
        let bad = [
            "http://10.0.0.1:9000",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "ftp://localhost",
            "localhost:9000",
            "http://",
            "https://user:secret@host",
            "https://host?token=secret",
        ];
        for endpoint in bad {
            let error = check(ORIGIN, endpoint, PlainHttp::LoopbackOnly).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{endpoint}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(check(ORIGIN, "http://10.0.0.1:9000", PlainHttp::Anywhere).is_ok());
    }
}
