//! `rules`: rules files checked, and tried on log files.

mod args;
mod check;
pub mod load;
mod show;
mod test;
mod trial;

use std::process::ExitCode;

use crate::failure::Failure;

pub use args::Args;

pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        args::Command::Check(check) => Ok(check::run(&check)),
        args::Command::Test(test) => test::run(&test).await,
    }
}
