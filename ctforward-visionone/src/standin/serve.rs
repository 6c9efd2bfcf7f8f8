//! Connections, and which request goes where.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::fault::{self, Body, Broken};
use super::line::Line;
use super::{Shared, api, ingest};
use crate::secret::Secret;

/// How long a request's head may take to come, and an idle connection stays.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// How long requests under way may take once the server stops.
const STOP_TIME: Duration = Duration::from_secs(2);

pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let tasks = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(shared.settings.max_connections));
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            accepted = next => accepted,
        };
        match accepted {
            None => break,
            Some((slot, Ok((stream, _)))) => {
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    connection(stream, shared).await;
                    drop(slot);
                });
            }
            // Such as too many open files: wait for some to close.
            Some((_, Err(_))) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    // An answer is small: it should not wait for more to send.
    let _ = stream.set_nodelay(true);
    let stop = shared.stop.clone();
    let reset = Arc::new(AtomicBool::new(false));
    let line = Line::new(stream, Arc::clone(&reset));
    let service = service_fn(move |request| {
        let (shared, reset) = (Arc::clone(&shared), Arc::clone(&reset));
        async move {
            let answer = answer(&shared, request).await;
            reset.store(answer.is_err(), Relaxed);
            answer
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_header_size(32 * 1024)
            .max_buf_size(256 * 1024)
            .serve_connection(TokioIo::new(line), service)
    );
    // How a connection ends is the client's matter; what it sent is counted by then.
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = stop.cancelled() => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(STOP_TIME, connection).await;
    }
}

/// Every request comes through here, and every answer leaves here.
async fn answer(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (head, mut body) = request.into_parts();
    shared.store.note_request();
    let path = head.uri.path();
    let reply = if path == shared.settings.path {
        fault::post(shared, &head, &mut body).await?
    } else {
        api::answer(shared, &head, &mut body).await.map(Body::Whole)
    };
    ingest::drain(&mut body).await;
    shared.store.note_answer(reply.status().as_u16());
    Ok(reply)
}

/// Whether the request carries the bearer token; any will do where none is set.
pub(super) fn bearer_is(headers: &HeaderMap, expected: Option<&Secret>) -> bool {
    match (credential(headers, "bearer"), expected) {
        (Some(given), Some(expected)) => given == expected.expose(),
        (Some(given), None) => !given.is_empty(),
        (None, _) => false,
    }
}

/// What follows `scheme` in the one `Authorization` header.
pub(super) fn credential<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (given, credential) = value.to_str().ok()?.split_once(' ')?;
    given
        .eq_ignore_ascii_case(scheme)
        .then(|| credential.trim())
}
