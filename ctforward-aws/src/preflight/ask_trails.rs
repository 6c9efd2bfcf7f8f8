//! What the check of our own reads asks CloudTrail; decides nothing.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::config::Region;

use super::fault::{Fault, FaultKind};
use super::place::region;
use super::trails::{Selectors, Trail};
use crate::facts::facts;

/// An account has five trails in a region at most; organisations' come on top.
const MOST_TRAILS: usize = 20;

pub(crate) async fn ask(client: &Client) -> Result<Vec<Trail>, Fault> {
    let output = client
        .describe_trails()
        .include_shadow_trails(true)
        .send()
        .await
        .map_err(|e| Fault::of(&facts(&e)))?;
    let mut trails = Vec::new();
    for trail in output.trail_list().iter().take(MOST_TRAILS) {
        let arn = trail.trail_arn().or(trail.name()).unwrap_or_default();
        let name = trail.name().unwrap_or(arn).to_owned();
        let home = trail.home_region().and_then(region);
        trails.push(Trail {
            name,
            bucket: trail.s3_bucket_name().unwrap_or_default().to_owned(),
            prefix: trail
                .s3_key_prefix()
                .unwrap_or_default()
                .trim_end_matches('/')
                .to_owned(),
            topic: trail.sns_topic_arn().map(str::to_owned),
            selectors: selectors(client, arn, home).await,
        });
    }
    Ok(trails)
}

/// A trail answers in its home region only.
async fn selectors(client: &Client, arn: &str, home: Option<&str>) -> Result<Selectors, Fault> {
    let there;
    let set = client.config().region().map(AsRef::as_ref);
    let client = match home {
        Some(home) if set != Some(home) => {
            let config = client.config().to_builder();
            there = Client::from_conf(config.region(Region::new(home.to_owned())).build());
            &there
        }
        _ => client,
    };
    let output = client
        .get_event_selectors()
        .trail_name(arn)
        .send()
        .await
        .map_err(|e| Fault::of(&facts(&e)))?;
    let selectors = Selectors {
        basic: output.event_selectors.unwrap_or_default(),
        advanced: output.advanced_event_selectors.unwrap_or_default(),
    };
    if selectors.basic.is_empty() && selectors.advanced.is_empty() {
        return Err(Fault {
            kind: FaultKind::Odd,
            said: "the answer names no selectors".to_owned(),
            region: None,
        });
    }
    Ok(selectors)
}
