//! Looks at the endpoint before a run, as little intrusive as its documents allow.

use bytes::Bytes;
use ctforward_core::{Check, Error, ErrorKind, Outcome};
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, LOCATION};

use super::VisionOneSink;
use crate::expiry::{Expiry, ExpiryWarning};
use crate::secret::Secret;

const CONNECT: (&str, &str) = ("endpoint-connect", "connection to the endpoint");
const ENDPOINT: (&str, &str) = ("endpoint", "endpoint");
const TOKEN: (&str, &str) = ("token", "token");
const EXPIRY: (&str, &str) = ("token-expiry", "expiry of the token");

/// What a request without a token and without a body came to.
#[derive(Clone, Copy, Debug)]
struct Knock<'a> {
    status: u16,
    content_type: Option<&'a str>,
    location: Option<&'a str>,
}

impl VisionOneSink {
    /// Looks at the connection, the endpoint and the token.
    ///
    /// The connection (name, TLS, proxy) is tried by one `HEAD` request **without the
    /// token** and without a body: HTTP event collection takes `POST`, so nothing is
    /// collected. No call is documented that tries a collector's token, and a posted
    /// line is an event. So the token is [`Unknown`](Outcome::Unknown), unless
    /// `send_test_record` is set: then one record goes out, as it would in a run, that
    /// says of itself that it is a test (`eventName` is `CtforwardTestRecord`).
    pub async fn preflight(&self, send_test_record: bool) -> Vec<Check> {
        let shown = self.endpoint.shown();
        let answer = self.client.head(self.endpoint.url().clone()).send().await;
        let mut checks = Vec::new();
        match &answer {
            Err(error) => {
                let secrets: Vec<&str> = self.endpoint.secrets().collect();
                let said = super::exchange::chain(error);
                let said =
                    ctforward_core::text::excerpt(&super::redact::redact(&said, &secrets), 512);
                checks.push(unreachable(shown, &said, error.is_timeout()));
                checks.push(Check::new(
                    ENDPOINT.0,
                    ENDPOINT.1,
                    Outcome::Unknown,
                    format!("{shown} was not reached"),
                ));
            }
            Ok(response) => {
                let text = |name| response.headers().get(name)?.to_str().ok();
                let location = text(LOCATION).and_then(|to| self.endpoint.target(to));
                let knock = Knock {
                    status: response.status().as_u16(),
                    content_type: text(CONTENT_TYPE),
                    location: location.as_deref(),
                };
                checks.push(Check::new(
                    CONNECT.0,
                    CONNECT.1,
                    Outcome::Pass,
                    format!("{shown} answers (status {})", knock.status),
                ));
                checks.push(endpoint(shown, &knock));
            }
        }
        let token = match self.token.token(false).await {
            Ok(token) => token,
            Err(error) => {
                checks.push(
                    Check::new(TOKEN.0, TOKEN.1, Outcome::Fail, error.message())
                        .with_fix("put the token of the collector's page there"),
                );
                return checks;
            }
        };
        checks.push(expiry(&token, Timestamp::now()));
        if !send_test_record || answer.is_err() {
            checks.push(
                Check::new(
                    TOKEN.0,
                    TOKEN.1,
                    Outcome::Unknown,
                    "there is one; no documented call tries it without sending an event",
                )
                .with_fix("send one marked test record: --send-test-record"),
            );
            return checks;
        }
        let sent = self.exchange(test_record(Timestamp::now()), &token).await;
        let (of_endpoint, of_token) = sent_one(shown, &sent);
        // What the real request says counts, not what the other one did.
        if let Some(of_endpoint) = of_endpoint {
            checks.retain(|check| check.id != ENDPOINT.0);
            checks.push(of_endpoint);
        }
        checks.push(of_token);
        checks
    }
}

/// When the token expires, by its own words.
fn expiry(token: &Secret, now: Timestamp) -> Check {
    let expiry = Expiry::of(token);
    let check = |outcome, seen: String| Check::new(EXPIRY.0, EXPIRY.1, outcome, seen);
    let renew = "make a new token on the collector's page, and let it follow this one";
    let days = expiry.left(now).map_or(0, |left| left.as_hours() / 24);
    let (outcome, seen) = match expiry.warning(now) {
        ExpiryWarning::Unknown => {
            let seen = format!("{expiry}: the token does not say when it expires");
            return check(Outcome::Unknown, seen);
        }
        ExpiryWarning::None => return check(Outcome::Pass, format!("{expiry}, in {days} days")),
        ExpiryWarning::Expired => (Outcome::Fail, format!("{expiry}: that is past")),
        ExpiryWarning::Day => (Outcome::Warn, format!("{expiry}, within a day")),
        ExpiryWarning::Month | ExpiryWarning::Week => {
            (Outcome::Warn, format!("{expiry}, in {days} days"))
        }
    };
    check(outcome, seen).with_fix(renew)
}

