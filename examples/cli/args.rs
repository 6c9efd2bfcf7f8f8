//! What can be said on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Read AWS CloudTrail log files from a folder, an S3 bucket or as a queue names
/// them, and hand every record to Trend Vision One, byte for byte.
#[derive(Debug, Parser)]
#[command(name = "ctforward", version, propagate_version = true)]
pub struct Args {
    /// Say more on standard error; twice for still more. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    pub fn log_filter(&self) -> EnvFilter {
        let level = match self.verbose {
            0 => "off",
            1 => "warn,ctforward_core=info,ctforward_aws=info,ctforward_visionone=info",
            _ => "info,ctforward_core=debug,ctforward_aws=debug,ctforward_visionone=debug",
        };
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work, with nothing set up: a small bucket, an S3 server and a
    /// stand-in for Vision One are made on this machine, and the records forwarded.
    Demo(Demo),
    /// Forward the records of log files.
    Forward(Box<Forward>),
    /// After an outage: list what the ledger does not know as delivered, and forward it.
    ///
    /// Every file of the sources is compared with the ledger by its exact key and
    /// ETag. What is missing is printed by day, account and region before anything is
    /// sent; then it is forwarded as forward does, with the same options. Nothing that
    /// the ledger calls finished is read again.
    ///
    /// Status 0: nothing is missing any more (with --dry-run: nothing is missing). 1:
    /// something is, or the listing failed. 2: a setting is wrong. 3: something was put
    /// aside.
    #[command(mut_arg("dry_run", |arg| arg
        .help("Print what is missing, and send nothing")
        .conflicts_with("plan")))]
    CatchUp(Box<crate::catch_up::CatchUp>),
    Doctor(Box<crate::doctor::Doctor>),
    /// Run the stand-in for Vision One alone.
    Standin(Standin),
    /// Count what log files hold.
    Inspect(Inspect),
    /// Show what a ledger knows of log files.
    Ledger(crate::ledger::LedgerArgs),
    /// Check rules files, and try them on log files.
    Rules(crate::rules::Args),
    Quarantine(crate::quarantine::Quarantine),
    Redrive(Box<crate::quarantine::Redrive>),
}

#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Keep the servers running when the records are forwarded, and print their addresses.
    #[arg(long)]
    pub keep: bool,

    /// Seed of the made-up log files.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,

    /// Keep the made-up bucket in this folder, which must not exist yet.
    #[arg(long, value_name = "FOLDER")]
    pub bucket_folder: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Forward {
    /// Folders, files, s3://bucket/prefix, or sqs: and a queue's address.
    #[arg(required_unless_present = "queue_url", value_name = "SOURCE")]
    pub sources: Vec<String>,

    /// The collector's endpoint URL, as its page in Vision One shows it.
    ///
    /// Its token comes from the environment variable VISIONONE_INGEST_TOKEN or
    /// from --token-file. Records posted there are third-party logs; they are not
    /// documented to appear under Cloud Activity Data.
    #[arg(long, value_name = "URL", required_unless_present_any = ["to", "dry_run", "plan"])]
    pub endpoint: Option<String>,

    /// A file with the collector's token, which others must not be able to read.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Write the records to a new file, one a line, or to standard output (-),
    /// instead of sending them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "token_file"])]
    pub to: Option<String>,

    /// Read and count, and send nothing.
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub select: Select,

    #[command(flatten)]
    pub queue: crate::queue::QueueArgs,

    #[command(flatten)]
    pub keep: Keep,

    #[command(flatten)]
    pub shape: ShapeArgs,

    #[command(flatten)]
    pub tune: Tune,

    /// Send no more than so many bytes of records in a day (UTC), and go on the
    /// next day. Needs --ledger.
    #[arg(long, value_name = "BYTES")]
    pub max_bytes_per_day: Option<u64>,

    /// End, with status 1, when that is reached, and do not wait for the next day.
    #[arg(long, requires = "max_bytes_per_day")]
    pub exit_at_daily_limit: bool,

    /// Put aside whatever the endpoint refuses, even if it refuses everything.
    /// Otherwise nothing is put aside where it refuses all of two requests running,
    /// or more than 1 % (and 100) of the last 10,000 records.
    #[arg(long)]
    pub believe_refusals: bool,

    #[command(flatten)]
    pub plan: crate::plan::PlanArgs,

    /// How to print what became of everything.
    #[arg(long, value_enum, default_value_t = ReportForm::Text)]
    pub report: ReportForm,

    /// Show times in this zone (an IANA name such as Asia/Tokyo, or an offset).
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub tz: String,
}

