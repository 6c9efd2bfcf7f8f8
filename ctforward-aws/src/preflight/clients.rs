//! SDK clients for the services that only checks ask.

use ctforward_core::Result;

use crate::error::ORIGIN;
use crate::s3::PlainHttp;
use crate::s3::client::{check, direct};

macro_rules! client {
    ($(#[$doc:meta])* $name:ident, $sdk:ident) => {
        $(#[$doc])*
        ///
        /// An endpoint on this machine is reached without the proxy that the environment
        /// may name. Without `endpoint_url` the SDK finds the host itself.
        ///
        /// # Errors
        /// `Config` where the endpoint is no address, has user information, a query or
        /// a fragment, or is plain HTTP where that is not allowed.
        pub fn $name(
            mut config: $sdk::config::Builder,
            endpoint_url: Option<&str>,
            plain: PlainHttp,
        ) -> Result<$sdk::Client> {
            if let Some(endpoint) = endpoint_url {
                if check(ORIGIN, endpoint, plain)? {
                    config = config.http_client(direct());
                }
                config = config.endpoint_url(endpoint);
            }
            Ok($sdk::Client::from_conf(config.build()))
        }
    };
}

#[cfg(feature = "sts")]
client!(
    /// A client that says who the caller is, at AWS or at an endpoint of one's own.
    sts_client,
    aws_sdk_sts
);

#[cfg(feature = "cloudtrail")]
client!(
    /// A client that says what trails record, at AWS or at an endpoint of one's own.
    cloudtrail_client,
    aws_sdk_cloudtrail
);
