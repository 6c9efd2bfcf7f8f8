//! The Cloud One client against the stand-in.

use ctforward_core::ErrorKind;
use ctforward_visionone::standin::{StandIn, StandInBuilder};
use ctforward_visionone::{ApiError, CloudOneClient, StackRequest};

use crate::secret;

const KEY: &str = "tmcid01:cloud-one-secret-0123456789";

async fn standin(settings: StandInBuilder) -> StandIn {
    settings.cloud_one_key(secret(KEY)).start().await.unwrap()
}

fn client(server: &StandIn, key: &str) -> CloudOneClient {
    CloudOneClient::builder(secret(key))
        .base_url(server.base_url())
        .build()
        .unwrap()
}

#[tokio::test]
async fn region_and_account_come_from_the_key() {
    let region = "jp-1".parse().unwrap();
    let server = standin(StandIn::builder().cloud_one_region(region)).await;
    let account = client(&server, KEY).account().await.unwrap();
    assert_eq!(
        (account.id(), account.region().as_str()),
        ("000000000001", "jp-1")
    );
    let set = CloudOneClient::builder(secret(KEY))
        .region("trend-us-1".parse().unwrap())
        .base_url(server.base_url())
        .build()
        .unwrap();
    assert_eq!(
        set.region().await.unwrap().as_str(),
        "trend-us-1",
        "a setting goes first"
    );
    assert_eq!(server.counts().requests, 1);
}

#[tokio::test]
async fn a_link_is_made_in_both_forms() {
    let template = "https://templates.s3.us-east-1.amazonaws.com/client.json";
    let server = standin(StandIn::builder().stack_template(template)).await;
    let client = client(&server, KEY);
    for request in [
        StackRequest::empty(),
        StackRequest::of_account("012345678901", "us-east-1").unwrap(),
    ] {
        let link = client.create_stack(&request).await.unwrap();
        assert_eq!(link.template_url(), template);
        assert_eq!(link.stack_name(), Some("TrendmicroCloudtrailClient"));
        assert_eq!(link.region(), Some("us-east-1"));
        let token = link.parameters().get("ServiceToken").unwrap();
        assert!(token.starts_with("standin-service-token-"));
        assert_eq!(link.parameters().get("ServiceURL"), Some(server.base_url()));
        let said = format!(
            "{link:?} {:?}",
            link.parameters().shown().collect::<Vec<_>>()
        );
        assert!(!said.contains(token), "{said}");
    }
}

#[tokio::test]
async fn refusals_are_one_clear_error_and_never_sent_again() {
    let server = standin(StandIn::builder()).await;
    let wrong_region = StackRequest::of_account("012345678901", "eu-west-2").unwrap();
    let error = client(&server, KEY)
        .create_stack(&wrong_region)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(
        ApiError::of(&error).unwrap().message.contains("us-east-1"),
        "{error}"
    );
    let wrong_key = client(&server, "tmcid01:another-secret-9876543210");
    for error in [
        wrong_key
            .create_stack(&StackRequest::empty())
            .await
            .unwrap_err(),
        wrong_key.account().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
        assert!(
            !format!("{error:?}").contains("another-secret"),
            "{error:?}"
        );
    }
    assert_eq!(server.counts().requests, 3);
    let malformed = client(&server, "no-colon-in-this");
    for error in [
        malformed
            .create_stack(&StackRequest::empty())
            .await
            .unwrap_err(),
        malformed.account().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    assert_eq!(server.counts().requests, 3, "a malformed key is never sent");
}
