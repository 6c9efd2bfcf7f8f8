//! Which token is sent after which refusal.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ctforward_core::{Error, ErrorKind, Result, Sink};
use ctforward_visionone::{
    CachedToken, Secret, TokenFile, TokenPair, TokenProvider, VisionOneSink, Which,
};

use crate::raw::{Raw, Step, answer, ok};
use crate::{secret, two};

/// A token that is wherever somebody put it, counted each time it is fetched.
#[derive(Clone, Default)]
struct Kept {
    token: Arc<Mutex<Option<String>>>,
    reads: Arc<AtomicUsize>,
}

impl Kept {
    fn new(token: &str) -> Self {
        let kept = Self::default();
        kept.set(Some(token));
        kept
    }

    fn set(&self, token: Option<&str>) {
        *self.token.lock().unwrap() = token.map(str::to_owned);
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl TokenProvider for Kept {
    async fn token(&self, _refresh: bool) -> Result<Secret> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let token = self.token.lock().unwrap().clone();
        let none = || Error::new(ErrorKind::Config, "token", "there is none");
        Secret::new(token.ok_or_else(none)?)
    }
}

fn no() -> Step {
    Step::Answer(answer("401 Unauthorized", "", ""))
}

fn sink(server: &Raw, token: impl TokenProvider + 'static) -> VisionOneSink {
    VisionOneSink::builder(&server.endpoint(), token)
        .request_timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// The tokens of the requests that came, in order.
fn sent(server: &Raw) -> Vec<String> {
    let token = |head: &str| {
        let line = head.lines().find(|l| l.starts_with("authorization: "));
        line.unwrap().replace("authorization: Bearer ", "")
    };
    server.requests().iter().map(|r| token(&r.head)).collect()
}

#[tokio::test]
async fn the_next_token_takes_over_and_stays() {
    let server = Raw::start([ok(), no(), ok(), ok(), no(), ok(), ok()]).await;
    let (current, next) = (Kept::new("one"), Kept::new("two"));
    let pair = Arc::new(TokenPair::new(current.clone(), next));
    let sink = sink(&server, Arc::clone(&pair));
    for (delivery, in_use) in [
        (["one", ""], Which::Current),
        // The endpoint ends it.
        (["one", "two"], Which::Next),
        (["two", ""], Which::Next),
    ] {
        let before = server.requests().len();
        assert!(sink.deliver(&two()).await.unwrap().is_complete());
        let expected: Vec<_> = delivery.into_iter().filter(|t| !t.is_empty()).collect();
        assert_eq!(sent(&server)[before..], expected);
        assert_eq!(pair.in_use(), in_use);
    }
    assert!(pair.is_refused(Which::Current) && !pair.is_refused(Which::Next));
    // The other way round: a new one was put in the first one's place.
    current.set(Some("three"));
    sink.deliver(&two()).await.unwrap();
    sink.deliver(&two()).await.unwrap();
    assert_eq!(sent(&server)[4..], ["two", "three", "three"]);
    assert_eq!(pair.in_use(), Which::Current);
    assert!(!pair.is_refused(Which::Current) && pair.is_refused(Which::Next));
    // A refused request and its repetition carry the same bytes.
    assert!(server.requests().iter().all(|r| r.body == two().body()));
}

#[tokio::test]
async fn each_token_is_read_anew_before_it_is_given_up() {
    let server = Raw::start([no(), no(), no(), no()]).await;
    let (current, next) = (Kept::new("one"), Kept::new("two"));
    let cached = [
        CachedToken::new(current.clone()),
        CachedToken::new(next.clone()),
    ];
    for cached in &cached {
        cached.token(false).await.unwrap();
    }
    current.set(Some("one-b"));
    next.set(Some("two-b"));
    let [first, second] = cached;
    let pair = Arc::new(TokenPair::new(first, second));
    let sink = sink(&server, Arc::clone(&pair));
    let error = sink.deliver(&two()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(sent(&server), ["one", "one-b", "two", "two-b"]);
    // Nothing is lost by it: what is accepted later is found.
    sink.deliver(&two()).await.unwrap();
    let shown = format!("{error} {error:?} {pair:?}");
    assert!(
        !shown.contains("one-b") && !shown.contains("two-b"),
        "{shown}"
    );
}

#[tokio::test]
async fn two_tokens_that_are_refused_are_two_requests_and_one_error() {
    let server = Raw::start([no(), no(), no(), no(), no(), ok()]).await;
    let pair = Arc::new(TokenPair::new(secret("one"), secret("two")));
    let sink = sink(&server, Arc::clone(&pair));
    for _ in 0..2 {
        let error = sink.deliver(&two()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
    assert!(pair.is_refused(Which::Current) && pair.is_refused(Which::Next));
    assert_eq!(sent(&server), ["one", "two", "two", "one"]);
    sink.deliver(&two()).await.unwrap();
    assert_eq!(sent(&server)[4..], ["one", "two"]);
}

#[tokio::test]
async fn a_token_that_is_not_there_gives_way_to_the_other_one() {
    let server = Raw::start([ok(), no(), ok()]).await;
    let (current, next) = (Kept::default(), Kept::new("two"));
    let pair = Arc::new(TokenPair::new(current.clone(), next.clone()));
    let sink = sink(&server, Arc::clone(&pair));
    sink.deliver(&two()).await.unwrap();
    assert_eq!(pair.in_use(), Which::Next);
    // No other one: the refusal is what is said, not that the other one is missing.
    let error = sink.deliver(&two()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    next.set(None);
    let error = sink.deliver(&two()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    current.set(Some("one"));
    sink.deliver(&two()).await.unwrap();
    assert_eq!(sent(&server), ["two", "two", "one"]);
}

#[tokio::test]
async fn deliveries_side_by_side_go_over_together() {
    // A server that knows one token only, and answers whoever comes.
    let endpoint = only("two").await;
    let (current, next) = (Kept::new("one"), Kept::new("two"));
    let pair = Arc::new(TokenPair::new(current, next));
    let sink = VisionOneSink::builder(&endpoint, Arc::clone(&pair))
        .build()
        .unwrap();
    let deliveries: Vec<_> = (0..32)
        .map(|_| {
            let sink = sink.clone();
            tokio::spawn(async move { sink.deliver(&two()).await })
        })
        .collect();
    for delivery in deliveries {
        assert!(delivery.await.unwrap().unwrap().is_complete());
    }
    assert_eq!(pair.in_use(), Which::Next);
}

/// The endpoint of a server that accepts one token.
async fn only(token: &'static str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !seen.ends_with(&two().body()) {
                    if stream.read_buf(&mut seen).await.unwrap_or_default() == 0 {
                        return;
                    }
                }
                let sent = String::from_utf8_lossy(&seen).contains(&format!("Bearer {token}\r\n"));
                let status = if sent { "200 OK" } else { "401 Unauthorized" };
                let answer = answer(status, "connection: close\r\n", "");
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_cached_token_is_read_when_refused_or_told_and_survives_a_failed_reading() {
    let server = Raw::start([ok(), ok(), no(), ok(), ok()]).await;
    let kept = Kept::new("one");
    let cached = Arc::new(CachedToken::new(kept.clone()));
    let sink = sink(&server, Arc::clone(&cached));
    sink.deliver(&two()).await.unwrap();
    sink.deliver(&two()).await.unwrap();
    assert_eq!(kept.reads(), 1);
    kept.set(Some("two"));
    sink.deliver(&two()).await.unwrap();
    assert_eq!(
        (sent(&server)[2..].join(" "), kept.reads()),
        ("one two".into(), 2)
    );

    // Told to, as on SIGHUP.
    assert!(!cached.reread().await.unwrap());
    kept.set(Some("three"));
    assert!(cached.reread().await.unwrap());
    kept.set(None);
    let error = cached.reread().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    sink.deliver(&two()).await.unwrap();
    assert_eq!(sent(&server).last().unwrap(), "three");
}

#[tokio::test]
async fn a_cache_asks_once_for_many_that_were_refused() {
    let endpoint = only("two").await;
    let kept = Kept::new("one");
    let cached = Arc::new(CachedToken::new(kept.clone()));
    cached.token(false).await.unwrap();
    kept.set(Some("two"));
    let sink = VisionOneSink::builder(&endpoint, Arc::clone(&cached))
        .build()
        .unwrap();
    sink.deliver(&two()).await.unwrap();
    let reads = kept.reads();
    assert_eq!(reads, 2);
    // One whose request was on its way with the old token takes what is there by now.
    let token = cached.instead_of(&[secret("one")]).await.unwrap();
    assert_eq!(token, Some(secret("two")));
    assert_eq!(kept.reads(), reads);
    // Twice refused is given up.
    let token = cached
        .instead_of(&[secret("one"), secret("two")])
        .await
        .unwrap();
    assert_eq!(token, None);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_rotated_without_a_pause() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, token: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let server = Raw::start([ok(), no(), ok(), ok(), no(), ok()]).await;
    let current = TokenFile::new(write("token", "one"));
    let pair = Arc::new(TokenPair::new(
        current,
        TokenFile::new(folder.path().join("next")),
    ));
    let sink = sink(&server, Arc::clone(&pair));
    sink.deliver(&two()).await.unwrap();
    write("next", "two");
    sink.deliver(&two()).await.unwrap();
    // Told to read again, both are; the one in use stays in use.
    write("token", "three");
    assert_eq!(pair.token(true).await.unwrap(), secret("two"));
    sink.deliver(&two()).await.unwrap();
    sink.deliver(&two()).await.unwrap();
    assert_eq!(sent(&server), ["one", "one", "two", "two", "two", "three"]);
    assert_eq!(pair.in_use(), Which::Current);
}