/// Which files and records to take.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which files and records")]
pub struct Select {
    /// Only files delivered at or after this time, by their keys.
    ///
    /// An RFC 3339 time with an offset (2026-03-01T09:00:00+09:00), an age
    /// (24h, 7d, 30m), or a date, which is UTC. A file whose key carries no time
    /// is taken, and counted.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,

    /// Only files delivered before this time, by their keys.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,

    /// Only records whose eventTime is at or after this time.
    #[arg(long, value_name = "TIME")]
    pub event_since: Option<String>,

    /// Only records whose eventTime is before this time.
    #[arg(long, value_name = "TIME")]
    pub event_until: Option<String>,

    /// Only files of these accounts, by their keys.
    #[arg(long = "account", value_name = "ACCOUNT", value_delimiter = ',')]
    pub accounts: Vec<String>,

    /// Only files of these regions, by their keys.
    #[arg(long = "region", value_name = "REGION", value_delimiter = ',')]
    pub regions: Vec<String>,

    /// Only files of these kinds, by their keys.
    #[arg(long = "kind", value_enum, value_delimiter = ',')]
    pub kinds: Vec<KindArg>,
}

/// What is kept on this machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is kept between runs")]
pub struct Keep {
    /// Remember in this file what was delivered: a later run skips it, and goes on
    /// with what was not finished. It is made where it is missing.
    ///
    /// It knows log files by bucket and key, not where they were sent: use one
    /// ledger for each destination. Who can write to it can hide a loss.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,

    /// Keep what cannot be sent in this folder, to be looked at and sent again
    /// (see quarantine and redrive). With a ledger it is LEDGER.quarantine unless
    /// said otherwise; without either, what is not sent is only named.
    #[arg(long, value_name = "FOLDER")]
    pub quarantine: Option<PathBuf>,

    /// Keep a copy of unreadable files of at most so many bytes as stored, and not
    /// only their address and SHA-256.
    #[arg(long, value_name = "BYTES")]
    pub copy_unreadable: Option<usize>,

    /// Keep the SHA-256 of each inflated file in the ledger.
    #[arg(long, requires = "ledger")]
    pub file_sha256: bool,
}

/// What is sent of the records.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is sent of them")]
pub struct ShapeArgs {
    /// Rules that drop or redact records, in JSON or YAML (see rules check).
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// The key of the hashes that stand for redacted values: at least 16 bytes in
    /// a file that others cannot read.
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub redact_key_file: Option<PathBuf>,

    /// Drop the calls that this role makes on the buckets that are read.
    ///
    /// Reading a bucket whose data events are logged makes records of itself. But
    /// a thief of that role is hidden by this as well.
    #[arg(long, value_name = "ROLE-ARN")]
    pub own_calls: Option<String>,

    /// Send no record again that was accepted within a window: same eventID, same
    /// bytes. With a ledger, the window outlives the run.
    #[arg(long)]
    pub deduplicate: bool,

    /// How many accepted records the window holds.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub dedup_records: usize,

    /// For how long the window holds an accepted record.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub dedup_age: String,
}

/// How to read and send.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How to read and send")]
pub struct Tune {
    /// The address of an S3 server other than AWS's.
    #[arg(long, value_name = "URL")]
    pub s3_endpoint_url: Option<String>,

    /// The bucket's region, where it is not the one of the AWS settings.
    #[arg(long, value_name = "REGION")]
    pub s3_region: Option<String>,

    /// The account that must own the bucket.
    #[arg(long, value_name = "ACCOUNT")]
    pub bucket_owner: Option<String>,

