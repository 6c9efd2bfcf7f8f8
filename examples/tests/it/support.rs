//! What the tests share: the program, log files, and servers.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ctforward_visionone::Secret;
use ctforward_visionone::standin::{StandIn, StandInBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::value::RawValue;

pub const TOKEN: &str = "eyJ-test-token-that-must-never-show";

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Neither stream shows the token or an endpoint's query.
    pub fn assert_no_secret(&self) {
        for text in [&self.stdout, &self.stderr] {
            assert!(!text.contains(TOKEN), "{text}");
            assert!(!text.contains("s3cr3t"), "{text}");
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Where a program was built.
pub fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not built: run `cargo test --workspace`, or `cargo build --example {name}` first",
        path.display()
    );
    path
}

/// The built program, with an environment of its own.
pub fn cli() -> Command {
    let path = example("cli");
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("VISIONONE_INGEST_TOKEN", TOKEN)
        .stdin(Stdio::null());
    command
}

/// Runs it with these arguments.
pub async fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    run_with(cli(), args).await
}

pub async fn run_with<S: AsRef<std::ffi::OsStr>>(
    mut command: Command,
    args: impl IntoIterator<Item = S>,
) -> Ran {
    command.args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
        .into()
}

pub async fn standin() -> StandIn {
    start(StandIn::builder()).await
}

pub async fn start(builder: StandInBuilder) -> StandIn {
    let token = Secret::new(TOKEN).unwrap();
    builder.token(token).start().await.unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(bytes), &mut out).unwrap();
    out
}

/// A record whose name is `name`.
pub fn record(name: &str) -> String {
    format!(
        r#"{{"eventVersion":"1.09","eventTime":"2026-03-01T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"{name}","eventID":"{name}","awsRegion":"us-east-1","requestParameters":{{"big":12345678901234567890123,"float":1624.0,"umlaut":"\u00fc"}}}}"#
    )
}

pub fn log_file(records: &[String]) -> String {
    format!(r#"{{"Records":[{}]}}"#, records.join(","))
}

/// A key of the layout; `minute` of 2026-03-01 12:xx is its delivery time.
pub fn key(account: &str, region: &str, minute: u32) -> String {
    format!(
        "AWSLogs/{account}/CloudTrail/{region}/2026/03/01/{account}_CloudTrail_{region}_20260301T12{minute:02}Z_abcdefghijklmnop.json.gz"
    )
}

pub fn write(root: &Path, key: &str, bytes: &[u8]) -> PathBuf {
    let path = root.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The records of a log file as serde_json finds them, each on one line, sorted by nothing.
pub fn records_of(stored: &[u8]) -> Vec<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Log<'a> {
        #[serde(rename = "Records", borrow)]
        records: Vec<&'a RawValue>,
    }
    let inflated = gunzip(stored);
    let log: Log<'_> = serde_json::from_slice(&inflated).unwrap();
    log.records
        .iter()
        .map(|raw| {
            let bytes = raw.get().as_bytes();
            if bytes.contains(&b'\n') || bytes.contains(&b'\r') {
                without_white_space(bytes)
            } else {
                bytes.to_vec()
            }
        })
        .collect()
}

/// Written apart from the program's own: one byte after the other.
fn without_white_space(record: &[u8]) -> Vec<u8> {
    let (mut out, mut string, mut escaped) = (Vec::new(), false, false);
    for &byte in record {
        if string {
            out.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => string = false,
                _ => {}
            }
        } else if !byte.is_ascii_whitespace() {
            string = byte == b'"';
            out.push(byte);
        }
    }
    out
}

/// Every file below a folder.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub fn sorted(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    lines.sort();
    lines
}

pub fn received(standin: &StandIn) -> Vec<Vec<u8>> {
    sorted(
        standin
            .records()
            .into_iter()
            .map(|line| line.to_vec())
            .collect(),
    )
}
