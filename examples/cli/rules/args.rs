//! What can be said to `rules`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::args::Tune;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say all that is wrong with rules files, and what they come to.
    ///
    /// Status 2 where a file is wrong; warnings alone are status 0.
    Check(Check),
    /// Read log files, and count what rules would drop and redact. Nothing is sent.
    Test(Box<Test>),
}

#[derive(Debug, clap::Args)]
pub struct Check {
    /// Rules files: JSON where the name ends in .json, else YAML.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Test {
    /// The rules file: JSON where the name ends in .json, else YAML.
    #[arg(value_name = "FILE")]
    pub rules: PathBuf,

    /// Folders, files, or s3://bucket/prefix.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,

    /// Show up to so many dropped records of each rule.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub examples: usize,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,

    /// The address of an S3 server other than AWS's.
    #[arg(long, value_name = "URL")]
    pub s3_endpoint_url: Option<String>,

    /// The bucket's region, where it is not the one of the AWS settings.
    #[arg(long, value_name = "REGION")]
    pub s3_region: Option<String>,

    /// The account that must own the bucket.
    #[arg(long, value_name = "ACCOUNT")]
    pub bucket_owner: Option<String>,
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    tune: Tune,
}

impl Test {
    /// How sources are opened: as `forward` opens them, but for what was said here.
    pub fn tune(&self) -> Result<Tune, clap::Error> {
        let defaults = Defaults::try_parse_from(["rules"])?;
        Ok(Tune {
            s3_endpoint_url: self.s3_endpoint_url.clone(),
            s3_region: self.s3_region.clone(),
            bucket_owner: self.bucket_owner.clone(),
            ..defaults.tune
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_opened_with_the_settings_of_forward() {
        #[derive(Parser)]
        struct Only {
            #[command(flatten)]
            test: Test,
        }
        let only = Only::parse_from(["x", "r.yaml", "s3://b", "--s3-region", "eu-west-1"]);
        let tune = only.test.tune().unwrap();
        assert_eq!(tune.s3_region.as_deref(), Some("eu-west-1"));
        assert_eq!(tune.max_record_bytes, 1 << 20);
    }
}