    /// Bytes of one request, at most.
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000)]
    pub batch_bytes: usize,

    /// Files read, and requests under way, at the same time.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub concurrency: usize,

    /// Send no more than so many bytes a second.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_bytes_per_second: Option<u64>,

    /// Send no more than so many requests a second.
    #[arg(long, value_name = "N")]
    pub max_requests_per_second: Option<f64>,

    /// How long a request waits to be filled, such as 500ms or 60s.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub linger: String,

    /// End, with status 1, when nothing was accepted for this long.
    #[arg(long, value_name = "TIME", default_value = "15m")]
    pub give_up_after: String,

    /// Largest record to read; a larger one is skipped and named.
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub max_record_bytes: usize,

    /// Largest file to read, inflated.
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024 * 1024)]
    pub max_inflated_bytes: u64,

    /// Compress requests. Whether the endpoint takes that is not documented.
    #[arg(long)]
    pub gzip: bool,

    /// End each request with a line feed.
    #[arg(long)]
    pub final_newline: bool,

    /// A further header of each request, as NAME:VALUE. Not for secrets.
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,

    /// A file with further certificate authorities, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Send to an http:// endpoint that is not this machine: the token and the
    /// records can then be read on the way.
    #[arg(long)]
    pub allow_plain_http: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// Management and data events.
    #[value(name = "cloudtrail", alias = "log", alias = "CloudTrail")]
    CloudTrail,
    #[value(alias = "CloudTrail-Insight")]
    Insight,
    #[value(
        name = "network-activity",
        alias = "networkactivity",
        alias = "CloudTrail-NetworkActivity"
    )]
    NetworkActivity,
    #[value(alias = "CloudTrail-Aggregated")]
    Aggregated,
}

#[derive(Debug, clap::Args)]
pub struct Standin {
    /// Where to listen. An address that is not this machine's own needs --allow-remote.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub addr: std::net::SocketAddr,

    /// Listen on an address that others can reach.
    #[arg(long)]
    pub allow_remote: bool,

    /// Count what comes and keep nothing.
    #[arg(long)]
    pub discard: bool,

    /// Let posted records show up in the simulated search. The real service does
    /// not document this.
    #[arg(long)]
    pub pretend_native: bool,

    /// Ask for the token in the environment variable VISIONONE_INGEST_TOKEN;
    /// otherwise any bearer token will do.
    #[arg(long)]
    pub check_token: bool,

    /// Largest body to take, in bytes.
    #[arg(long, value_name = "BYTES")]
    pub max_body_bytes: Option<usize>,

    /// Something that goes wrong with posts, such as 429:0.1 or reset-after:0.05;
    /// --help lists all. Can be given several times.
    ///
    /// RATE is the share of the posts, from 0 to 1; a post suffers one fault of
    /// those with a rate, so together they may be 1 at most.
    ///
    ///   STATUS:RATE         answer with this status of 400 to 599
    ///   STATUS:bytes=N      answer so where the lines have more than N bytes
    ///   STATUS:after=N      answer so once N posts have come; ,for=M only to M posts
    ///   STATUS:match=TEXT   answer so where a line contains TEXT (all that follows)
    ///   reset-before:RATE   reset the connection before the body is read
    ///   reset-after:RATE    keep the lines, then reset the connection
    ///   slow:RATE,ms=N      keep the lines, answer N milliseconds later
    ///   stuck:RATE          never answer; with ,stored keep the lines
    ///   html:RATE           answer with a web page and status 200
    ///   redirect:RATE       send elsewhere; ,status=N (307) ,to=URL (all that follows)
    ///   endless:RATE        answer with a body that never ends; ,status=N (500)
    ///   truncated:RATE      keep the lines, break the answer off behind its head
    ///   echo-headers        repeat the request's head in every error answer and
    ///                       web page, its token too
    ///
    /// Every STATUS takes ,retry-after=SECONDS too, or ,retry-after-date=SECONDS for
    /// the same as a date; both before match=. The faults are invented: the real
    /// service is not documented to have any of them.
    #[arg(long, value_name = "SPEC", verbatim_doc_comment)]
    pub fault: Vec<ctforward_visionone::standin::Fault>,

    /// What the faults are drawn from: the same number deals the same faults to the
    /// first, the second, and every other post.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fault_seed: u64,
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// Folders or files.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,

    /// Rows shown of each table, the rest as other.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
}
