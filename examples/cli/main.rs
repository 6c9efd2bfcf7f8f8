//! The command line of ctforward: `cargo run --release --example cli -- help`.
#![allow(
    unreachable_pub,
    reason = "in a program nothing is reachable from outside"
)]

#[macro_use]
mod say;

mod args;
mod books;
mod catch_up;
mod console;
mod demo;
mod doctor;
mod failure;
mod forward;
mod inspect;
mod ledger;
mod plan;
mod quarantine;
mod queue;
mod rules;
mod sources;
mod standin;
mod table;
mod times;

use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(args.log_filter())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
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
    let done: Result<ExitCode, Failure> = runtime.block_on(async {
        match args.command {
            Command::Demo(demo) => demo::run(demo).await,
            Command::Forward(forward) => forward::run(*forward).await,
            Command::CatchUp(catch_up) => catch_up::run(*catch_up).await,
            Command::Doctor(doctor) => doctor::run(*doctor).await,
            Command::Standin(standin) => standin::run(standin).await,
            Command::Inspect(inspect) => inspect::run(inspect).await,
            Command::Ledger(ledger) => ledger::run(ledger).await,
            Command::Rules(rules) => rules::run(rules).await,
            Command::Quarantine(quarantine) => quarantine::run(quarantine).await,
            Command::Redrive(redrive) => quarantine::redrive::run(*redrive).await,
        }
    });
    // Threads that still read a slow disk are not waited for.
    runtime.shutdown_background();
    done.unwrap_or_else(|failure| failure.report())
}
