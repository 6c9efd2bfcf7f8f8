//! `redrive`: sending again what is in quarantine.

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use ctforward_aws::s3::S3Reader;
use ctforward_core::deliver::{RefusalGuard, RetryPolicy};
use ctforward_core::pipeline::End;
use ctforward_core::quarantine::{Redrive as Again, RedriveCounts, Reopen, reopen_folder};
use ctforward_core::read::ReadLimits;
use ctforward_core::{Error, ErrorKind, Object, Open, Pipeline, Report};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::args::Redrive;
use crate::args::{ReportForm, Tune};
use crate::books::{grouped, text};
use crate::console::Console;
use crate::failure::{Failure, chain};
use crate::forward::{Shape, Target, give_up_after, limits, pace, sane, sink, stop_on_signal};
use crate::sources::s3_client;

/// How many entries that stay are named one by one.
const NAMED: usize = 20;

pub async fn run(args: Redrive) -> Result<ExitCode, Failure> {
    if args.to.as_deref() == Some("-") && args.report == ReportForm::Json {
        return Err(Failure::usage(
            "--to - and --report json both want standard output; write the records to a file",
        ));
    }
    sane(&args.tune)?;
    let tune = Arc::new(args.tune);
    let retry = RetryPolicy::default().with_give_up_after(Some(give_up_after(&tune)?));
    let shape = Shape::rules(args.rules.as_deref(), args.redact_key_file.as_deref())?;
    let quarantine = super::open(&args.folder).await?;
    let target = Target {
        endpoint: args.endpoint.as_deref(),
        token_file: args.token_file.as_deref(),
        to: args.to.as_deref(),
        dry_run: false,
    };
    let sink = sink(&target, &tune).await?;
    let limits = limits(&tune, sink.limits().bytes)?;
    let objects = Objects {
        tune: Arc::clone(&tune),
        s3: OnceCell::new(),
    };
    let source = Again::new(&quarantine, super::filter(&args.which), objects)
        .max_record_bytes(tune.max_record_bytes as u64)
        .changed_files(args.changed_files)
        .redacted(args.unredacted || shape.redacts());
    let counts = source.counts();
    let read_limits = ReadLimits::default()
        .with_record_bytes(tune.max_record_bytes)
        .with_inflated_bytes(tune.max_inflated_bytes);
    let builder = Pipeline::builder(source, sink)
        .quarantine(quarantine)
        .limits(limits)
        .read_limits(read_limits)
        // It is in quarantine already; one that is refused again keeps no other back.
        .refusal_guard(RefusalGuard::trusting())
        .pace(pace(&tune))
        .retry(retry);
    let pipeline = shape.redact(builder).build()?;

    let console = Console::new();
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(shutdown.clone(), console.clone()));
    let following = console.follow(pipeline.progress());
    let report = pipeline.run(shutdown).await;
    drop(following);
    signals.abort();

    let out = match args.report {
        ReportForm::Json => json(&report, &counts),
        ReportForm::Text => format!("{}\n{}", text(&report), entries(&counts)),
    };
    // Standard output is the records'.
    if args.to.as_deref() == Some("-") {
        console.line(&out);
    } else {
        super::print(format!("{out}\n").as_bytes())?;
    }
    Ok(conclude(&report, &counts, &console))
}

fn entries(counts: &RedriveCounts) -> String {
    let mut line = format!(
        "entries  {} taken = {} resolved + {} replaced + {} put back + {} unread + {} not finished",
        grouped(counts.taken()),
        grouped(counts.accepted()),
        grouped(counts.replaced()),
        grouped(counts.again()),
        grouped(counts.unread()),
        grouped(counts.released())
    );
    if counts.messages() > 0 {
        let messages = grouped(counts.messages());
        line.push_str(&format!("\n         {messages} messages passed over"));
    }
    if counts.withheld() > 0 {
        let withheld = grouped(counts.withheld());
        line.push_str(&format!(
            "\n         {withheld} withheld: records were redacted where they were put aside; \
             give --rules to redact them again, or --unredacted"
        ));
    }
    line
}

fn json(report: &Report, counts: &RedriveCounts) -> String {
    json!({
        "entries": {
            "taken": counts.taken(),
            "resolved": counts.accepted(),
            "replaced": counts.replaced(),
            "again": counts.again(),
            "unread": counts.unread(),
            "not_finished": counts.released(),
            "messages": counts.messages(),
            "withheld": counts.withheld(),
        },
        "report": report,
    })
    .to_string()
}

/// Names what stays, and finds the exit status.
fn conclude(report: &Report, counts: &RedriveCounts, console: &Console) -> ExitCode {
    for (object, error) in report.failures.iter().take(NAMED) {
        console.line(&format!("stays: {object}: {}", chain(error)));
    }
    let unnamed = report.files.failed.saturating_sub(NAMED as u64);
    if unnamed > 0 {
        console.line(&format!("stays: {} more", grouped(unnamed)));
    }
    let ended = match &report.end {
        End::Exhausted => true,
        End::Failed(error) => {
            console.line(&format!("ctforward: {}", chain(error)));
            false
        }
        _ => {
            console.line("ctforward: interrupted");
            false
        }
    };
    let finally = |error: &Error| {
        // The object is what it is; another run would come to the same.
        matches!(
            error.kind(),
            ErrorKind::Changed
                | ErrorKind::NotFound
                | ErrorKind::Archived
                | ErrorKind::TooLarge
                | ErrorKind::Malformed
        )
    };
    let named = report.failures.len() as u64 == report.files.failed;
    let done = ended && named && report.failures.iter().all(|(_, error)| finally(error));
    // What was put anew for an entry stands for it.
    let asked = counts.taken() + counts.messages() + counts.withheld();
    let stay = asked.saturating_sub(counts.accepted());
    if stay > 0 || !done {
        let stay = grouped(stay);
        console.line(&format!(
            "ctforward: {stay} entries are in quarantine still, or anew"
        ));
    }
    ExitCode::from(match (done, stay) {
        (false, _) => 1,
        (true, 0) => 0,
        (true, _) => 3,
    })
}

/// Files of folders, and objects of S3 in the same way as `forward` reads them.
struct Objects {
    tune: Arc<Tune>,
    /// Made when the first object of S3 is asked for.
    s3: OnceCell<S3Reader>,
}

#[async_trait]
impl Reopen for Objects {
    async fn reopen(&self, object: &Object) -> ctforward_core::Result<Arc<dyn Open>> {
        if let Some(open) = reopen_folder(object) {
            return Ok(open);
        }
        let reader = self.s3.get_or_try_init(|| async {
            let client = s3_client(&self.tune)
                .await
                .map_err(|failure| Error::new(ErrorKind::Config, "s3", failure.into_line()))?;
            let mut reader = S3Reader::builder(client);
            if let Some(owner) = &self.tune.bucket_owner {
                reader = reader.expected_bucket_owner(owner);
            }
            reader.build()
        });
        Ok(reader.await?.open_later(object.id.clone()))
    }
}
