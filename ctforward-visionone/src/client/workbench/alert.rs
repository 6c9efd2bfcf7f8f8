//! An alert: what is affected, what was seen, and which rules matched.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::client::object::{id, object, objects, text, texts};

object! {
    /// An alert of Workbench: the known fields by name, and whatever else it holds.
    Alert {
        /// Such as `WB-9002-20220906-00022`.
        id: "id",
        /// `Open`, `In Progress`, `Closed`.
        status: "status",
        /// What somebody found out about it.
        investigation_result: "investigationResult",
        /// `SAE` (detection models) or `TI` (threat intelligence).
        alert_provider: "alertProvider",
        /// The detection model's name.
        model: "model",
        /// The detection model's id.
        model_id: "modelId",
        /// Such as `preset`.
        model_type: "modelType",
        /// `critical`, `high`, `medium`, `low`.
        severity: "severity",
        /// What the detection model says of itself.
        description: "description",
        /// The incident that it is part of.
        incident_id: "incidentId",
        /// Its page in the console.
        workbench_link: "workbenchLink",
    }
}

impl Alert {
    pub(super) fn of(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// How grave it is, 0 to 100.
    #[must_use]
    pub fn score(&self) -> Option<u64> {
        self.0.get("score")?.as_u64()
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.0.get("createdDateTime")?.as_str()?.parse().ok()
    }

    /// When it last changed.
    #[must_use]
    pub fn updated(&self) -> Option<Timestamp> {
        self.0.get("updatedDateTime")?.as_str()?.parse().ok()
    }

    /// What is affected.
    #[must_use]
    pub fn impact_scope(&self) -> ImpactScope {
        let Some(scope) = self.0.get("impactScope").and_then(Value::as_object) else {
            return ImpactScope::default();
        };
        ImpactScope {
            counts: scope
                .iter()
                .filter(|(name, _)| name.ends_with("Count"))
                .filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)))
                .collect(),
            entities: objects(scope.get("entities"))
                .map(AlertEntity::of)
                .collect(),
        }
    }

    /// What was seen.
    #[must_use]
    pub fn indicators(&self) -> Vec<AlertIndicator> {
        objects(self.0.get("indicators"))
            .map(AlertIndicator::of)
            .collect()
    }

    /// Which rules matched, with their filters and events.
    #[must_use]
    pub fn matched_rules(&self) -> Vec<MatchedRule> {
        objects(self.0.get("matchedRules"))
            .map(MatchedRule::of)
            .collect()
    }
}

/// What an alert affects.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ImpactScope {
    /// Numbers by kind, such as `accountCount`.
    pub counts: Vec<(String, u64)>,
    /// The accounts, hosts, mailboxes and so on.
    pub entities: Vec<AlertEntity>,
}

/// Something that an alert affects.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AlertEntity {
    /// Its id, which other parts of the alert refer to.
    pub id: Option<String>,
    /// Such as `account`, `host`.
    pub kind: Option<String>,
    /// A text, or an object such as a host's names and addresses.
    pub value: Value,
    /// Ids of entities that it belongs with.
    pub related_entities: Vec<String>,
    /// Ids of indicators that it belongs with.
    pub related_indicators: Vec<String>,
    /// Where it is from.
    pub provenance: Vec<String>,
    /// The whole object.
    pub fields: Map<String, Value>,
}

