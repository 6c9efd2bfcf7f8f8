//! An SDK client for an endpoint of one's own.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder as ConfigBuilder, Region};
use ctforward_core::Result;

use super::error::ORIGIN;
use crate::s3::PlainHttp;
use crate::s3::client::{check, direct};

/// A client of DynamoDB, for AWS or for an endpoint of one's own.
///
/// Without `endpoint_url` the SDK finds the host itself. An endpoint on this machine is
/// reached without the proxy that the environment may name. `config` holds everything
/// else; `aws_sdk_dynamodb::config::Builder::from(&sdk_config)` makes one from what
/// `aws-config` loaded.
///
/// # Errors
/// [`Config`](ctforward_core::ErrorKind::Config) where the endpoint is no `http://` or
/// `https://` address, has user information, a query or a fragment, or is plain HTTP
/// where that is not allowed.
pub fn client(
    mut config: ConfigBuilder,
    endpoint_url: Option<&str>,
    region: Option<&str>,
    plain: PlainHttp,
) -> Result<Client> {
    if let Some(region) = region {
        config = config.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint_url {
        if check(ORIGIN, endpoint, plain)? {
            config = config.http_client(direct());
        }
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}
