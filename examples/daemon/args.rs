//! What can be said on the command line.

use std::path::PathBuf;

use clap::Parser;

/// Forward CloudTrail log files as they arrive, from queues, buckets and folders, to
/// Trend Vision One, for ever.
///
/// Everything is set in a file; docs/daemon.md names every key, and
/// examples/daemon/daemon.toml is one to begin with. SIGTERM and SIGINT end it in good
/// order, a second one at once; SIGHUP has the tokens read again.
#[derive(Debug, Parser)]
#[command(name = "ctforward-daemon", version, arg_required_else_help = true)]
pub struct Args {
    /// The file of settings.
    #[arg(long, value_name = "FILE", required_unless_present = "demo")]
    pub config: Option<PathBuf>,

    /// Check the settings and what they name, say all that is wrong, and end: 0 if
    /// they are good, 2 if not. Nothing is sent, listed or received.
    #[arg(long, requires = "config")]
    pub check: bool,

    /// See it work for some seconds, with nothing set up: made-up log files in a
    /// temporary folder, and a stand-in for Vision One.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "15",
        conflicts_with = "config"
    )]
    pub demo: Option<u64>,
}
