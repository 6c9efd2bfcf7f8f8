//! The admin token: read where it is kept, compared in constant time, and not
//! to be guessed at any speed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use ctforward_visionone::{Secret, TokenProvider};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::base64;

/// The header for what sets headers, such as the page's script.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-ctforward-admin");

/// A token shorter than this is refused at the start.
const SHORTEST: usize = 16;

/// The name that a browser's login goes by.
const USER: &str = "ctforward";

/// Where a request may carry the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// In a header that no browser sends by itself.
    Explicit,
    /// Also as the password of a browser's login, which a browser sends by itself
    /// once it was given. For looking, never for doing.
    Login,
}

/// What came of checking a request's token.
#[derive(Debug)]
pub(super) enum Checked {
    Right,
    /// There was none.
    Missing,
    /// It was another.
    Wrong,
    /// Too many were wrong: come back in so long.
    TooMany(Duration),
    /// There is none to compare with.
    Unset,
    /// The one to compare with cannot be read.
    Unreadable(Error),
}

/// Checks admin tokens.
pub(super) struct AdminToken {
    provider: Option<Arc<dyn TokenProvider>>,
    attempts: Attempts,
}

impl AdminToken {
    /// The token of `provider`, which is read once to see that it is fit.
    pub(super) async fn new(provider: Option<Arc<dyn TokenProvider>>) -> Result<Self> {
        if let Some(provider) = &provider {
            read(provider.as_ref()).await?;
        }
        let attempts = Attempts::default();
        Ok(Self { provider, attempts })
    }

    pub(super) fn is_set(&self) -> bool {
        self.provider.is_some()
    }

    /// Checks what a request of `peer` carries.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        carried: Carried,
        peer: IpAddr,
    ) -> Checked {
        let Some(provider) = &self.provider else {
            return Checked::Unset;
        };
        let offered = offered(headers, carried);
        if offered.is_empty() {
            return Checked::Missing;
        }
        if let Err(wait) = self.attempts.may(peer, Instant::now()) {
            return Checked::TooMany(wait);
        }
        // Read anew each time, so that a rotated token counts at once.
        let token = match read(provider.as_ref()).await {
            Ok(token) => token,
            Err(error) => {
                // Not to be asked for, and logged, at any speed either.
                self.attempts.failed(peer, Instant::now());
                return Checked::Unreadable(error);
            }
        };
        let right = offered.iter().any(|offer| match offer {
            Offer::Token(value) => same(value, token.expose()),
            Offer::Login(value) => same(value, &login(&token)),
        });
        if right {
            return Checked::Right;
        }
        self.attempts.failed(peer, Instant::now());
        Checked::Wrong
    }
}

async fn read(provider: &dyn TokenProvider) -> Result<Secret> {
    let token = provider.token(true).await?;
    if token.expose().len() < SHORTEST {
        let what = "the admin token is shorter than 16 characters; \
            `openssl rand -hex 32` makes a good one";
        return Err(Error::new(ErrorKind::Config, "admin", what));
    }
    Ok(token)
}

enum Offer<'h> {
    Token(&'h str),
    /// The encoded half of `Basic …`.
    Login(&'h str),
}

/// What a request carries. A header that is there twice counts for nothing.
fn offered(headers: &HeaderMap, carried: Carried) -> Vec<Offer<'_>> {
    let only = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value.trim())
    };
    let mut offered = Vec::new();
    offered.extend(only(&HEADER).map(Offer::Token));
    if let Some((scheme, value)) = only(&AUTHORIZATION).and_then(|line| line.split_once(' ')) {
        if scheme.eq_ignore_ascii_case("bearer") {
            offered.push(Offer::Token(value.trim()));
        } else if scheme.eq_ignore_ascii_case("basic") && carried == Carried::Login {
            offered.push(Offer::Login(value.trim()));
        }
    }
    offered
}

/// What a browser sends for the user `ctforward` with this password: made from the
/// token, so that nothing from outside is decoded.
fn login(token: &Secret) -> String {
    base64::encode(format!("{USER}:{}", token.expose()).as_bytes())
}

/// In a time that says nothing of either: digests are compared, of one length.
fn same(offered: &str, token: &str) -> bool {
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    digest(offered)
        .as_slice()
        .ct_eq(digest(token).as_slice())
        .into()
}

/// Wrong tokens of each client: ten at once, then one in ten seconds.
#[derive(Debug, Default)]
struct Attempts(Mutex<HashMap<IpAddr, (u32, Instant)>>);

const AT_ONCE: u32 = 10;
const EVERY: Duration = Duration::from_secs(10);
/// More clients are not told apart for long: the one that failed longest ago is forgotten.
const CLIENTS: usize = 1024;

impl Attempts {
    /// Whether `peer` may try.
    fn may(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&network(peer)) {
            Some((failed, last)) if left(*failed, *last, now) >= AT_ONCE => {
                Err(EVERY.saturating_sub(now.saturating_duration_since(*last)))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, peer: IpAddr, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = network(peer);
        if kept.len() >= CLIENTS && !kept.contains_key(&peer) {
            let oldest = kept.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                kept.remove(&oldest);
            }
        }
        let (failed, last) = kept.entry(peer).or_insert((0, now));
        *failed = left(*failed, *last, now) + 1;
        *last = now;
    }
}

