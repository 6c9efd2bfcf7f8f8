//! MiniStack, started for one test where end-to-end tests are asked for.
//!
//! They run where the environment variable `CTFORWARD_E2E` is set; where it is
//! `required`, a test that cannot run fails. `CTFORWARD_MINISTACK` names the program
//! where it lies elsewhere than in `.venv-e2e`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// It is up within seconds, or not at all; a loaded machine is slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running emulator; dropping it ends it.
pub(crate) struct Emulator {
    pub(crate) url: String,
    folder: TempDir,
    child: Child,
}

impl Emulator {
    /// `None` where end-to-end tests are not asked for.
    pub(crate) async fn start() -> Option<Self> {
        let asked = std::env::var("CTFORWARD_E2E").unwrap_or_default();
        if asked.is_empty() {
            println!("skipped: CTFORWARD_E2E is not set");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let program = std::env::var_os("CTFORWARD_MINISTACK")
            .map_or_else(|| root.join(".venv-e2e/bin/ministack"), PathBuf::from);
        if !program.exists() {
            let line = format!(
                "skipped: {} is not there; run .ci/e2e-setup, or set CTFORWARD_MINISTACK",
                program.display()
            );
            assert!(asked != "required", "{line}");
            println!("{line}");
            return None;
        }
        // Another process may take the port in between; then there is another one.
        for _ in 0..5 {
            if let Some(emulator) = Self::try_start(&program).await {
                return Some(emulator);
            }
        }
        panic!("{} did not start", program.display());
    }

    async fn try_start(program: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let log = File::create(folder.path().join("output")).unwrap();
        let child = Command::new(program)
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("HOME", folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut emulator = Self {
            url: format!("http://127.0.0.1:{port}"),
            folder,
            child,
        };
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if emulator.child.try_wait().unwrap().is_some() {
                break;
            }
            if healthy(port).await.is_some_and(|healthy| healthy) {
                return Some(emulator);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("the emulator does not answer: {}", emulator.output());
        None
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

async fn healthy(port: u16) -> Option<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request =
        b"GET /_ministack/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut head = [0; 12];
    let read = stream.read_exact(&mut head);
    tokio::time::timeout(Duration::from_secs(2), read)
        .await
        .ok()?
        .ok()?;
    Some(head.ends_with(b" 200"))
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let from = output.len().saturating_sub(4000);
            println!("it said: {}", output.get(from..).unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
