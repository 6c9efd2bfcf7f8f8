//! What a function speaks to, in this process: Lambda's Runtime API, a queue whose messages
//! can be put off, and an endpoint that keeps some requests waiting.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

type Reply = Response<Full<Bytes>>;

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

/// Serves until it is dropped.
async fn serve<F, R>(answer: F) -> (String, AbortOnDropHandle<()>)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Reply> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, AbortOnDropHandle::new(task))
}

async fn body(request: Request<Incoming>) -> Bytes {
    request.into_body().collect().await.unwrap().to_bytes()
}

/// What a function said of a call.
#[derive(Clone, Debug)]
pub enum Said {
    Answer(Value),
    /// The error's type, and its words.
    Error(String, String),
}

#[derive(Default)]
struct State {
    calls: VecDeque<(String, u128, Bytes)>,
    said: HashMap<String, Said>,
    number: u64,
    put_off: Vec<(String, String, u64)>,
}

/// Lambda, with one function.
pub struct Lambda {
    address: String,
    state: Arc<(Mutex<State>, Notify)>,
    _task: AbortOnDropHandle<()>,
}

impl Lambda {
    pub async fn start() -> Self {
        let state = Arc::<(Mutex<State>, Notify)>::default();
        let shared = Arc::clone(&state);
        let (address, task) = serve(move |request| {
            let state = Arc::clone(&shared);
            async move { answer(request, &state).await }
        })
        .await;
        Self {
            address,
            state,
            _task: task,
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls the function, which has so long, and waits for what it says.
    pub async fn call(&self, event: &Value, left: Duration) -> Said {
        let deadline = SystemTime::now() + left;
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis();
        self.call_at(event.to_string(), deadline).await
    }

    /// Calls it with any event, and with any deadline in milliseconds since 1970.
    pub async fn call_at(&self, event: String, deadline: u128) -> Said {
        let id = {
            let mut state = self.state.0.lock().unwrap();
            state.number += 1;
            let id = format!("8476a536-e9f4-11e8-9739-{:012}", state.number);
            state.calls.push_back((id.clone(), deadline, event.into()));
            id
        };
        self.state.1.notify_waiters();
        self.said(&id).await
    }

    /// What is said of the start that failed, or of a call.
    pub async fn said(&self, id: &str) -> Said {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(said) = self.state.0.lock().unwrap().said.remove(id) {
                    return said;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap()
    }

    /// Which messages of which queue were put off, for how many seconds.
    pub fn put_off(&self) -> Vec<(String, String, u64)> {
        self.state.0.lock().unwrap().put_off.clone()
    }
}

async fn answer(request: Request<Incoming>, state: &(Mutex<State>, Notify)) -> Reply {
    let path = request.uri().path().to_owned();
    let header = |name| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    if let Some(target) = header("x-amz-target") {
        assert_eq!(target, "AmazonSQS.ChangeMessageVisibilityBatch");
        let asked: Value = serde_json::from_slice(&body(request).await).unwrap();
        return reply(200, put_off(&asked, &mut state.0.lock().unwrap()));
    }
    let rest = path.strip_prefix("/2018-06-01/runtime/").unwrap();
    match rest.split('/').collect::<Vec<_>>()[..] {
        ["invocation", "next"] => loop {
            let changed = state.1.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let call = state.0.lock().unwrap().calls.pop_front();
            if let Some((id, deadline, event)) = call {
                return Response::builder()
                    .header("lambda-runtime-aws-request-id", id)
                    .header("lambda-runtime-deadline-ms", deadline.to_string())
                    .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e8")
                    .body(Full::new(event))
                    .unwrap();
            }
            changed.await;
        },
        ["invocation", id, "response"] => {
            let answer = serde_json::from_slice(&body(request).await).unwrap();
            say(state, id, Said::Answer(answer))
        }
        ["invocation", id, "error"] | [id @ "init", "error"] => {
            let kind = header("lambda-runtime-function-error-type").unwrap();
            let error: Value = serde_json::from_slice(&body(request).await).unwrap();
            assert_eq!(error["errorType"], kind.as_str());
            let words = error["errorMessage"].as_str().unwrap().to_owned();
            say(state, id, Said::Error(kind, words))
        }
        _ => reply(404, ""),
    }
}

fn say(state: &(Mutex<State>, Notify), id: &str, said: Said) -> Reply {
    let before = state.0.lock().unwrap().said.insert(id.to_owned(), said);
    assert!(before.is_none(), "{id} was answered twice");
    reply(202, r#"{"status":"OK"}"#)
}

fn put_off(asked: &Value, state: &mut State) -> String {
    let entries = asked["Entries"].as_array().unwrap();
    assert!((1..=10).contains(&entries.len()));
    let queue = asked["QueueUrl"].as_str().unwrap();
    for entry in entries {
        let handle = entry["ReceiptHandle"].as_str().unwrap().to_owned();
        let seconds = entry["VisibilityTimeout"].as_u64().unwrap();
        state.put_off.push((queue.to_owned(), handle, seconds));
    }
    let done = entries.iter().map(|entry| json!({"Id": entry["Id"]}));
    json!({"Successful": done.collect::<Vec<_>>(), "Failed": []}).to_string()
}

/// An endpoint that takes every line, but answers no request with a line that contains
/// a word, as long as it is told to hold it.
pub struct Endpoint {
    pub url: String,
    state: Arc<(Mutex<Taken>, Notify)>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Taken {
    hold: Option<&'static str>,
    lines: Vec<Vec<u8>>,
    held: usize,
}

impl Endpoint {
    pub async fn holding(word: &'static str) -> Self {
        let state = Arc::<(Mutex<Taken>, Notify)>::default();
        state.0.lock().unwrap().hold = Some(word);
        let shared = Arc::clone(&state);
        let (address, task) = serve(move |request| {
            let state = Arc::clone(&shared);
            async move {
                let body = body(request).await;
                let held = {
                    let mut taken = state.0.lock().unwrap();
                    let text = String::from_utf8_lossy(&body);
                    let held = taken.hold.is_some_and(|word| text.contains(word));
                    if held {
                        taken.held += 1;
                    } else {
                        let lines = body.split(|b| *b == b'\n').map(<[u8]>::to_vec);
                        taken.lines.extend(lines.filter(|line| !line.is_empty()));
                    }
                    held
                };
                if held {
                    std::future::pending::<()>().await;
                }
                reply(200, "")
            }
        })
        .await;
        Self {
            url: format!("http://{address}/x"),
            state,
            _task: task,
        }
    }

    /// From now on everything is taken.
    pub fn let_go(&self) {
        self.state.0.lock().unwrap().hold = None;
    }

    /// The lines that were taken, sorted.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        let mut lines = self.state.0.lock().unwrap().lines.clone();
        lines.sort();
        lines
    }

    /// How many requests were held.
    pub fn held(&self) -> usize {
        self.state.0.lock().unwrap().held
    }
}
