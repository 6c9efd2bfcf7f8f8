//! What can be said to `quarantine` and `redrive`.

use std::path::PathBuf;

use clap::Subcommand;
use ctforward_core::quarantine::Reason;

use crate::args::{ReportForm, Tune};

/// Look at what could not be delivered, and at what is kept of it.
#[derive(Debug, clap::Args)]
pub struct Quarantine {
    #[command(subcommand)]
    pub command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List what is in quarantine.
    List(List),
    /// Show one entry, or write out the bytes kept of it.
    Show(Show),
    /// Rewrite the folder without what was resolved.
    Compact(Compact),
}

#[derive(Debug, clap::Args)]
pub struct List {
    /// The quarantine's folder.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    #[command(flatten)]
    pub which: Which,

    /// Entries shown, at most; all of them are counted.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,

    /// Print one JSON object a line for each entry, without its bytes.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct Show {
    /// The quarantine's folder.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The entry's id, or so many of its first digits that no other begins with them.
    #[arg(value_name = "ID", value_parser = id)]
    pub id: String,

    /// Write the bytes kept, and nothing else, exactly as they are.
    #[arg(long)]
    pub raw: bool,

    /// Write the bytes kept to this new file, which only its owner can read.
    #[arg(long, value_name = "FILE", requires = "raw")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Compact {
    /// The quarantine's folder.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// Which entries are meant.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which entries")]
pub struct Which {
    /// Only entries with this reason, such as refused or over_sink_limit.
    #[arg(long = "reason", value_name = "REASON", value_delimiter = ',', value_parser = reason)]
    pub reasons: Vec<Reason>,

    /// Only entries whose id begins with these digits.
    #[arg(long = "id", value_name = "ID", value_delimiter = ',', value_parser = id)]
    pub ids: Vec<String>,

    /// Only entries of this bucket; for a folder, file:// and its path.
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,

    /// Only entries whose key begins with this.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub key_prefix: String,
}

/// Send what is in quarantine again. What is accepted leaves it, what is not stays.
///
/// Records go from the bytes kept, what was kept by reference from its object,
/// where that is unchanged. A whole file is read from its beginning: what was sent
/// of it before is sent again. The status is 0 where nothing remains of what was
/// asked for, 3 where something does, and 1 where it could not be done.
#[derive(Debug, clap::Args)]
pub struct Redrive {
    /// The quarantine's folder.
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,

    /// The collector's endpoint URL, as its page in Vision One shows it.
    ///
    /// Its token comes from the environment variable VISIONONE_INGEST_TOKEN or
    /// from --token-file.
    #[arg(long, value_name = "URL", required_unless_present = "to")]
    pub endpoint: Option<String>,

    /// A file with the collector's token, which others must not be able to read.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Write the records to a new file, one a line, or to standard output (-),
    /// instead of sending them. They count as accepted.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "token_file"])]
    pub to: Option<String>,

    #[command(flatten)]
    pub which: Which,

    /// Read a whole file also where its object was rewritten since; what it held
    /// then is given up.
    #[arg(long)]
    pub changed_files: bool,

    /// Rules with a redact section: what it names is redacted again, from the
    /// original bytes that are kept. Its other rules drop nothing here.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// The key of the hashes that stand for redacted values (see forward).
    #[arg(long, value_name = "FILE", requires = "rules")]
    pub redact_key_file: Option<PathBuf>,

    /// Send also what was put aside where records are redacted as it is kept, which
    /// is the original.
    #[arg(long)]
    pub unredacted: bool,

    #[command(flatten)]
    pub tune: Tune,

    /// How to print what became of everything.
    #[arg(long, value_enum, default_value_t = ReportForm::Text)]
    pub report: ReportForm,
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::named(text).ok_or_else(|| {
        let names = Reason::ALL.map(Reason::as_str);
        format!("the reasons are {}", names.join(", "))
    })
}

fn id(text: &str) -> Result<String, String> {
    let digits = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if text.is_empty() || !digits {
        return Err("an id is up to 64 hexadecimal digits".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}
