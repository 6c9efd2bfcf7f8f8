//! `--demo`: all of it on one machine, with nothing set up.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ctforward_core::text::printable;
use ctforward_visionone::Secret;
use ctforward_visionone::standin::StandIn;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::failure::Failure;
use crate::{prepare, run};

/// A new log file appears this often.
const EVERY: Duration = Duration::from_millis(500);

pub async fn run(seconds: u64) -> Result<ExitCode, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("ctforward-daemon-demo-")
        .tempdir()
        .map_err(failed)?;
    let token: String = (0..32).map(|_| char::from(b'a' + random())).collect();
    let standin = StandIn::builder()
        .token(Secret::new(token.as_str())?)
        .start()
        .await?;
    let root = folder.path();
    let text = settings(root, &standin.endpoint(), &token)?;
    let (settings, mut problems) = config::parse("demo.toml", &text, &BTreeMap::new());
    let parts = match &settings {
        Some(settings) => prepare::parts(settings, &mut problems).await,
        None => None,
    };
    let (Some(settings), Some(parts)) = (settings, parts) else {
        return Err(Failure::work(problems.to_string()));
    };

    say!("ctforward daemon demo: made-up log files, forwarded on this machine for {seconds} s.");
    say!(
        "  a new log file each half second in {}",
        printable(&root.join("logs").to_string_lossy())
    );
    say!("  a stand-in for Vision One at {}", standin.base_url());
    let stop = CancellationToken::new();
    let maker = Maker::new(root);
    let making = tokio::spawn(maker.make(stop.clone()));
    let timer = {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                // Ends early on Ctrl-C.
                _ = tokio::signal::ctrl_c() => {}
            }
            stop.cancel();
        })
    };
    let report = run::run(&settings, parts, stop.clone(), |running| {
        if let Some(pages) = running.pages {
            say!("  the daemon's page at http://{pages}/\n");
        }
    })
    .await?;
    timer.abort();
    stop.cancel();
    let made = making
        .await
        .map_err(|error| Failure::work(error.to_string()))?;
    let made = made.map_err(failed)?;
    let (files, records) = (report.files.delivered, report.records.accepted);
    let lines = standin.counts().lines;
    say!("{made} log files were made and {files} of them forwarded: {records} records accepted,");
    say!("{lines} lines received. What was not forwarded yet would be, by the next start.");
    standin.stop().await;
    if records == lines && files > 0 {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::work(
            "the demo failed: what was accepted is not what arrived",
        ))
    }
}

fn random() -> u8 {
    // Good here only: the token is made up, for a server that lives as long as the demo.
    use std::hash::{BuildHasher as _, RandomState};
    u8::try_from(RandomState::new().hash_one(0) % 26).unwrap_or_default()
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: std::io::Error) -> Failure {
    Failure::work(format!("the demo's files cannot be made: {error}"))
}

/// The file that a user would write, and the token's file beside it.
fn settings(root: &Path, endpoint: &str, token: &str) -> Result<String, Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let token_file = root.join("token");
    let mut file = options.open(&token_file).map_err(failed)?;
    file.write_all(token.as_bytes()).map_err(failed)?;
    std::fs::create_dir(root.join("logs")).map_err(failed)?;
    let quoted = |path: PathBuf| toml::Value::String(path.to_string_lossy().into_owned());
    Ok(format!(
        "[endpoint]\nurl = \"{endpoint}\"\ntoken_file = {}\n\
         [keep]\nledger = {}\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [source.demo]\ntype = \"directory\"\npath = {}\nevery_seconds = 1\n",
        quoted(token_file),
        quoted(root.join("ledger.sqlite")),
        quoted(root.join("logs")),
    ))
}

/// Makes log files as CloudTrail names them.
struct Maker {
    root: PathBuf,
}

impl Maker {
    fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// How many it made until it was stopped.
    async fn make(self, stop: CancellationToken) -> std::io::Result<u64> {
        let mut made = 0;
        while !stop.is_cancelled() {
            self.file(made)?;
            made += 1;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(made)
    }

    fn file(&self, number: u64) -> std::io::Result<()> {
        const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-northeast-1"];
        let account = if number.is_multiple_of(4) {
            "444455556666"
        } else {
            "111122223333"
        };
        let index = usize::try_from(number % 3).unwrap_or_default();
        let region = REGIONS.get(index).copied().unwrap_or("us-east-1");
        let now = Timestamp::now();
        let records: Vec<String> = (0..20)
            .map(|place| record(now, region, number, place))
            .collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        write!(encoder, "{{\"Records\":[{}]}}", records.join(","))?;
        let name = format!(
            "{account}_CloudTrail_{region}_{}_{number:016}.json.gz",
            now.strftime("%Y%m%dT%H%MZ")
        );
        // Whole, or not there: it is read as soon as it is seen.
        let written = self.root.join("new");
        std::fs::write(&written, encoder.finish()?)?;
        let day = now.strftime("%Y/%m/%d");
        let folder = format!("logs/AWSLogs/{account}/CloudTrail/{region}/{day}");
        let folder = self.root.join(folder);
        std::fs::create_dir_all(&folder)?;
        std::fs::rename(written, folder.join(name))
    }
}

fn record(now: Timestamp, region: &str, file: u64, place: u64) -> String {
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ");
    format!(
        r#"{{"eventVersion":"1.11","eventTime":"{time}","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"{region}","sourceIPAddress":"192.0.2.7","userAgent":"demo","eventID":"{file:08}-{place:04}","eventType":"AwsApiCall"}}"#
    )
}