/// One line that no one takes for an event of AWS.
fn test_record(now: Timestamp) -> Bytes {
    Bytes::from(format!(
        r#"{{"eventVersion":"1.11","eventTime":"{now:.0}","eventSource":"ctforward.invalid","eventName":"CtforwardTestRecord","eventID":"ctforward-test-{}","eventType":"CtforwardTest","note":"a test of ctforward doctor; no event of AWS"}}"#,
        now.as_millisecond()
    ))
}

fn unreachable(shown: &str, said: &str, timeout: bool) -> Check {
    let lower = said.to_ascii_lowercase();
    let (what, fix) = if lower.contains("certificate") {
        (
            "its certificate is not accepted",
            "if a proxy opens the connection on its way, add its CA certificate: --ca-file",
        )
    } else if lower.contains("dns") || lower.contains("lookup") {
        (
            "its name is not found",
            "check the host against the collector's page, and this machine's name server",
        )
    } else if timeout {
        (
            "no answer in time",
            "let this machine out to that host and port, or name the proxy (HTTPS_PROXY)",
        )
    } else {
        (
            "no connection",
            "let this machine out to that host and port, or name the proxy (HTTPS_PROXY)",
        )
    };
    Check::new(
        CONNECT.0,
        CONNECT.1,
        Outcome::Fail,
        format!("{shown}: {what} ({said})"),
    )
    .with_fix(fix)
}

/// What the endpoint is, as far as a request without a token tells.
fn endpoint(shown: &str, knock: &Knock<'_>) -> Check {
    let check = |outcome, seen: String| Check::new(ENDPOINT.0, ENDPOINT.1, outcome, seen);
    let copy = "copy the endpoint from the collector's page in Vision One";
    let status = knock.status;
    let html = knock.content_type.is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("text/html")
    });
    match status {
        300..=399 => {
            let to = knock.location.unwrap_or("elsewhere");
            check(
                Outcome::Fail,
                format!("{shown} points to {to}, which is never followed: the endpoint is wrong"),
            )
            .with_fix(copy)
        }
        200..=299 if html => check(
            Outcome::Fail,
            format!("{shown} is a web page, or a proxy's: the endpoint is wrong"),
        )
        .with_fix(copy),
        407 => check(
            Outcome::Fail,
            format!("the proxy before {shown} wants a log-in"),
        )
        .with_fix("give the proxy's address with its user: HTTPS_PROXY"),
        404 | 410 => check(
            Outcome::Warn,
            format!(
                "{shown} is unknown to its server when asked without a token (status {status})"
            ),
        )
        .with_fix(copy),
        500..=599 => check(Outcome::Warn, format!("{shown} fails (status {status})"))
            .with_fix("try again later; while it lasts nothing is delivered"),
        _ => check(
            Outcome::Unknown,
            format!(
                "{shown} is no web page and redirects nowhere (status {status} without a token); \
                 whether it collects events only a record tells"
            ),
        )
        .with_fix("send one marked test record: --send-test-record"),
    }
}

