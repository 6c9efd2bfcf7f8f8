//! Trend Cloud One: the account behind an API key, and the link that creates the
//! stack of its CloudTrail client.

mod account;
mod builder;
mod link;
mod region;
mod stack;

use std::fmt;

use bytes::Bytes;
use ctforward_core::text::excerpt;
use ctforward_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

pub use account::CloudOneAccount;
pub use builder::CloudOneClientBuilder;
pub use link::{StackLink, StackParameters};
pub use region::CloudOneRegion;
pub use stack::StackRequest;

use crate::api::{Base, Call, Http};
use crate::secret::Secret;
use crate::token::TokenProvider;

/// Where errors come from.
const ORIGIN: &str = "cloudone";
const API_VERSION: HeaderName = HeaderName::from_static("api-version");
/// The names that the link is known to have: on the product page, in the vendor's
/// later code, and in a like call of Vision One.
const LINKS: [&str; 3] = ["createStackURL", "deploymentURL", "createStackUrl"];

/// Asks Trend Cloud One with an API key (`<id>:<secret>`).
///
/// Two calls are public: `GET https://accounts.cloudone.trendmicro.com/api/apikeys/<id>`
/// and `POST https://cloudtrail.<region>.cloudone.trendmicro.com/api/stacks`, both with
/// `Authorization: ApiKey <key>` and `Api-Version: v1`. The errors of the second, its
/// other fields and other methods are not documented.
#[derive(Clone)]
pub struct CloudOneClient {
    http: Http,
    region: Option<CloudOneRegion>,
    /// Both services on one host: for tests.
    base: Option<Base>,
}

impl CloudOneClient {
    /// A client with the API key that `key` hands out.
    pub fn builder(key: impl TokenProvider + 'static) -> CloudOneClientBuilder {
        CloudOneClientBuilder::new(std::sync::Arc::new(key))
    }

    /// The account and region of the key, as the service tells them.
    ///
    /// # Errors
    /// `Config` for a key that is not `<id>:<secret>`, `Unauthorized` for one that is
    /// refused, `Malformed` for an answer that names no region, else as for any call.
    pub async fn account(&self) -> Result<CloudOneAccount> {
        let key = self.http.key().await?;
        let id = key_id(&key)?;
        let base = match &self.base {
            Some(base) => base.clone(),
            None => Base::of_host("accounts.cloudone.trendmicro.com")?,
        };
        let answer = self
            .http
            .send(&versioned(Call::get(
                base.at(&format!("/api/apikeys/{id}")),
            )))
            .await?;
        CloudOneAccount::parse(&answer)
    }

    /// The region: that of the settings, else that of the key.
    ///
    /// # Errors
    /// As for [`account`](Self::account).
    pub async fn region(&self) -> Result<CloudOneRegion> {
        match &self.region {
            Some(region) => Ok(region.clone()),
            None => Ok(self.account().await?.region().clone()),
        }
    }

    /// Asks for the link that creates the CloudTrail client's stack. Sent once only:
    /// after an error that leaves open whether it arrived, a link may have been made.
    ///
    /// # Errors
    /// As for [`account`](Self::account); `Malformed` where the answer holds no link,
    /// or one without template or parameters. No error shows the link.
    pub async fn create_stack(&self, request: &StackRequest) -> Result<StackLink> {
        key_id(&self.http.key().await?)?;
        let base = match &self.base {
            Some(base) => base.clone(),
            None => Base::of_host(&format!(
                "cloudtrail.{}.cloudone.trendmicro.com",
                self.region().await?
            ))?,
        };
        let body = request.body();
        let json = !body.is_empty();
        let mut call = versioned(Call::post(base.at("/api/stacks"), Bytes::from(body)));
        if json {
            call = call.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = self.http.send(&call).await?;
        StackLink::parse(link_of(&answer)?)
    }
}

fn versioned(call: Call) -> Call {
    call.header(API_VERSION, HeaderValue::from_static("v1"))
}

/// The id in a key, which names it in an address.
fn key_id(key: &Secret) -> Result<&str> {
    let wrong = |what: &'static str| Err(Error::new(ErrorKind::Config, ORIGIN, what));
    let Some((id, secret)) = key.expose().split_once(':') else {
        return wrong(
            "the API key holds no colon; a Cloud One key looks like <id>:<secret>, and is shown once when it is made",
        );
    };
    if secret.is_empty() {
        return wrong("the API key ends after its id; copy all of it, <id>:<secret>");
    }
    let fits = (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !fits {
        return wrong(
            "what stands before the colon of the API key is not an id (letters, digits, - and _)",
        );
    }
    Ok(id)
}

fn link_of(answer: &Value) -> Result<&str> {
    if let Some(link) = LINKS.iter().find_map(|name| answer.get(*name)?.as_str()) {
        return Ok(link);
    }
    // Names only: a value may be the link under another name.
    let names: Vec<&str> = answer
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys().map(String::as_str))
        .take(20)
        .collect();
    Err(Error::new(
        ErrorKind::Malformed,
        ORIGIN,
        format!(
            "the answer holds no link (createStackURL or deploymentURL); it has: {}",
            excerpt(&names.join(", "), 256)
        ),
    ))
}

impl fmt::Debug for CloudOneClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudOneClient")
            .field("region", &self.region)
            .field("base", &self.base.as_ref().map(Base::shown))
            .field("http", self.http.settings())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_key_is_one_clear_error_that_does_not_show_it() {
        for key in [
            "nocolon-s3cr3t",
            ":s3cr3t",
            "id:",
            "i/d:s3cr3t",
            "../x:s3cr3t",
            "i%2fd:s3cr3t",
        ] {
            let key = Secret::new(key).unwrap();
            let error = key_id(&key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
        }
        let key = Secret::new("tmc12_AB-c:se:cret").unwrap();
        assert_eq!(key_id(&key).unwrap(), "tmc12_AB-c");
    }

    #[test]
    fn an_answer_without_a_link_tells_its_names_and_no_value() {
        let answer = serde_json::json!({"otherURL": "https://s3cr3t", "n": 1});
        let error = link_of(&answer).unwrap_err();
        assert!(error.message().contains("otherURL") && !error.message().contains("s3cr3t"));
        for name in LINKS {
            assert_eq!(link_of(&serde_json::json!({name: "x"})).unwrap(), "x");
        }
    }
}