impl AlertEntity {
    fn of(map: &Map<String, Value>) -> Self {
        Self {
            id: id(map, "entityId"),
            kind: text(map, "entityType"),
            value: map.get("entityValue").cloned().unwrap_or_default(),
            related_entities: texts(map.get("relatedEntities")),
            related_indicators: ids(map.get("relatedIndicatorIds")),
            provenance: texts(map.get("provenance")),
            fields: map.clone(),
        }
    }
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AlertIndicator {
    /// Its id, which entities refer to.
    pub id: Option<String>,
    /// Such as `ip`, `text`.
    pub kind: Option<String>,
    /// The field of the event that it is from.
    pub field: Option<String>,
    /// A text, or an object.
    pub value: Value,
    /// Ids of entities that it belongs with.
    pub related_entities: Vec<String>,
    /// Ids of filters that it was found by.
    pub filters: Vec<String>,
    /// Where it is from.
    pub provenance: Vec<String>,
    /// The whole object.
    pub fields: Map<String, Value>,
}

impl AlertIndicator {
    fn of(map: &Map<String, Value>) -> Self {
        Self {
            id: id(map, "id"),
            kind: text(map, "type"),
            field: text(map, "field"),
            value: map.get("value").cloned().unwrap_or_default(),
            related_entities: texts(map.get("relatedEntities")),
            filters: texts(map.get("filterIds")),
            provenance: texts(map.get("provenance")),
            fields: map.clone(),
        }
    }
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MatchedRule {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its filters that matched.
    pub filters: Vec<MatchedFilter>,
}

impl MatchedRule {
    fn of(map: &Map<String, Value>) -> Self {
        Self {
            id: id(map, "id"),
            name: text(map, "name"),
            filters: objects(map.get("matchedFilters"))
                .map(MatchedFilter::of)
                .collect(),
        }
    }
}

/// A filter of a rule that matched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MatchedFilter {
    /// Its id, which indicators refer to.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// When it matched, as the service writes it.
    pub matched: Option<String>,
    /// Techniques of MITRE ATT&CK, such as `T1562.008`.
    pub mitre_techniques: Vec<String>,
    /// The events that it matched.
    pub events: Vec<MatchedEvent>,
}

impl MatchedFilter {
    fn of(map: &Map<String, Value>) -> Self {
        Self {
            id: id(map, "id"),
            name: text(map, "name"),
            matched: text(map, "matchedDateTime"),
            mitre_techniques: texts(map.get("mitreTechniqueIds")),
            events: objects(map.get("matchedEvents"))
                .map(MatchedEvent::of)
                .collect(),
        }
    }
}

/// An event that a filter matched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MatchedEvent {
    /// The vendor's id of the item; the search knows it by the same one.
    pub uuid: Option<String>,
    /// When it matched, as the service writes it.
    pub matched: Option<String>,
    /// Which kind of event.
    pub kind: Option<String>,
    /// The whole object.
    pub fields: Map<String, Value>,
}

impl MatchedEvent {
    fn of(map: &Map<String, Value>) -> Self {
        Self {
            uuid: text(map, "uuid"),
            matched: text(map, "matchedDateTime"),
            kind: text(map, "type"),
            fields: map.clone(),
        }
    }
}

fn ids(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(|item| match item {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn alert(value: Value) -> Alert {
        let Value::Object(map) = value else {
            unreachable!()
        };
        Alert::of(map)
    }

    #[test]
    fn what_is_known_is_read_and_the_rest_is_kept() {
        let alert = alert(json!({
            "id": "WB-1", "score": 40, "createdDateTime": "2026-01-02T03:04:05Z", "new": {"x": 1},
            "impactScope": {"accountCount": 1, "hostCount": "?", "entities": [
                {"entityId": "e1", "entityType": "account", "entityValue": {"name": "n"},
                 "relatedIndicatorIds": [1, "2", null], "relatedEntities": ["e2"]}, 7]},
            "indicators": [{"id": 1, "type": "ip", "value": "192.0.2.1", "filterIds": ["F1"]}],
            "matchedRules": [{"id": "R1", "name": "r", "matchedFilters": [
                {"id": "F1", "mitreTechniqueIds": ["T1078"], "matchedEvents": [{"uuid": "u"}]}]}]
        }));
        assert_eq!(
            (alert.id(), alert.score(), alert.model()),
            (Some("WB-1"), Some(40), None)
        );
        assert!(alert.created().is_some() && alert.fields().contains_key("new"));
        let scope = alert.impact_scope();
        assert_eq!(scope.counts, [("accountCount".to_owned(), 1)]);
        assert_eq!(scope.entities.len(), 1);
        assert_eq!(scope.entities[0].related_indicators, ["1", "2"]);
        assert_eq!(alert.indicators()[0].id.as_deref(), Some("1"));
        let filters = &alert.matched_rules()[0].filters;
        assert_eq!(filters[0].mitre_techniques, ["T1078"]);
        assert_eq!(filters[0].events[0].uuid.as_deref(), Some("u"));
    }

    #[test]
    fn an_alert_of_odd_types_is_an_alert_with_gaps() {
        let alert = alert(
            json!({"id": 7, "score": "x", "impactScope": [], "indicators": {}, "matchedRules": "no"}),
        );
        assert_eq!((alert.id(), alert.score()), (None, None));
        assert_eq!(alert.impact_scope(), ImpactScope::default());
        assert!(alert.indicators().is_empty() && alert.matched_rules().is_empty());
    }
}
