//! `POST /api/stacks` and `GET /api/apikeys/<id>`.

use http_body_util::{BodyExt as _, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Shared;
use super::reply::{self, Reply};
use super::serve::credential;

/// More than any request of these calls needs.
const BODY: usize = 64 * 1024;
/// What the link's token begins with: made up, and of use to nobody.
const TOKEN: &str = "standin-service-token-";

/// The errors of Cloud One are not documented; this shape is an assumption.
fn refuse(status: StatusCode, message: &str) -> Reply {
    reply::json_bytes(status, json!({"message": message}).to_string().into_bytes())
}

/// The key's id, or why the call is refused.
fn admit<'a>(shared: &Shared, head: &'a Parts) -> Result<&'a str, Box<Reply>> {
    let unauthorized = || {
        Box::new(refuse(
            StatusCode::UNAUTHORIZED,
            "the API key is missing or not the right one",
        ))
    };
    let Some(key) = credential(&head.headers, "apikey") else {
        return Err(unauthorized());
    };
    let wrong = |expected: &crate::Secret| expected.expose() != key;
    let Some((id, secret)) = key.split_once(':') else {
        return Err(unauthorized());
    };
    if id.is_empty()
        || secret.is_empty()
        || shared.settings.cloud_one_key.as_ref().is_some_and(wrong)
    {
        return Err(unauthorized());
    }
    if head
        .headers
        .get("api-version")
        .is_none_or(|version| version != "v1")
    {
        return Err(Box::new(refuse(
            StatusCode::BAD_REQUEST,
            "the header Api-Version must be v1",
        )));
    }
    Ok(id)
}

/// The key's own entry, of which the URN is known.
pub(super) fn key(shared: &Shared, head: &Parts, id: &str) -> Reply {
    match admit(shared, head) {
        Err(refusal) => *refusal,
        Ok(own) if own != id => refuse(StatusCode::NOT_FOUND, "there is no such API key"),
        Ok(own) => {
            let region = &shared.settings.cloud_one_region;
            let urn = format!("urn:cloudone:identity:{region}:000000000001:apikey/{own}");
            reply::json_value(&json!({"id": own, "urn": urn}))
        }
    }
}

/// A link that creates a stack.
pub(super) async fn stacks(shared: &Shared, head: &Parts, body: &mut Incoming) -> Reply {
    if let Err(refusal) = admit(shared, head) {
        return *refusal;
    }
    let Ok(body) = Limited::new(body, BODY).collect().await else {
        return refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request is too large or broke off",
        );
    };
    let body = body.to_bytes();
    let own = shared
        .settings
        .cloud_one_region
        .aws_region()
        .unwrap_or("us-east-1");
    if body.trim_ascii().is_empty() {
        return reply::json_value(&json!({"createStackURL": link(shared, own)}));
    }
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    let account = text("providerAccountID");
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "providerAccountID must be 12 digits",
        );
    }
    let region = text("awsRegion");
    if region != own {
        let message = format!("awsRegion must be {own} for this account");
        return refuse(StatusCode::BAD_REQUEST, &message);
    }
    reply::json_value(&json!({"deploymentURL": link(shared, region)}))
}

fn link(shared: &Shared, region: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let token = format!("{TOKEN}{:012}", shared.store.counts().requests);
    let mut link = format!(
        "https://console.aws.amazon.com/cloudformation/home?region={region}#/stacks/quickcreate?templateUrl={}&stackName=TrendmicroCloudtrailClient",
        encoded(&shared.settings.stack_template)
    );
    for (name, value) in [
        ("S3BucketKey", "standin.zip"),
        ("S3BucketName", "standin-example"),
        ("ServiceToken", token.as_str()),
        ("ServiceURL", shared.base_url.as_str()),
        ("APIVersion", "v1"),
    ] {
        link.push_str(&format!("&param_{name}={}", encoded(value)));
    }
    link
}
