//! An emulator of AWS, started for one test.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{Credentials, Region};
use ctforward_aws::s3::PlainHttp;
use tempfile::TempDir;

/// An emulator is up within seconds, or not at all; a loaded machine is slower.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    MiniStack,
    Moto,
}

/// A running emulator; dropping it ends it with all its processes.
pub struct Emulator {
    pub url: String,
    pub kind: Kind,
    folder: TempDir,
    program: PathBuf,
    child: Child,
}

impl Emulator {
    /// MiniStack, or `None` where end-to-end tests are not asked for.
    pub async fn ministack() -> Option<Self> {
        Self::start(Kind::MiniStack).await
    }

    /// moto, or `None` where end-to-end tests are not asked for.
    pub async fn moto() -> Option<Self> {
        Self::start(Kind::Moto).await
    }

    async fn start(kind: Kind) -> Option<Self> {
        let asked = std::env::var("CTFORWARD_E2E").unwrap_or_default();
        if asked.is_empty() {
            println!("skipped: CTFORWARD_E2E is not set");
            return None;
        }
        let (variable, beside) = match kind {
            Kind::MiniStack => ("CTFORWARD_MINISTACK", ".venv-e2e/bin/ministack"),
            Kind::Moto => ("CTFORWARD_MOTO", ".venv-moto/bin/moto_server"),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let program = std::env::var_os(variable).map_or_else(|| root.join(beside), PathBuf::from);
        if !program.exists() {
            let line = format!(
                "skipped: {} is not there; run .ci/e2e-setup, or set {variable}",
                program.display()
            );
            assert!(asked != "required", "{line}");
            println!("{line}");
            return None;
        }
        // Another process may take the port in between; then there is another one.
        for _ in 0..5 {
            if let Some(emulator) = Self::try_start(kind, &program).await {
                return Some(emulator);
            }
        }
        panic!("{} did not start", program.display());
    }

    async fn try_start(kind: Kind, program: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let log = File::create(folder.path().join("output")).unwrap();
        let mut command = Command::new(program);
        match kind {
            Kind::MiniStack => {
                command
                    .env("BIND_HOST", "127.0.0.1")
                    .env("MINISTACK_HOST", "127.0.0.1")
                    .env("GATEWAY_PORT", port.to_string());
            }
            Kind::Moto => {
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            }
        }
        let child = command
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut emulator = Self {
            url: format!("http://127.0.0.1:{port}"),
            kind,
            folder,
            program: program.to_owned(),
            child,
        };
        let health = match kind {
            Kind::MiniStack => format!("{}/_ministack/health", emulator.url),
            Kind::Moto => format!("{}/moto-api/", emulator.url),
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if emulator.child.try_wait().unwrap().is_some() {
                println!("the emulator ended: {}", emulator.output());
                return None;
            }
            let answer = http
                .get(&health)
                .timeout(Duration::from_secs(2))
                .send()
                .await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Some(emulator);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("the emulator does not answer: {}", emulator.output());
        None
    }

    /// What it wrote so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::new()
            .behavior_version_latest()
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .region(Region::new("us-east-1"));
        ctforward_aws::s3::client(config, Some(&self.url), None, PlainHttp::LoopbackOnly).unwrap()
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::config::Builder::new()
            .behavior_version_latest()
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .region(Region::new("us-east-1"));
        let anywhere = format!("{}/000000000000/any", self.url);
        ctforward_aws::sqs::client(config, &anywhere, None, None, PlainHttp::LoopbackOnly).unwrap()
    }

    /// Runs a script with the emulator's own Python, which has botocore. `client(NAME)` in
    /// it makes a client, `args` are its arguments; it answers what the script prints.
    pub async fn python(&self, script: &str, args: &[&str]) -> String {
        const BEFORE: &str = r#"
import sys, json, botocore.session
from botocore.config import Config
url, args = sys.argv[1], sys.argv[2:]
def client(name):
    return botocore.session.get_session().create_client(name, region_name='us-east-1',
        endpoint_url=url, aws_access_key_id='test', aws_secret_access_key='test',
        config=Config(s3={'addressing_style': 'path'}, proxies={}))
"#;
        let mut command = Command::new(self.program.with_file_name("python"));
        command
            .arg("-c")
            .arg(format!("{BEFORE}{script}"))
            .arg(&self.url)
            .args(args)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}\n{}", self.output());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let from = output.len().saturating_sub(4000);
            println!(
                "the emulator said: {}",
                output.get(from..).unwrap_or_default()
            );
        }
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
