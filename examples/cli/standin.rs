//! `standin`: the stand-in for Vision One alone.

use std::process::ExitCode;

use ctforward_visionone::standin::{Faults, StandIn};
use ctforward_visionone::{TokenEnv, TokenProvider};

use crate::args::Standin;
use crate::books::{grouped, megabytes};
use crate::failure::Failure;
use crate::forward::{TOKEN, interrupted};

pub async fn run(args: Standin) -> Result<ExitCode, Failure> {
    let faults = args.fault.into_iter().fold(Faults::new(), Faults::with);
    let mut builder = StandIn::builder()
        .faults(faults.seed(args.fault_seed))
        .bind(args.addr)
        .allow_non_loopback(args.allow_remote)
        .pretend_native(args.pretend_native)
        .gzip(true);
    if args.discard {
        builder = builder.discard();
    }
    if let Some(bytes) = args.max_body_bytes {
        builder = builder.max_body_bytes(bytes);
    }
    if args.check_token {
        builder = builder.token(TokenEnv::new(TOKEN).token(false).await?);
    }
    let standin = builder.start().await?;
    say!("stand-in for Vision One: what it answers is our assumption, not the real service's");
    say!("  HTTP event collection  {}", standin.endpoint());
    say!("  public API             {}", standin.base_url());
    if args.pretend_native {
        say!("  search                 simulated: the real service does not document this");
    }
    for (fault, _) in standin.fault_counts() {
        say!("  fault                  {fault}");
    }
    if !standin.fault_counts().is_empty() {
        say!("  drawn from seed        {}", args.fault_seed);
    }
    interrupted().await;
    let counts = standin.counts();
    say!(
        "{} posts, {} lines, {}",
        grouped(counts.posts),
        grouped(counts.lines),
        megabytes(counts.bytes)
    );
    for (fault, count) in standin.fault_counts() {
        say!("{} times {fault}", grouped(count));
    }
    standin.stop().await;
    Ok(ExitCode::SUCCESS)
}