/// What one real record came to: of the endpoint, where it tells something, and of the token.
fn sent_one(shown: &str, sent: &Result<(), Error>) -> (Option<Check>, Check) {
    let endpoint = |outcome, seen: &str| Check::new(ENDPOINT.0, ENDPOINT.1, outcome, seen);
    let token = |outcome, seen: &str| Check::new(TOKEN.0, TOKEN.1, outcome, seen);
    let open = || {
        token(
            Outcome::Unknown,
            "the answer to the test record tells nothing of it",
        )
    };
    let error = match sent {
        Ok(()) => {
            let seen = format!("{shown} accepted the test record");
            return (
                Some(endpoint(Outcome::Pass, &seen)),
                token(Outcome::Pass, "the test record was accepted with it"),
            );
        }
        Err(error) => error,
    };
    let seen = error.message();
    match error.kind() {
        ErrorKind::Unauthorized => (
            None,
            token(Outcome::Fail, seen)
                .with_fix("make a new token on the collector's page and put it where this one is"),
        ),
        ErrorKind::Config => (
            Some(
                endpoint(Outcome::Fail, seen)
                    .with_fix("copy the endpoint from the collector's page in Vision One"),
            ),
            open(),
        ),
        ErrorKind::Rejected | ErrorKind::TooLarge => (
            Some(
                endpoint(Outcome::Warn, seen)
                    .with_fix("see that the collector's log format takes JSON lines"),
            ),
            open(),
        ),
        _ => (
            Some(endpoint(Outcome::Warn, seen).with_fix("try again later")),
            open(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_without_a_token_tells() {
        for (status, content_type, outcome, text) in [
            (401, None, Outcome::Unknown, "only a record tells"),
            (405, Some("application/json"), Outcome::Unknown, "405"),
            (
                200,
                Some("Text/HTML; charset=utf-8"),
                Outcome::Fail,
                "web page",
            ),
            (302, None, Outcome::Fail, "points to"),
            (404, None, Outcome::Warn, "unknown to its server"),
            (407, None, Outcome::Fail, "proxy"),
            (503, None, Outcome::Warn, "fails"),
            (204, None, Outcome::Unknown, "no web page"),
        ] {
            let knock = Knock {
                status,
                content_type,
                location: None,
            };
            let check = endpoint("https://in.example/x", &knock);
            assert_eq!(check.outcome, outcome, "{status} {check:?}");
            assert!(check.seen.contains(text), "{check:?}");
            assert!(check.fix.is_some());
        }
    }

    #[test]
    fn what_an_error_of_the_test_record_tells() {
        for (kind, endpoint, token) in [
            (ErrorKind::Unauthorized, None, Outcome::Fail),
            (ErrorKind::Config, Some(Outcome::Fail), Outcome::Unknown),
            (ErrorKind::Rejected, Some(Outcome::Warn), Outcome::Unknown),
            (ErrorKind::Throttled, Some(Outcome::Warn), Outcome::Unknown),
            (
                ErrorKind::Unavailable,
                Some(Outcome::Warn),
                Outcome::Unknown,
            ),
        ] {
            let (one, two) = sent_one("x", &Err(Error::new(kind, "visionone", "said")));
            assert_eq!(
                (one.map(|c| c.outcome), two.outcome),
                (endpoint, token),
                "{kind:?}"
            );
        }
        let (one, two) = sent_one("x", &Ok(()));
        assert_eq!(one.map(|c| c.outcome), Some(Outcome::Pass));
        assert_eq!(two.outcome, Outcome::Pass);
    }

    #[test]
    fn a_token_that_ends_soon_is_a_warning_and_an_opaque_one_is_unknown() {
        // {"exp":1516239022}, of 2018-01-18T01:30:22Z.
        let token = Secret::new("e30.eyJleHAiOjE1MTYyMzkwMjJ9.x").unwrap();
        for (now, outcome, text) in [
            ("2017-12-01T00:00:00Z", Outcome::Pass, "in 48 days"),
            ("2017-12-20T00:00:00Z", Outcome::Warn, "in 29 days"),
            ("2018-01-12T00:00:00Z", Outcome::Warn, "in 6 days"),
            ("2018-01-17T12:00:00Z", Outcome::Warn, "within a day"),
            ("2018-01-18T01:30:22Z", Outcome::Fail, "past"),
        ] {
            let check = expiry(&token, now.parse().unwrap());
            assert_eq!(check.outcome, outcome, "{check:?}");
            assert!(check.seen.contains(text), "{check:?}");
            assert!(check.seen.contains("2018-01-18T01:30:22Z"), "{check:?}");
            assert_eq!(check.fix.is_some(), outcome != Outcome::Pass);
        }
        let opaque = expiry(&Secret::new("opaque").unwrap(), Timestamp::UNIX_EPOCH);
        assert_eq!(opaque.outcome, Outcome::Unknown);
        assert!(opaque.seen.starts_with("expiry unknown"), "{opaque:?}");
    }

    #[test]
    fn a_failed_connection_says_on_what() {
        for (said, timeout, text) in [
            (
                "invalid peer certificate: UnknownIssuer",
                false,
                "--ca-file",
            ),
            ("dns error: failed to lookup address", false, "name server"),
            ("tcp connect error", false, "proxy"),
            ("deadline has elapsed", true, "proxy"),
        ] {
            let check = unreachable("https://in.example/x", said, timeout);
            assert_eq!(check.outcome, Outcome::Fail);
            assert!(check.fix.unwrap().contains(text), "{said}");
        }
    }

    #[test]
    fn the_test_record_is_one_line_of_json_that_says_what_it_is() {
        let line = test_record(Timestamp::UNIX_EPOCH);
        assert!(!line.contains(&b'\n'));
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["eventName"], "CtforwardTestRecord");
        assert_eq!(value["eventTime"], "1970-01-01T00:00:00Z");
    }
}
