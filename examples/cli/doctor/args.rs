//! What can be said to `doctor`.

use std::path::PathBuf;

/// Look at a source and an endpoint before they are run: permissions, regions,
/// notifications, the queue, the connection. Status 1 where a check fails.
///
/// Nothing is changed, no message is received, no event is sent (unless
/// --send-test-record is given), and of objects only the first bytes of one log file
/// are read. A check that a missing permission keeps from being made is unknown.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// s3://bucket/prefix, or a queue as sqs:https://…
    #[arg(value_name = "SOURCE")]
    pub source: String,

    /// The queue that notifications of the bucket come from.
    #[arg(long, value_name = "URL")]
    pub queue_url: Option<String>,

    /// The collector's endpoint URL. Without it the endpoint is not looked at.
    ///
    /// Its token comes from the environment variable VISIONONE_INGEST_TOKEN or
    /// from --token-file.
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,

    /// A file with the collector's token, which others must not be able to read.
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub token_file: Option<PathBuf>,

    /// Send one record that says of itself that it is a test. Nothing else is
    /// documented that tries the token; the record is stored and may be billed.
    #[arg(long, requires = "endpoint")]
    pub send_test_record: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,

    /// How long the files of one message are expected to take.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub expected_time: String,

    /// The outage of the endpoint through which no message may end in the dead letters.
    #[arg(long, value_name = "TIME", default_value = "4h")]
    pub outage: String,

    /// How long one look may take.
    #[arg(long, value_name = "TIME", default_value = "20s")]
    pub limit: String,

    /// The address of servers other than AWS's, for all services.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// The address of an S3 server other than AWS's.
    #[arg(long, value_name = "URL")]
    pub s3_endpoint_url: Option<String>,

    /// The bucket's region, where it is not the one of the AWS settings.
    #[arg(long, value_name = "REGION")]
    pub s3_region: Option<String>,

    /// The account that must own the bucket.
    #[arg(long, value_name = "ACCOUNT")]
    pub bucket_owner: Option<String>,

    /// A further header of each request to the endpoint, as NAME:VALUE. Not for secrets.
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub headers: Vec<String>,

    /// A file with further certificate authorities for the endpoint, in PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Speak to an http:// address that is not this machine: what is sent can then
    /// be read on the way.
    #[arg(long)]
    pub allow_plain_http: bool,
}