/// How many of `failed` attempts count still: one is forgiven in [`EVERY`].
fn left(failed: u32, last: Instant, now: Instant) -> u32 {
    let forgiven = now.saturating_duration_since(last).as_secs() / EVERY.as_secs();
    failed.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
}

/// Who has one IPv6 address has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef-token";

    async fn check(carried: Carried, sent: &[(&str, &str)]) -> Checked {
        let secret: Arc<dyn TokenProvider> = Arc::new(Secret::new(TOKEN).unwrap());
        let token = AdminToken::new(Some(secret)).await.unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let peer = "10.0.0.1".parse().unwrap();
        token.check(&headers, carried, peer).await
    }

    #[tokio::test]
    async fn the_token_is_taken_from_either_header_and_a_login_only_for_looking() {
        let bearer = format!("Bearer {TOKEN}");
        for sent in [("authorization", &*bearer), ("x-ctforward-admin", TOKEN)] {
            let checked = check(Carried::Explicit, &[sent]).await;
            assert!(matches!(checked, Checked::Right), "{sent:?}: {checked:?}");
        }
        let basic = format!(
            "Basic {}",
            base64::encode(format!("ctforward:{TOKEN}").as_bytes())
        );
        let sent = [("authorization", &*basic)];
        assert!(matches!(check(Carried::Login, &sent).await, Checked::Right));
        assert!(matches!(
            check(Carried::Explicit, &sent).await,
            Checked::Missing
        ));
        // A browser that logged in sends both.
        let both = [("authorization", &*basic), ("x-ctforward-admin", TOKEN)];
        assert!(matches!(
            check(Carried::Explicit, &both).await,
            Checked::Right
        ));
    }

    #[tokio::test]
    async fn what_is_not_quite_the_token_is_not_it() {
        assert!(matches!(check(Carried::Login, &[]).await, Checked::Missing));
        for (name, value) in [
            ("authorization", "Bearer 0123456789abcdef-toke"),
            ("authorization", "Bearer 0123456789abcdef-token2"),
            ("authorization", "Bearer"),
            ("authorization", TOKEN),
            ("authorization", "Basic MDEyMzQ1Njc4OWFiY2RlZi10b2tlbg=="),
            ("x-ctforward-admin", "0123456789ABCDEF-TOKEN"),
            ("x-ctforward-admin", ""),
            ("cookie", TOKEN),
        ] {
            let checked = check(Carried::Login, &[(name, value)]).await;
            assert!(
                matches!(checked, Checked::Wrong | Checked::Missing),
                "{name} {value}: {checked:?}"
            );
        }
        let twice = [("x-ctforward-admin", TOKEN), ("x-ctforward-admin", "other")];
        assert!(matches!(
            check(Carried::Login, &twice).await,
            Checked::Missing
        ));
    }

    #[tokio::test]
    async fn a_short_token_is_refused_at_the_start_and_none_lets_nobody_in() {
        let short: Arc<dyn TokenProvider> = Arc::new(Secret::new("hunter2").unwrap());
        let error = AdminToken::new(Some(short)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!error.to_string().contains("hunter2"));
        let none = AdminToken::new(None).await.unwrap();
        let peer = "::1".parse().unwrap();
        let checked = none.check(&HeaderMap::new(), Carried::Login, peer).await;
        assert!(matches!(checked, Checked::Unset));
    }

    #[tokio::test]
    async fn a_token_in_a_file_is_read_anew_and_one_that_is_gone_lets_nobody_in() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin");
        let write = |text: &str| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        write("the-first-admin-token");
        let file: Arc<dyn TokenProvider> = Arc::new(ctforward_visionone::TokenFile::new(&path));
        let token = AdminToken::new(Some(file)).await.unwrap();
        let offer = async |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, value.parse().unwrap());
            let peer = "10.0.0.1".parse().unwrap();
            token.check(&headers, Carried::Explicit, peer).await
        };
        assert!(matches!(
            offer("the-first-admin-token").await,
            Checked::Right
        ));
        write("the-second-admin-token");
        assert!(matches!(
            offer("the-first-admin-token").await,
            Checked::Wrong
        ));
        assert!(matches!(
            offer("the-second-admin-token").await,
            Checked::Right
        ));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            offer("the-second-admin-token").await,
            Checked::Unreadable(_)
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            offer("the-second-admin-token").await,
            Checked::Unreadable(_)
        ));
    }

    #[test]
    fn guessing_is_slow_for_the_guesser_alone_and_memory_is_bounded() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let (guesser, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..AT_ONCE {
            assert!(attempts.may(guesser, start).is_ok());
            attempts.failed(guesser, start);
        }
        assert_eq!(attempts.may(guesser, start).unwrap_err(), EVERY);
        assert!(attempts.may(other, start).is_ok());
        assert!(attempts.may(guesser, start + EVERY).is_ok());
        attempts.failed(guesser, start + EVERY);
        assert!(attempts.may(guesser, start + EVERY).is_err());
        for n in 0..5000_u32 {
            attempts.failed(IpAddr::from(n.to_be_bytes()), start + 2 * EVERY);
        }
        assert_eq!(attempts.0.lock().unwrap().len(), CLIENTS);
        let (one, two) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::ffff".parse().unwrap(),
        );
        assert_eq!(network(one), network(two));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), guesser);
    }
}
