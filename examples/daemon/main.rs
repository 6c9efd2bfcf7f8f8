//! A daemon that forwards for ever: `cargo run --example daemon -- --help`.
#![allow(
    unreachable_pub,
    reason = "in a program nothing is reachable from outside"
)]

#[path = "../cli/say.rs"]
#[macro_use]
mod say;

mod admin;
mod args;
mod board;
mod config;
mod day;
mod demo;
#[path = "../cli/failure.rs"]
#[allow(
    dead_code,
    reason = "not all that the command line needs is needed here"
)]
mod failure;
mod keep;
mod lobby;
mod log;
mod prepare;
mod redrive;
#[path = "../cli/rules/load.rs"]
mod rules_file;
mod run;
mod signals;
mod sources;
mod status;
mod systemd;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use args::Args;
use clap::{CommandFactory as _, Parser};
use config::{Problems, Settings};
use failure::Failure;
use prepare::Parts;
use signals::Signals;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ctforward: the asynchronous runtime does not start: {error}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(begin(args));
    // Threads that still read a slow disk are not waited for.
    runtime.shutdown_background();
    done.unwrap_or_else(|failure| failure.report())
}

async fn begin(args: Args) -> Result<ExitCode, Failure> {
    match (&args.config, args.demo) {
        (None, Some(seconds)) => demo::run(seconds).await,
        (Some(path), _) => {
            let unheard = |error| Failure::work(format!("signals cannot be received: {error}"));
            let mut signals = Signals::new().map_err(unheard)?;
            // Apart: a file on a disk that does not answer keeps no signal waiting.
            let reading = tokio::spawn(read(path.clone()));
            let read = tokio::select! {
                read = reading => read.map_err(|error| Failure::work(error.to_string()))?,
                () = signals.told_to_end() => {
                    // Settings that were not looked at to their end were not found good.
                    return Ok(if args.check { ExitCode::FAILURE } else { ExitCode::SUCCESS });
                }
            };
            let (settings, parts) = match read {
                Ok(read) => read,
                Err(problems) => {
                    for line in problems.lines() {
                        eprintln!("{line}");
                    }
                    return Ok(ExitCode::from(2));
                }
            };
            if args.check {
                let sources = settings.sources.len();
                say!("{}: good; {sources} sources", shown(path));
                return Ok(ExitCode::SUCCESS);
            }
            log::start(&settings.log);
            forward(&settings, parts, signals).await
        }
        (None, None) => {
            let _ = Args::command().print_help();
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The settings, and the parts that are made of them alone.
async fn read(path: PathBuf) -> Result<(Settings, Parts), Problems> {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        // What is no text names no key, and is no value of one.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let (settings, mut problems) = config::load(&path, &environment.collect());
    let Some(settings) = settings else {
        return Err(problems);
    };
    match prepare::parts(&settings, &mut problems).await {
        Some(parts) if problems.is_empty() => Ok((settings, parts)),
        _ => Err(problems),
    }
}

async fn forward(settings: &Settings, parts: Parts, signals: Signals) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    // Before anything is opened: whatever of the start is slow can be ended.
    signals.listen(stop.clone(), Arc::clone(&parts.tokens), settings.drain);
    let report = run::run(settings, parts, stop, |running| {
        if let Some(pages) = running.pages {
            tracing::info!("the pages are at http://{pages}/");
        }
        if let Some(metrics) = running.metrics {
            tracing::info!("the metrics are at http://{metrics}/metrics");
        }
    })
    .await?;
    Ok(run::conclude(&report))
}

/// A file's name, safe to print.
fn shown(path: &Path) -> String {
    ctforward_core::text::printable(&path.to_string_lossy()).into_owned()
}
