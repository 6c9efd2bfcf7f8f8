//! Where the records go.

use std::path::Path;
use std::time::Duration;

use ctforward_core::sink::{LineSink, MemorySink};
use ctforward_core::text::printable;
use ctforward_core::{BatchLimits, ErrorKind, Sink};
use ctforward_visionone::{TokenEnv, TokenFile, TokenProvider, VisionOneSink};

use super::{TOKEN, give_up_after};
use crate::args::{Forward, Tune};
use crate::failure::Failure;

/// Where the records go, as the command line names it.
pub struct Target<'a> {
    pub endpoint: Option<&'a str>,
    pub token_file: Option<&'a Path>,
    pub to: Option<&'a str>,
    pub dry_run: bool,
}

impl<'a> Target<'a> {
    pub fn of(args: &'a Forward) -> Self {
        Self {
            endpoint: args.endpoint.as_deref(),
            token_file: args.token_file.as_deref(),
            to: args.to.as_deref(),
            dry_run: args.dry_run,
        }
    }
}

/// Where the records go.
pub async fn sink(args: &Target<'_>, tune: &Tune) -> Result<Box<dyn Sink>, Failure> {
    if let Some(to) = args.to {
        if args.dry_run {
            return Ok(Box::new(MemorySink::new()));
        }
        let sink = if to == "-" {
            LineSink::stdout()
        } else {
            LineSink::create(Path::new(to))?
        };
        // A line may be as long as a record that is read.
        let bytes = tune.max_record_bytes.max(1 << 20);
        return Ok(Box::new(sink.with_limits(BatchLimits::new(bytes))));
    }
    let Some(endpoint) = args.endpoint else {
        // Only a dry run gets here, which sends nothing.
        return Ok(Box::new(MemorySink::new()));
    };
    let token: Box<dyn TokenProvider> = match args.token_file {
        Some(file) => Box::new(TokenFile::new(file)),
        None => Box::new(TokenEnv::new(TOKEN)),
    };
    if !args.dry_run {
        // A missing or unreadable token is found before anything is read.
        if let Err(error) = token.token(false).await {
            return Err(match error.kind() {
                ErrorKind::Unauthorized | ErrorKind::NotFound | ErrorKind::Config => {
                    Failure::usage(format!(
                        "{error}; put the collector's token into {TOKEN} or a file named by --token-file"
                    ))
                }
                _ => error.into(),
            });
        }
    }
    let mut builder = VisionOneSink::builder(endpoint, token)
        .request_bytes(tune.batch_bytes)
        .gzip(tune.gzip)
        .final_newline(tune.final_newline)
        .allow_plain_http(tune.allow_plain_http)
        // No answer is waited for longer than without any delivery is given up.
        .request_timeout(
            give_up_after(tune)?.clamp(Duration::from_secs(1), Duration::from_secs(60)),
        );
    for header in &tune.headers {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::usage("--header is NAME:VALUE"));
        };
        builder = builder.header(name.trim(), value.trim());
    }
    if let Some(file) = &tune.ca_file {
        let pem = std::fs::read(file).map_err(|error| {
            Failure::usage(format!(
                "--ca-file {}: {error}",
                printable(&file.to_string_lossy())
            ))
        })?;
        builder = builder.ca_pem(pem);
    }
    Ok(Box::new(builder.build()?))
}
