//! The daemon as a user runs it: the built program, a folder, real HTTP.

mod limits;
mod settings;
mod start;
mod tokens;
mod work;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::*;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// The built program, with an environment of its own.
fn program() -> Command {
    let mut command = Command::new(example("daemon"));
    command
        .env_clear()
        .env("NO_PROXY", "127.0.0.1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .stdin(Stdio::null());
    command
}

/// A place for settings, token, ledger and a folder of log files.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(place.logs()).unwrap();
        place.token(TOKEN);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Writes the token's file.
    fn token(&self, token: &str) {
        self.secret("token", token);
    }

    /// Writes a file that others cannot read.
    fn secret(&self, name: &str, secret: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), secret).unwrap();
        let owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), owner).unwrap();
    }

    /// Writes settings: what is always needed, and `more`.
    fn settings(&self, endpoint: &str, more: &str) -> PathBuf {
        let at = self.folder.path().display();
        let text = format!(
            "[endpoint]\nurl = \"{endpoint}\"\ntoken_file = \"{at}/token\"\n\
             [keep]\nledger = \"{at}/ledger.sqlite\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [source.good]\ntype = \"directory\"\npath = \"{at}/logs\"\nevery_seconds = 1\n{more}"
        );
        let path = self.path("daemon.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Puts a log file of these records into the folder, whole.
    fn put(&self, folder: &str, minute: u32, names: &[&str]) -> Vec<Vec<u8>> {
        let records: Vec<_> = names.iter().map(|name| record(name)).collect();
        let new = self.path("new");
        std::fs::write(&new, gzip(log_file(&records).as_bytes())).unwrap();
        let path = self
            .path(folder)
            .join(key("111122223333", "us-east-1", minute));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::rename(new, path).unwrap();
        records.into_iter().map(String::into_bytes).collect()
    }
}

/// A daemon under way; killed when it is dropped.
struct Daemon {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    async fn start(settings: &Path) -> Self {
        Self::start_with(program(), settings).await
    }

    async fn start_with(program: Command, settings: &Path) -> Self {
        let daemon = Self::spawn(program, settings);
        daemon.until_log("the pages are at").await;
        daemon
    }

    /// Begun, and not waited for.
    fn spawn(mut program: Command, settings: &Path) -> Self {
        let mut child = program
            .arg("--config")
            .arg(settings)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    async fn until_log(&self, words: &str) {
        self.until(words, || async { self.log().contains(words) })
            .await;
    }

    /// Waits until something holds.
    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let began = Instant::now();
        while !holds().await {
            assert!(began.elapsed() < PATIENCE, "not {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where the pages are.
    fn base(&self) -> String {
        let log = self.log();
        let base = log.split("the pages are at ").nth(1).unwrap();
        let base = base.split(['\n', '"']).next().unwrap();
        base.trim_end_matches('/').to_owned()
    }

    /// A page's status and body.
    async fn page(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{path}", self.base());
        let answer = client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn status(&self) -> serde_json::Value {
        let (status, body) = self.page("/status").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end, and answers its exit status and its log.
    async fn ended(mut self) -> (i32, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it said last may still be on its way.
                tokio::time::sleep(Duration::from_millis(50)).await;
                let log = self.log();
                assert!(!log.contains(TOKEN), "{log}");
                return (status.code().unwrap_or(-1), log);
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it does not end\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) -> (i32, String) {
        self.signal("-TERM");
        self.ended().await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_demo_runs_and_says_where_its_page_is() {
    let ran = run_with(program(), ["--demo", "3"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains("the daemon's page at http://127.0.0.1:"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("records accepted"), "{ran:?}");
}

#[tokio::test]
async fn without_an_argument_it_says_how_it_is_used() {
    let ran = run_with(program(), [""; 0]).await;
    assert!(
        ran.stderr.contains("--config") && ran.stderr.contains("--check"),
        "{ran:?}"
    );
    assert_eq!(ran.status, 2);
}
