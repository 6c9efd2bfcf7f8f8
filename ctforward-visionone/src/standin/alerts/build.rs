//! An alert in the shape of the public API.

use serde_json::{Map, Value, json};

use super::rules::{Found, principal, text};
use crate::standin::Shared;
use crate::standin::search::item::item;

/// The alert of what a rule found; without its record, where that is no longer kept.
pub(super) fn alert(shared: &Shared, found: &Found) -> Value {
    let line = shared.store.post_from(found.number).and_then(|post| {
        let skipped = usize::try_from(found.number.checked_sub(post.first)?).ok()?;
        post.lines().nth(skipped)
    });
    let record = line.and_then(|line| item(&line, found.number, found.received));
    let item = record.map(|(item, _)| item).unwrap_or_default();
    let rule = found.rule;
    let (severity, score, technique) = rule.weight();
    let created = found.created().to_string();
    let filter = format!("SF-{}", rule.digit());
    let who = principal(&item);
    let accounts = usize::from(who.is_some());
    json!({
        "schemaVersion": "1.12",
        "id": found.id(),
        "status": "Open",
        "investigationStatus": "New",
        "investigationResult": "No Findings",
        "workbenchLink": format!("{}/#{}", shared.base_url, found.id()),
        "alertProvider": "SAE",
        "modelId": format!("standin-{}", rule.digit()),
        "model": rule.model(),
        "modelType": "preset",
        "score": score,
        "severity": severity,
        "createdDateTime": created,
        "updatedDateTime": created,
        "description": "Made by a rule of the stand-in; the vendor's models are others.",
        "impactScope": {
            "desktopCount": 0,
            "serverCount": 0,
            "accountCount": accounts,
            "emailAddressCount": 0,
            "entities": who.map(|who| json!([{
                "entityType": "account",
                "entityValue": who,
                "entityId": who,
                "relatedEntities": [],
                "relatedIndicatorIds": [1, 2, 3],
                "provenance": ["Alert"],
            }])).unwrap_or_else(|| json!([])),
        },
        "matchedRules": [{
            "id": format!("SR-{}", rule.digit()),
            "name": rule.model(),
            "matchedFilters": [{
                "id": filter,
                "name": rule.model(),
                "matchedDateTime": created,
                "mitreTechniqueIds": [technique],
                "matchedEvents": [{
                    "uuid": item.get("uuid"),
                    "matchedDateTime": item.get("eventTimeDT"),
                    "type": "CLOUD_ACTIVITY",
                }],
            }],
        }],
        "indicators": indicators(&item, who, &filter),
    })
}

fn indicators(item: &Map<String, Value>, who: Option<&str>, filter: &str) -> Vec<Value> {
    let resource = ["name", "bucketName", "roleName", "userName"]
        .iter()
        .find_map(|field| item.get("requestParameters")?.get(*field)?.as_str());
    [
        ("text", "eventName", text(item, "eventName")),
        ("ip", "sourceIPAddress", text(item, "sourceIPAddress")),
        ("text", "requestParameters", resource),
    ]
    .into_iter()
    .zip(1..)
    .filter_map(|((kind, field, value), id)| {
        Some(json!({
            "id": id,
            "type": kind,
            "field": field,
            "value": value?,
            "relatedEntities": who.into_iter().collect::<Vec<_>>(),
            "filterIds": [filter],
            "provenance": ["Alert"],
        }))
    })
    .collect()
}
