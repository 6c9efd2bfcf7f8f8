//! A server that answers as a test says, and breaks bodies where it is told to.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Asked {
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where the range asked for begins.
    pub(crate) fn from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// What a body does next.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Send(Bytes),
    Wait(Duration),
    /// The connection breaks.
    Break,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<Do>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let body: Bytes = body.into();
        let length = ("content-length", body.len().to_string());
        Self {
            status,
            headers: vec![length],
            body: vec![Do::Send(body)],
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// An error as S3 writes it.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>{message}</Message><RequestId>R1</RequestId></Error>"
        );
        Self::new(status, body).with("content-type", "application/xml")
    }

    /// The whole of `data`, or what was asked for of it.
    pub(crate) fn object(asked: &Asked, data: &Bytes, etag: &str) -> Self {
        let reply = match asked.from() {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", data.len() - 1, data.len());
                Self::new(206, data.slice(from..)).with("content-range", range)
            }
            None => Self::new(200, data.clone()),
        };
        reply.with("etag", etag)
    }

    /// The same head, but the body breaks after `at` bytes (or waits for long).
    pub(crate) fn ending(mut self, at: usize, how: Do) -> Self {
        let data: Vec<u8> = self
            .body
            .iter()
            .flat_map(|step| match step {
                Do::Send(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        let sent = Bytes::from(data).slice(..at);
        // The pause lets head and bytes out before the connection goes.
        self.body = vec![Do::Send(sent), Do::Wait(Duration::from_millis(20)), how];
        self
    }
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// Runs until dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Answer> = Arc::new(answer);
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let reply = respond(&request, &answer, &log);
                        async move { Ok::<_, Infallible>(reply) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    // Connections that break on purpose end in an error.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            url,
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn respond(
    request: &Request<Incoming>,
    answer: &Arc<Answer>,
    log: &Mutex<Vec<Asked>>,
) -> Response<Steps> {
    let query = request.uri().query().unwrap_or_default();
    let asked = Asked {
        path: decode(request.uri().path()),
        query: query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name.to_owned(), decode(value)))
            .collect(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
    };
    let reply = answer(&asked);
    log.lock().unwrap().push(asked);
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response
        .body(Steps {
            steps: reply.body.into(),
            sleep: None,
        })
        .unwrap()
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            let hex = std::str::from_utf8(&hex).unwrap();
            out.push(u8::from_str_radix(hex, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap()
}

struct Steps {
    steps: VecDeque<Do>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Steps {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.steps.pop_front() {
                Some(Do::Send(bytes)) if bytes.is_empty() => {}
                Some(Do::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Do::Wait(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(Do::Break) => {
                    return Poll::Ready(Some(Err(io::Error::other("broken on purpose"))));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A page of `keys` as S3 answers it; the token is the last entry of the page before.
pub(crate) fn list(keys: &BTreeMap<String, u64>, asked: &Asked) -> Reply {
    let prefix = asked.query("prefix");
    let grouped = asked.query("delimiter") == "/";
    let most: usize = asked.query("max-keys").parse().unwrap_or(1000);
    let token = asked.query("continuation-token");
    let after = if token.is_empty() {
        asked.query("start-after")
    } else {
        ""
    };
    let mut entries: Vec<(String, Option<u64>)> = keys
        .iter()
        .filter(|(key, _)| key.starts_with(prefix) && (after.is_empty() || key.as_str() > after))
        .map(|(key, size)| match key[prefix.len()..].find('/') {
            Some(at) if grouped => (key[..=prefix.len() + at].to_owned(), None),
            _ => (key.clone(), Some(*size)),
        })
        .filter(|(entry, _)| token.is_empty() || entry.as_str() > token)
        .collect();
    entries.dedup();
    let more = entries.len() > most;
    entries.truncate(most);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult>");
    let _ = write!(
        xml,
        "<EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>"
    );
    if let (true, Some((last, _))) = (more, entries.last()) {
        let _ = write!(
            xml,
            "<NextContinuationToken>{}</NextContinuationToken>",
            escape(last)
        );
    }
    for (entry, size) in &entries {
        let name = encode(entry);
        let _ = match size {
            Some(size) => write!(
                xml,
                "<Contents><Key>{name}</Key><ETag>&quot;e{size}&quot;</ETag><Size>{size}</Size></Contents>"
            ),
            None => write!(
                xml,
                "<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
            ),
        };
    }
    xml.push_str("</ListBucketResult>");
    Reply::new(200, xml).with("content-type", "application/xml")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'/' | b'-' | b'_' | b'.' | b'*' => out.push(char::from(byte)),
            b if b.is_ascii_alphanumeric() => out.push(char::from(b)),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}
