//! A Lambda function that forwards what its event names:
//! `cargo run --example lambda -- --help`.
#![allow(
    unreachable_pub,
    reason = "in a program nothing is reachable from outside"
)]

#[path = "../cli/say.rs"]
#[macro_use]
mod say;

mod config;
mod gate;
mod handler;
#[path = "../daemon/log.rs"]
mod log;
mod parts;
#[path = "../cli/rules/load.rs"]
mod rules_file;
mod runtime;
mod token;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use config::Settings;
use ctforward_aws::lambda::Times;
use handler::Handler;
use parts::Place;

/// The variable in which Lambda says where its Runtime API is.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// How long a call outside Lambda has: as long as Lambda gives at most.
const LONGEST: Duration = Duration::from_secs(900);

/// Lambda gives no larger event.
const LARGEST: u64 = 6 * 1024 * 1024;

const USAGE: &str = "\
Forwards the CloudTrail log files that an event names to Trend Vision One.

As a Lambda function it takes its events from Lambda; docs/deploy-lambda.md has its
triggers. Elsewhere:

    lambda --event FILE     handles the one event in FILE (- reads standard input) and
                            prints what Lambda would be answered: 0 if all of it is
                            finished, 1 if not, 2 if the settings are wrong
    lambda --help           says this

Everything is set by environment variables:
";

enum Asked {
    Serve(String),
    Event(String),
    Help,
    Nothing,
}

fn asked() -> Asked {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => match std::env::var(RUNTIME_API) {
            Ok(api) if !api.is_empty() => Asked::Serve(api),
            _ => Asked::Nothing,
        },
        ["--event", file] => Asked::Event(file.to_owned()),
        ["--help" | "-h"] => Asked::Help,
        _ => Asked::Nothing,
    }
}

fn main() -> ExitCode {
    let began = Instant::now();
    let asked = asked();
    if let Asked::Nothing = asked {
        eprint!("{USAGE}{}", config::described());
        return ExitCode::from(2);
    }
    if let Asked::Help = asked {
        say!("{USAGE}{}", config::described());
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ctforward: the asynchronous runtime does not start: {error}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(async {
        match asked {
            Asked::Serve(api) => runtime::serve(&api, began).await,
            Asked::Event(file) => once(&file).await,
            Asked::Help | Asked::Nothing => ExitCode::SUCCESS,
        }
    });
    runtime.shutdown_background();
    done
}

/// Handles one event outside Lambda.
async fn once(file: &str) -> ExitCode {
    let settings = match Settings::of_environment(Place::Elsewhere) {
        Ok(settings) => settings,
        Err(problems) => {
            for line in problems {
                eprintln!("{line}");
            }
            return ExitCode::from(2);
        }
    };
    log::start(&settings.log);
    let event = match read(file) {
        Ok(event) => event,
        Err(error) => {
            let name = ctforward_core::text::printable(file);
            eprintln!("ctforward: {name}: {error}");
            return ExitCode::from(2);
        }
    };
    let handler = match Handler::new(settings).await {
        Ok(handler) => handler,
        Err(error) => {
            eprintln!("ctforward: {error}");
            return ExitCode::from(2);
        }
    };
    let times = Times::within(LONGEST, handler.stop_before());
    let handled = handler.handle(event, times).await;
    match &handled.answer {
        Ok(answer) => say!("{answer}"),
        Err(error) => eprintln!("ctforward: {error}"),
    }
    if handled.answer.is_ok() && handled.unfinished == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn read(file: &str) -> std::io::Result<Bytes> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // One byte more than there may be: the decoder says then what is wrong.
    if file == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)?;
    } else {
        let file = std::fs::File::open(Path::new(file))?;
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    }
    Ok(bytes.into())
}
