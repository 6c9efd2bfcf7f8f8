//! The admin token: read where it is kept, compared in constant time, and not
//! to be guessed at any speed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use ctforward_visionone::{Secret, TokenProvider};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::base64;
use super::gate::passed_on_for;
use super::kept::Kept;

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
    token: Option<Kept>,
    attempts: Attempts,
}

impl AdminToken {
    /// The token of `provider`, which is read once to see that it is fit; kept in
    /// `file`, where it is in one.
    pub(super) async fn new(
        provider: Option<Arc<dyn TokenProvider>>,
        file: Option<PathBuf>,
    ) -> Result<Self> {
        let token = provider.map(|provider| Kept::new(provider, file));
        if let Some(token) = &token {
            token.get().await?;
        }
        let attempts = Attempts::default();
        Ok(Self { token, attempts })
    }

    pub(super) fn is_set(&self) -> bool {
        self.token.is_some()
    }

    /// Checks what a request of `peer` carries.
    pub(super) async fn check(
        &self,
        headers: &HeaderMap,
        carried: Carried,
        peer: IpAddr,
    ) -> Checked {
        let Some(token) = &self.token else {
            return Checked::Unset;
        };
        let offered = offered(headers, carried);
        if offered.is_empty() {
            return Checked::Missing;
        }
        let client = Client::of(peer, headers);
        // Read before the attempts are looked at, so that nobody else's come between.
        let token = token.get().await;
        if let Err(wait) = self.attempts.may(client, Instant::now()) {
            return Checked::TooMany(wait);
        }
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                // Not to be logged at any speed either.
                self.attempts.failed(client, Instant::now());
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
        self.attempts.failed(client, Instant::now());
        Checked::Wrong
    }
}

/// Reads a token, which must be fit.
pub(super) async fn read(provider: &dyn TokenProvider) -> Result<Secret> {
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

/// Who tries: the address that a connection comes from, and the one that it is passed
/// on for where something in front says so. Behind a proxy all come from its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Client {
    peer: IpAddr,
    behind: Behind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Behind {
    /// Nobody says that it passed this on.
    Nothing,
    One(IpAddr),
    /// All that an address passes on, together.
    All,
}

impl Client {
    fn of(peer: IpAddr, headers: &HeaderMap) -> Self {
        Self {
            peer: network(peer),
            behind: passed_on_for(headers)
                .map_or(Behind::Nothing, |client| Behind::One(network(client))),
        }
    }
}

/// Wrong tokens. Of each client ten at once, then one in ten seconds; and of all that
/// come from one address together a hundred, then one a second: who names another
/// client in each request guesses no faster than that, and who guesses behind a proxy
/// takes too small a share of it to keep the others there out.
#[derive(Debug, Default)]
struct Attempts(Mutex<HashMap<Client, (u32, Instant)>>);

const AT_ONCE: u32 = 10;
const EVERY: Duration = Duration::from_secs(10);
const ALL_AT_ONCE: u32 = 100;
const ALL_EVERY: Duration = Duration::from_secs(1);
/// More clients are not told apart for long: the one that failed longest ago is forgotten.
const CLIENTS: usize = 1024;

/// What a client is held to: by itself, and with all others that its address passes on.
fn bounds(client: Client) -> impl Iterator<Item = (Client, u32, Duration)> {
    let behind = Behind::All;
    let all = Client { behind, ..client };
    let all = (all, ALL_AT_ONCE, ALL_EVERY);
    let passed_on = matches!(client.behind, Behind::One(_));
    std::iter::once((client, AT_ONCE, EVERY)).chain(passed_on.then_some(all))
}

impl Attempts {
    /// Whether a client may try.
    fn may(&self, client: Client, now: Instant) -> Result<(), Duration> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, most, every) in bounds(client) {
            if let Some((failed, last)) = kept.get(&who)
                && left(*failed, *last, now, every) >= most
            {
                return Err(every.saturating_sub(now.saturating_duration_since(*last)));
            }
        }
        Ok(())
    }

    fn failed(&self, client: Client, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (who, _, every) in bounds(client) {
            note(&mut kept, who, every, now);
        }
    }
}

fn note(kept: &mut HashMap<Client, (u32, Instant)>, who: Client, every: Duration, now: Instant) {
    if kept.len() >= CLIENTS && !kept.contains_key(&who) {
        let oldest = kept.iter().min_by_key(|(_, (_, last))| *last);
        if let Some(oldest) = oldest.map(|(client, _)| *client) {
            kept.remove(&oldest);
        }
    }
    let (failed, last) = kept.entry(who).or_insert((0, now));
    *failed = left(*failed, *last, now, every) + 1;
    *last = now;
}

/// How many of `failed` attempts count still: one is forgiven in `every`.
fn left(failed: u32, last: Instant, now: Instant, every: Duration) -> u32 {
    let forgiven = now.saturating_duration_since(last).as_secs() / every.as_secs().max(1);
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
        let token = AdminToken::new(Some(secret), None).await.unwrap();
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
        let error = AdminToken::new(Some(short), None).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!error.to_string().contains("hunter2"));
        let none = AdminToken::new(None, None).await.unwrap();
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
        let token = AdminToken::new(Some(file), Some(path.clone()))
            .await
            .unwrap();
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
        let direct = |peer| Client::of(peer, &HeaderMap::new());
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let (guesser, other) = (direct(address), direct("10.0.0.2".parse().unwrap()));
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
            attempts.failed(direct(IpAddr::from(n.to_be_bytes())), start + 2 * EVERY);
        }
        assert_eq!(attempts.0.lock().unwrap().len(), CLIENTS);
        let (one, two) = (
            "2001:db8::1".parse().unwrap(),
            "2001:db8::ffff".parse().unwrap(),
        );
        assert_eq!(network(one), network(two));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), address);
    }

    #[test]
    fn behind_a_proxy_a_guesser_locks_out_itself_and_one_of_many_names_is_slow_too() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let behind = |client: String| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", client.parse().unwrap());
            Client::of("127.0.0.1".parse().unwrap(), &headers)
        };
        let guesser = behind("203.0.113.1".to_owned());
        let other = behind("203.0.113.2".to_owned());
        // As often as it may, for an hour.
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            while attempts.may(guesser, now).is_ok() {
                attempts.failed(guesser, now);
            }
            assert!(attempts.may(other, now).is_ok(), "{second}");
        }
        // Another name each time, which only who reaches us without the proxy can.
        let now = start + Duration::from_secs(7200);
        let mut tried = 0;
        for n in 0..500 {
            let name = behind(format!("198.51.{}.{}", n / 250, n % 250));
            if attempts.may(name, now).is_ok() {
                attempts.failed(name, now);
                tried += 1;
            }
        }
        assert_eq!(tried, ALL_AT_ONCE);
        // Who comes without any is held to what it did itself.
        let direct = Client::of("127.0.0.1".parse().unwrap(), &HeaderMap::new());
        assert!(attempts.may(direct, now).is_ok());
    }
}
