//! `demo`: all of it on one machine, with nothing set up.

mod bucket;
mod check;
pub mod random;
mod records;
mod search;
mod server;
mod shape;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ctforward_aws::S3Source;
use ctforward_core::deliver::RetryPolicy;
use ctforward_core::key::KeyFilter;
use ctforward_core::pipeline::End;
use ctforward_core::text::printable;
use ctforward_core::{Pipeline, Report};
use ctforward_visionone::standin::StandIn;
use ctforward_visionone::{Secret, VisionOneSink};
use jiff::{Timestamp, Unit};
use tokio_util::sync::CancellationToken;

use crate::args::Demo;
use crate::books::{grouped, text};
use crate::console::{Console, Naming};
use crate::failure::{Failure, chain};
use crate::forward::interrupted;
use bucket::{ACCOUNTS, Bucket, REGIONS};
use server::S3Server;

/// The made-up bucket's name, and its folder's.
pub const BUCKET: &str = "demo-trail";

/// What the search shows is never without these words.
const SIMULATED: &str = "simulated: the real service does not document this";

/// On one machine nothing is worth a longer wait; a demo that hangs tells nobody anything.
const PATIENCE: Duration = Duration::from_secs(5);

pub async fn run(args: Demo) -> Result<ExitCode, Failure> {
    // Everything is written in here; it goes when the command ends, however it does.
    let mut temporary = tempfile::Builder::new();
    temporary.prefix("ctforward-demo-");
    #[cfg(unix)]
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    #[cfg(unix)]
    temporary.permissions(owner_only);
    let temporary = temporary
        .tempdir()
        .map_err(|error| Failure::work(format!("no temporary folder: {error}")))?;
    let servers = tokio::select! {
        played = play(&args, temporary.path()) => played?,
        () = interrupted() => return Err(Failure::work("interrupted; the demo ends")),
    };
    if args.keep {
        servers.keep(temporary.path())?;
        interrupted().await;
        say!("\nThe demo ends.");
    }
    servers.standin.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// What runs while the demo does, and stops when it is dropped.
struct Servers {
    s3: S3Server,
    standin: StandIn,
    token: String,
}

async fn play(args: &Demo, temporary: &Path) -> Result<Servers, Failure> {
    let root = root(args, temporary)?;
    say!(
        "ctforward demo: made-up CloudTrail logs, forwarded on this machine. Nothing leaves it.\n"
    );
    let bucket = made(&root, args.seed).await?;
    print_bucket(
        &bucket,
        args.bucket_folder.is_some().then(|| root.join(BUCKET)),
    );
    let servers = Servers::start(&root).await?;

    say!("3  Forwarding, as `forward` does it: from S3 by HTTP, to the stand-in by HTTP.");
    let report = servers.forward().await?;
    say!("{}\n", indented(&text(&report)));

    let standin = &servers.standin;
    let differences = check::differences(&bucket, &standin.lines(), &report);
    if !differences.is_empty() {
        say!("4  What arrived is not what was made:");
        say!("{}", indented(&differences.join("\n")));
        return Err(Failure::work(
            "the demo failed; what differs is named above",
        ));
    }
    say!(
        "4  Checked: each of the {} records arrived once, byte for byte as it was made.\n",
        grouped(bucket.records.len() as u64)
    );

    let id = search::interesting_id(&bucket)
        .ok_or_else(|| Failure::work("no record with an eventID was made"))?;
    say!("5  One of them, found again by its eventID with a search for cloud activities");
    say!("   ({SIMULATED}):");
    let found = search::find(standin.base_url(), &id, bucket.first, bucket.last).await?;
    say!("{}\n", indented(&found.to_string()));

    say!("In the real product, records posted to HTTP event collection are third-party logs;");
    say!("they are not documented to appear among cloud activities. What the stand-in answers");
    say!("is our assumption of the real service, which was not asked.");
    Ok(servers)
}

/// The folder that is served, with the bucket's folder in it.
fn root(args: &Demo, temporary: &Path) -> Result<PathBuf, Failure> {
    let root = match &args.bucket_folder {
        None => temporary.join("s3"),
        Some(folder) => folder.clone(),
    };
    let mut folders = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folders, 0o700);
    // Never into a folder that is there: it may hold something.
    folders.create(&root).map_err(|error| {
        let root = root.to_string_lossy();
        Failure::usage(format!(
            "the folder {} cannot be made: {error}",
            printable(&root)
        ))
    })?;
    Ok(root)
}

async fn made(root: &Path, seed: u64) -> Result<Bucket, Failure> {
    let folder = root.join(BUCKET);
    // CloudTrail's times are whole seconds.
    let now = Timestamp::now()
        .round(Unit::Second)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let making = tokio::task::spawn_blocking(move || bucket::make(&folder, seed, now));
    let failed =
        |error: std::io::Error| Failure::work(format!("the bucket cannot be made: {error}"));
    making
        .await
        .map_err(|error| failed(error.into()))?
        .map_err(failed)
}

