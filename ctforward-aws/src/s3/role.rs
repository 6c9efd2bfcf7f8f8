//! Roles of other accounts.

use std::fmt;

use aws_config::SdkConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_sdk_s3::config::SharedCredentialsProvider;
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};

use crate::error::ORIGIN;

/// A role to be assumed, for the rules of [`BucketClients`](super::BucketClients).
///
/// Needs `sts:AssumeRole` on the role, whose trust policy names the caller. Set an
/// external id where the role belongs to somebody else, and have its trust policy ask for
/// it: it keeps others who use the same service from having it read their buckets.
#[derive(Clone)]
#[must_use]
pub struct AssumedRole {
    arn: String,
    external_id: Option<String>,
    session_name: String,
}

impl AssumedRole {
    /// The role with this ARN, in sessions that are called `ctforward`.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where that is no ARN of a role.
    pub fn new(arn: impl Into<String>) -> Result<Self> {
        let arn = arn.into();
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let known = match parts.as_slice() {
            ["arn", partition, "iam", "", account, resource] => {
                partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && resource.len() > "role/".len()
                    && resource.starts_with("role/")
            }
            _ => false,
        };
        if !known {
            let shown = excerpt(&arn, 128);
            return Err(refuse(format!("{shown:?} is no ARN of a role")));
        }
        Ok(Self {
            arn,
            external_id: None,
            session_name: "ctforward".to_owned(),
        })
    }

    /// The external id that the role's trust policy asks for.
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.external_id = Some(id.into());
        self
    }

    /// What the role's owner finds in CloudTrail as the session's name.
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = name.into();
        self
    }

    /// Credentials of the role, got with those of `config` by way of its region's STS
    /// when they are first needed. The client that uses them keeps and renews them.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where the external id or the session's name is none
    /// that STS takes, the role lies in another partition than the region, or `config`
    /// was not loaded by `aws-config`.
    pub async fn credentials(&self, config: &SdkConfig) -> Result<SharedCredentialsProvider> {
        let takes = |text: &str, others: &str, least: usize, most: usize| {
            let plain = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
            (least..=most).contains(&text.len()) && text.chars().all(plain)
        };
        let id = self.external_id.as_deref();
        if !id.is_none_or(|id| takes(id, "_+=,.@:/-", 2, 1224)) {
            return Err(refuse("the external id is none that STS takes".to_owned()));
        }
        if !takes(&self.session_name, "_+=,.@-", 2, 64) {
            return Err(refuse(
                "the session's name is none that STS takes".to_owned(),
            ));
        }
        let role = self.arn.split(':').nth(1).unwrap_or_default();
        if let Some(region) = config.region().map(AsRef::as_ref)
            && let Some(here) = partition(region)
            && here != role
        {
            return Err(refuse(format!(
                "the role {} lies in the partition {role}, and the region {region} in {here}: one \
                 run cannot cross partitions",
                self.arn
            )));
        }
        // Without one the SDK would panic.
        if config.time_source().is_none() {
            return Err(refuse(
                "the settings are none that aws-config loaded".to_owned(),
            ));
        }
        let mut provider = AssumeRoleProvider::builder(&self.arn)
            .session_name(&self.session_name)
            .configure(config);
        if let Some(id) = &self.external_id {
            provider = provider.external_id(id);
        }
        Ok(SharedCredentialsProvider::new(provider.build().await))
    }
}

/// The partition of a region; `None` of one that is not known here.
fn partition(region: &str) -> Option<&'static str> {
    let begins = |start: &str| region.starts_with(start);
    match region {
        _ if begins("cn-") => Some("aws-cn"),
        _ if begins("us-gov-") => Some("aws-us-gov"),
        _ if ["us-iso", "eu-iso", "eusc-"]
            .iter()
            .any(|start| begins(start)) =>
        {
            None
        }
        _ => Some("aws"),
    }
}

fn refuse(why: String) -> Error {
    Error::new(ErrorKind::Config, ORIGIN, why)
}

/// Without the external id, which not everyone need know.
impl fmt::Debug for AssumedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumedRole")
            .field("arn", &self.arn)
            .field("session_name", &self.session_name)
            .finish_non_exhaustive()
    }
}
