//! `rules test`: what rules would do to log files.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use ctforward_core::Pipeline;
use ctforward_core::sink::MemorySink;
use tokio_util::sync::CancellationToken;

use super::args::Test;
use super::load::{load, name};
use super::show::{self, Outcome};
use super::trial::Trial;
use crate::books::{Kept, conclude};
use crate::console::{Console, Naming};
use crate::failure::Failure;
use crate::inspect::tally::safe_json;
use crate::sources::{self, Narrow, Place};

/// Status as of a dry run of `forward`; 2 where the rules are wrong.
pub async fn run(args: &Test) -> Result<ExitCode, Failure> {
    let console = Console::new();
    let rules = match load(&args.rules) {
        Ok(rules) => rules,
        Err(lines) => {
            for line in lines {
                console.line(&line);
            }
            return Ok(ExitCode::from(2));
        }
    };
    let file = name(&args.rules);
    for warning in rules.warnings() {
        console.line(&format!("{file}: warning: {warning}"));
    }
    let wrong = |problems| Failure::from(ctforward_core::Error::from(problems));
    let filter = rules.compile().map_err(wrong)?;
    let names: Vec<String> = filter.names().map(str::to_owned).collect();
    // Counting needs no key.
    let redaction = rules.redact().map(|r| r.preview()).transpose();
    let redaction = redaction.map_err(wrong)?;
    let paths = redaction.as_ref().map(|r| r.paths().to_vec());

    let places: Vec<Place> = args
        .sources
        .iter()
        .map(|s| Place::parse(s))
        .collect::<Result<_, _>>()?;
    let tune = args.tune().map_err(|e| Failure::work(e.to_string()))?;
    let source = sources::open(&places, &Narrow::default(), &tune, None)
        .await?
        .source;
    let naming = Naming::new(console.clone(), true);
    let trial = Arc::new(Trial::new(filter, redaction, args.examples));
    let pipeline = Pipeline::builder(source, MemorySink::new())
        .quarantine(naming.clone())
        .dry_run(naming.clone())
        .stage(Arc::clone(&trial))
        .build()?;
    let following = console.follow(pipeline.progress());
    let report = pipeline.run(CancellationToken::new()).await;
    drop(following);

    let outcome = Outcome {
        report: &report,
        rules: &names,
        paths: paths.as_deref(),
        seen: &trial.seen(),
    };
    let out = if args.json {
        format!("{}\n", safe_json(&show::json(&outcome)))
    } else {
        show::text(&outcome)
    };
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(out.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(Failure::work(format!("standard output: {error}"))),
        Ok(()) => {}
    }
    Ok(conclude(&report, &console, &Kept::nothing(naming.count())))
}
