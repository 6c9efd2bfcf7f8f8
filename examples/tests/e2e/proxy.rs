//! A way to S3 that holds back what it is told to.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Passes requests on, and those whose path contains a text only when it is let go.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    state: Arc<State>,
}

struct State {
    server: String,
    slow: String,
    open: AtomicBool,
    held: AtomicU64,
    http: reqwest::Client,
}

impl Proxy {
    /// In front of the server at this address; ends with the test's runtime.
    pub async fn start(server: &str, slow: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            server: server.to_owned(),
            slow: slow.to_owned(),
            open: AtomicBool::new(false),
            held: AtomicU64::new(0),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(pass(request, &state).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, state }
    }

    /// How many requests were held back so far.
    pub fn held(&self) -> u64 {
        self.state.held.load(Ordering::SeqCst)
    }

    /// Lets everything pass.
    pub fn open(&self) {
        self.state.open.store(true, Ordering::SeqCst);
    }
}

async fn pass(request: Request<Incoming>, state: &State) -> Response<Full<Bytes>> {
    let path = request.uri().path_and_query().unwrap().to_string();
    if path.contains(&state.slow) && !state.open.load(Ordering::SeqCst) {
        state.held.fetch_add(1, Ordering::SeqCst);
        while !state.open.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let url = format!("{}{path}", state.server);
    let mut passed = state.http.request(head.method, url).body(body);
    for (name, value) in &head.headers {
        if name != "host" && name != "content-length" {
            passed = passed.header(name, value);
        }
    }
    let answer = passed.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" && name != "content-length" {
            response = response.header(name, value);
        }
    }
    let body = answer.bytes().await.unwrap();
    response.body(Full::new(body)).unwrap()
}
