//! An SDK client for a queue.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{Builder as ConfigBuilder, Region};
use ctforward_core::Result;

use super::error::ORIGIN;
use super::queue::QueueUrl;
use crate::s3::PlainHttp;
use crate::s3::client::{check, direct};

/// An SQS client for the queue at `queue_url`, at AWS or at an endpoint of one's own.
///
/// The region is `region`, or else the one that `config` has, or else the one in the
/// name of the queue's host, where that is one of AWS's. Without `endpoint_url` a queue
/// of another host than AWS's is reached where its address says. At AWS the SDK finds
/// the host itself; this crate never builds a host name. An endpoint on this machine is
/// reached without the proxy that the environment may name.
///
/// `config` holds everything else; `aws_sdk_sqs::config::Builder::from(&sdk_config)`
/// makes one from what `aws-config` loaded.
///
/// # Errors
/// [`Config`](ctforward_core::ErrorKind::Config) where either address cannot be used:
/// none, with user information, a query or a fragment, or plain HTTP where that is not
/// allowed.
pub fn client(
    mut config: ConfigBuilder,
    queue_url: &str,
    endpoint_url: Option<&str>,
    region: Option<&str>,
    plain: PlainHttp,
) -> Result<Client> {
    let queue = QueueUrl::parse(queue_url)?;
    check(ORIGIN, queue_url, plain)?;
    if let Some(region) = region {
        config = config.region(Region::new(region.to_owned()));
    } else if config.clone().build().region().is_none()
        && let Some(region) = &queue.region
    {
        config = config.region(Region::new(region.clone()));
    }
    let of_queue = host(queue_url).filter(|_| !at_aws(queue_url));
    if let Some(endpoint) = endpoint_url.or(of_queue) {
        if check(ORIGIN, endpoint, plain)? {
            config = config.http_client(direct());
        }
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// Scheme and host of an address.
fn host(url: &str) -> Option<&str> {
    let scheme = url.find("://")? + 3;
    let end = url.get(scheme..)?.find('/')? + scheme;
    url.get(..end)
}

fn at_aws(url: &str) -> bool {
    host(url).is_some_and(|host| {
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
            .iter()
            .any(|end| host.ends_with(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(region: Option<&str>, configured: Option<&str>, url: &str) -> (Option<String>, bool) {
        let mut config = ConfigBuilder::new().behavior_version_latest();
        if let Some(region) = configured {
            config = config.region(Region::new(region.to_owned()));
        }
        let client = client(config, url, None, region, PlainHttp::LoopbackOnly).unwrap();
        let region = client.config().region().map(ToString::to_string);
        (region, at_aws(url))
    }

    #[test]
    fn the_region_in_the_address_counts_only_where_no_other_is_given() {
        let url = "https://sqs.eu-west-1.amazonaws.com/111122223333/q";
        assert_eq!(made(None, None, url).0.as_deref(), Some("eu-west-1"));
        assert_eq!(
            made(None, Some("us-east-1"), url).0.as_deref(),
            Some("us-east-1")
        );
        assert_eq!(
            made(Some("us-east-2"), Some("us-east-1"), url).0.as_deref(),
            Some("us-east-2")
        );
        let local = "http://127.0.0.1:4566/000000000000/q";
        assert_eq!(made(None, None, local), (None, false));
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_told_otherwise() {
        let make = |url: &str, endpoint: Option<&str>| {
            let config = ConfigBuilder::new().behavior_version_latest();
            client(config, url, endpoint, None, PlainHttp::LoopbackOnly).map(drop)
        };
        assert!(make("http://127.0.0.1:4566/1/q", None).is_ok());
        assert!(make("http://10.0.0.1/1/q", None).is_err());
        assert!(
            make(
                "https://sqs.eu-west-1.amazonaws.com/1/q",
                Some("http://10.0.0.1")
            )
            .is_err()
        );
    }
}
