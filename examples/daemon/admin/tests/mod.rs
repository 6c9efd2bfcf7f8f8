//! The pages over real sockets.

pub(crate) mod board;
mod browser;
mod limits;
mod redrive;
mod refusals;
mod webdriver;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ctforward_visionone::{Secret, TokenProvider};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use super::{Admin, AdminSettings, serve_within};
use board::TestBoard;

pub(crate) const TOKEN: &str = "an-admin-token-of-the-tests";

/// The recorder of this process, made once.
pub(crate) fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| super::metrics::install().unwrap())
        .clone()
}

fn secret() -> Option<Arc<dyn TokenProvider>> {
    Some(Arc::new(Secret::new(TOKEN).unwrap()))
}

/// The pages, served until dropped.
struct Served {
    admin: Admin,
    board: Arc<TestBoard>,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(settings: AdminSettings, limits: Limits) -> Served {
    let (board, stop) = (Arc::new(TestBoard::new()), CancellationToken::new());
    let shared = Arc::clone(&board);
    let admin = serve_within(limits, settings, shared, recorder(), stop.clone());
    let admin = admin.await.unwrap();
    Served { admin, board, stop }
}

/// On a loopback address, with a token.
async fn on_loopback() -> Served {
    let settings = AdminSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: secret(),
        ..AdminSettings::default()
    };
    serve(settings, Limits::default()).await
}

/// On every address, with a token and a name.
async fn on_every_address() -> Served {
    let settings = AdminSettings {
        listen: "0.0.0.0:0".parse().unwrap(),
        token: secret(),
        hosts: vec!["forward.test".to_owned()],
        ..AdminSettings::default()
    };
    serve(settings, Limits::default()).await
}

/// An answer, taken apart.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut of = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name));
        of.next().map(|(_, value)| value.trim())
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    let port = address.port();
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Reads an answer to the end of the connection.
async fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A reset after an answer is the end of it.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes))
        .await
        .expect("the connection stays open");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Sends bytes as they are.
async fn raw(served: &Served, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(served.admin.address).await;
    // It may be told so before it has sent everything.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

/// One request to the name `localhost` unless another `Host` is among `headers`.
async fn request(served: &Served, line: &str, headers: &[&str], body: &str) -> Answer {
    let port = served.admin.address.port();
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|h| h.starts_with("Host:")) {
        text.push_str(&format!("Host: localhost:{port}\r\n"));
    }
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    raw(served, text.as_bytes()).await.expect("an answer")
}

async fn get(served: &Served, path: &str) -> Answer {
    request(served, &format!("GET {path}"), &[], "").await
}