fn print_bucket(bucket: &Bucket, kept: Option<PathBuf>) {
    say!(
        "1  Made the bucket {BUCKET}, as an organisation's trail fills it: {} records in {} log files",
        grouped(bucket.records.len() as u64),
        grouped(bucket.log_files)
    );
    say!(
        "   of {} accounts and {} regions, {} to {} (UTC), Insights among them;",
        ACCOUNTS.len(),
        REGIONS.len(),
        bucket.first.strftime("%Y-%m-%d"),
        bucket.last.strftime("%Y-%m-%d")
    );
    say!("   and a digest and a file of AWS Config, which hold no events and are skipped.");
    if let Some(folder) = kept {
        say!("   It stays in {}.", printable(&folder.to_string_lossy()));
    }
    say!();
}

impl Servers {
    async fn start(root: &Path) -> Result<Self, Failure> {
        let s3 = S3Server::start(root).await?;
        let token = random::token();
        let standin = StandIn::builder()
            .token(Secret::new(token.as_str())?)
            .pretend_native(true)
            .start()
            .await?;
        say!(
            "2  An S3 server serves it at {}, and a stand-in for Vision One",
            s3.url()
        );
        say!("   listens at {}.\n", standin.base_url());
        Ok(Self { s3, standin, token })
    }

    async fn forward(&self) -> Result<Report, Failure> {
        let source = S3Source::builder(self.s3.client()?, BUCKET).build()?;
        let sink =
            VisionOneSink::builder(&self.standin.endpoint(), Secret::new(self.token.as_str())?)
                .build()?;
        let console = Console::new();
        let pipeline = Pipeline::builder(source, sink)
            .keys(KeyFilter::new())
            .retry(RetryPolicy::default().with_give_up_after(Some(PATIENCE)))
            .quarantine(Naming::new(console.clone(), false))
            .build()?;
        let following = console.follow(pipeline.progress());
        let report = pipeline.run(CancellationToken::new()).await;
        drop(following);
        if let End::Failed(error) = &report.end {
            console.line(&chain(error));
        }
        for (object, error) in report.failures.iter().take(5) {
            console.line(&format!("not finished: {object}: {}", chain(error)));
        }
        Ok(report)
    }

    /// Says where everything is, and how to try it by hand.
    fn keep(&self, temporary: &Path) -> Result<(), Failure> {
        let Self { s3, standin, token } = self;
        let token_file = temporary.join("token");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&token_file)
            .and_then(|mut file| file.write_all(token.as_bytes()))
            .map_err(|error| {
                Failure::work(format!("the token's file cannot be written: {error}"))
            })?;

        let program = std::env::args_os().next().map_or_else(
            || "ctforward".to_owned(),
            |program| shell_word(&program.to_string_lossy()),
        );
        let (access, secret, region) = (server::ACCESS_KEY, server::SECRET_KEY, server::REGION);
        say!("\nThe servers stay until Ctrl-C:");
        say!("   S3 endpoint      {}", s3.url());
        say!("   bucket           {BUCKET}");
        say!("   access keys      {access} / {secret}, made up, good here only");
        say!("   ingest endpoint  {}", standin.endpoint());
        say!(
            "   its token        in {}",
            printable(&token_file.to_string_lossy())
        );
        say!("   public API       {}, any API key", standin.base_url());
        say!("\nTo forward the bucket again by hand:\n");
        say!(
            "NO_PROXY=127.0.0.1 AWS_ACCESS_KEY_ID={access} AWS_SECRET_ACCESS_KEY={secret} AWS_REGION={region} \\"
        );
        say!(
            "  {program} forward s3://{BUCKET} --s3-endpoint-url {} \\",
            s3.url()
        );
        say!(
            "  --endpoint {} \\\n  --token-file {}",
            standin.endpoint(),
            shell_word(&token_file.to_string_lossy())
        );
        say!("\nTo search for sign-ins of the last 24 hours ({SIMULATED}):\n");
        say!(
            "curl -s --noproxy '*' -H 'Authorization: Bearer any' -H 'TMV1-Query: eventName:ConsoleLogin' \\"
        );
        say!("  {}/v3.0/search/cloudActivities", standin.base_url());
        Ok(())
    }
}

/// A word as a POSIX shell takes it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:=@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", printable(text).replace('\'', "'\\''"))
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("   {line}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        assert_eq!(
            shell_word("target/release/examples/cli"),
            "target/release/examples/cli"
        );
        assert_eq!(shell_word("it's here"), "'it'\\''s here'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(indented("a\nb"), "   a\n   b");
    }
}
