//! The daemon as a user runs it, with a queue as its source.

mod catch_up;
mod secret;
mod share;
mod sources;
mod trouble;
mod work;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ctforward_core::ledger::{LedgerReader, RowFilter};
use serde_json::Value;

use crate::setup::{Feed, until};
use crate::support::*;

/// A folder with settings, a token, a ledger and a quarantine.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).unwrap();
        let owner = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(token, owner).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ledger(&self) -> PathBuf {
        self.path("ledger.sqlite")
    }

    /// How many files the ledger knows to be finished.
    fn finished(&self) -> u64 {
        let status = LedgerReader::open(self.ledger()).unwrap().status().unwrap();
        status.delivered
    }

    /// Whether the ledger says that a part of the only file is decided.
    fn marked(&self) -> bool {
        // Also of a ledger that is being made.
        let rows = LedgerReader::open(self.ledger())
            .and_then(|reader| reader.rows(None, 1, &RowFilter::default()));
        rows.is_ok_and(|rows| rows.iter().any(|row| row.low_water > 0))
    }

    /// Settings with the token's file; `more` are further lines of the queue's section,
    /// and sections.
    fn settings(&self, feed: &Feed, s3: &str, endpoint: &str, more: &str) -> PathBuf {
        let token = format!("token_file = \"{}\"", self.path("token").display());
        self.settings_with(&token, feed, s3, endpoint, more)
    }

    fn settings_with(
        &self,
        token: &str,
        feed: &Feed,
        s3: &str,
        endpoint: &str,
        more: &str,
    ) -> PathBuf {
        let at = self.folder.path().display();
        let (queue, bucket) = (&feed.queue_url, &feed.bucket);
        let text = format!(
            "[endpoint]\nurl = \"{endpoint}\"\n{token}\n\
             [keep]\nledger = \"{at}/ledger.sqlite\"\nquarantine = \"{at}/quarantine\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [source.queue]\ntype = \"sqs\"\nqueue_url = \"{queue}\"\nbuckets = [\"{bucket}\"]\n\
             region = \"us-east-1\"\ns3_endpoint_url = \"{s3}\"\n{more}"
        );
        let path = self.path("daemon.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A daemon under way; dropping it kills it.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    async fn start(settings: &Path) -> Self {
        Self::start_with(settings, &[]).await
    }

    /// With further environment variables.
    async fn start_with(settings: &Path, variables: &[(&str, &str)]) -> Self {
        let log = settings.with_extension("log");
        let output = File::create(&log).unwrap();
        let child = Command::new(example("daemon"))
            .arg("--config")
            .arg(settings)
            .env_clear()
            .env("NO_PROXY", "127.0.0.1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/nonexistent")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
            // Small files are not kept waiting for more.
            .env("CTFORWARD_PACE_LINGER_MS", "100")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .unwrap();
        let daemon = Self { child, log };
        daemon.until_log("the pages are at").await;
        daemon
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn until_log(&self, words: &str) {
        self.until(words, async || self.log().contains(words)).await;
    }

    /// Waits until it is so; its log is shown where that is in vain.
    async fn until(&self, what: &str, so: impl AsyncFn() -> bool) {
        let log = Shown(&self.log);
        until(what, so).await;
        drop(log);
    }

    /// A page's status and body.
    async fn page(&self, path: &str) -> (u16, String) {
        let log = self.log();
        let base = log.split("the pages are at ").nth(1).unwrap();
        let base = base.split(['\n', '"']).next().unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let answer = http.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Whether it says that something can be delivered.
    async fn ready(&self) -> bool {
        self.page("/readyz").await.0 == 200
    }

    async fn status(&self) -> Value {
        let (status, body) = self.page("/status").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// SIGKILL: nothing is written, given back or closed.
    async fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; answers its exit status and its log.
    async fn stop(mut self) -> (i32, String) {
        self.signal("-TERM");
        for _ in 0..1200 {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = self.log();
                assert!(!log.contains(TOKEN), "{log}");
                return (status.code().unwrap_or(-1), log);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not end\n{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Shows a log when something panics meanwhile.
struct Shown<'a>(&'a Path);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(self.0).unwrap_or_default());
        }
    }
}
