//! Connections, within limits.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ctforward_core::{Error, ErrorKind, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::{HEAD_BYTES, HEADERS, Limits};
use super::route::{Pages, answer};

/// What is said to a connection too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
    Content-Length: 21\r\nRetry-After: 1\r\nConnection: close\r\n\r\ntoo many connections\n";

/// Binds `address`.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let what = format!("cannot listen on {address} ({})", e.kind());
        Error::new(ErrorKind::Unavailable, "admin", what).with_source(e)
    })
}

/// Serves connections until `stop`, and then until those under way have ended.
pub(super) async fn listen(
    listener: TcpListener,
    pages: Arc<Pages>,
    limits: Limits,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    // Sending somebody away takes a task too, for a moment.
    let refusals = Arc::new(Semaphore::new(limits.connections));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Such as too many open files: wait for some to close.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            let (pages, stop) = (Arc::clone(&pages), stop.clone());
            tasks.spawn(async move {
                connection(stream, peer, pages, limits, stop).await;
                drop(slot);
            });
        } else {
            metrics::counter!("ctforward_admin_refused_total", "why" => "connections").increment(1);
            if let Ok(slot) = Arc::clone(&refusals).try_acquire_owned() {
                tasks.spawn(async move {
                    let _ = timeout(Duration::from_secs(1), send_away(stream)).await;
                    drop(slot);
                });
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn send_away(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    // What was sent and is not read would reset the connection, and lose the answer.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    pages: Arc<Pages>,
    limits: Limits,
    stop: CancellationToken,
) {
    // An answer is small: it should not wait for more to send.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, std::convert::Infallible>(answer(&pages, peer.ip(), request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(HEADERS)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(2 * HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    // How a connection ends is the client's matter.
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = stop.cancelled() => false,
        () = sleep(limits.life) => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(limits.stop, connection).await;
    }
}
