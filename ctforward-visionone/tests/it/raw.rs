//! A server on bare TCP that does what no decent server would do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the next request.
pub(crate) enum Step {
    /// Read it, answer, keep the connection.
    Answer(Vec<u8>),
    /// Read it, answer, then close without having said so.
    AnswerAndClose(Vec<u8>),
    /// Read the head only, answer and close.
    AnswerEarly(Vec<u8>),
    /// Read the head only and close.
    CutBeforeBody,
    /// Read it and close.
    CutAfterBody,
    /// Read it, answer, then send this over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Read it and say nothing for this long.
    Silence(Duration),
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) connection: usize,
}

#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    answer_bytes(status, headers, body.as_bytes())
}

pub(crate) fn answer_bytes(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn ok() -> Step {
    Step::Answer(answer("200 OK", "", ""))
}

impl Raw {
    /// Takes one step for each request; when none is left, answers 200.
    pub(crate) async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let steps = Arc::new(Mutex::new(steps.into_iter().collect::<VecDeque<_>>()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(
                    stream,
                    connection,
                    Arc::clone(&steps),
                    Arc::clone(&seen),
                ));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!(
            "http://{}/ingest/raw?k=querysecret-0123456789",
            self.address
        )
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    steps: Arc<Mutex<VecDeque<Step>>>,
    requests: Arc<Mutex<Vec<Request>>>,
) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let step = steps.lock().unwrap().pop_front().unwrap_or_else(ok);
        let note = |body: Vec<u8>| {
            requests.lock().unwrap().push(Request {
                head: head.clone(),
                body,
                connection,
            });
        };
        match &step {
            Step::CutBeforeBody => {
                note(Vec::new());
                return None;
            }
            Step::AnswerEarly(text) => {
                note(Vec::new());
                stream.write_all(text).await.ok()?;
                return None;
            }
            _ => {}
        }
        let length: usize = head
            .lines()
            .find_map(|l| {
                l.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|v| v.trim().parse().unwrap())
            })
            .unwrap_or(0);
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        note(buffer.drain(..length).collect());
        match step {
            Step::Answer(text) => stream.write_all(&text).await.ok()?,
            Step::AnswerAndClose(text) => {
                stream.write_all(&text).await.ok()?;
                return None;
            }
            Step::Endless(text, chunk) => {
                stream.write_all(&text).await.ok()?;
                loop {
                    stream.write_all(&chunk).await.ok()?;
                }
            }
            Step::Silence(time) => tokio::time::sleep(time).await,
            Step::CutAfterBody | Step::CutBeforeBody | Step::AnswerEarly(_) => return None,
        }
    }
}
