//! Whether rules make sense: what is refused, and what only looks like a mistake.

use std::collections::HashSet;

use super::Rules;
use super::filter::NOT_INCLUDED;
use super::model::{FieldSelector, Rule};
use super::problem::Problem;
use super::values::Values;
use crate::text::printable;

const RULES: usize = 1000;
const VALUES: usize = 10_000;
const NAME: usize = 64;
const FIELD: usize = 512;
const KEYS: usize = 32;
const VALUE: usize = 4096;

/// Names by which other stages drop.
const TAKEN: [&str; 3] = [NOT_INCLUDED, "event-since", "event-until"];

/// The keys of records that AWS documents, up to event version 1.11.
const TOP: [&str; 36] = [
    "accountId",
    "addendum",
    "additionalEventData",
    "apiVersion",
    "awsRegion",
    "edgeDeviceDetails",
    "errorCode",
    "errorMessage",
    "eventCategory",
    "eventContext",
    "eventID",
    "eventId",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "eventVersion",
    "insightDetails",
    "managementEvent",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "resources",
    "responseElements",
    "serviceEventDetails",
    "sessionCredentialFromConsole",
    "sharedEventID",
    "sourceIPAddress",
    "summary",
    "timeWindow",
    "tlsDetails",
    "userAgent",
    "userIdentity",
    "vpcEndpointAccountId",
    "vpcEndpointId",
];

/// Whether a rule may be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= NAME && printable(name) == name
}

/// A path of keys with points between.
pub(in crate::stage) fn path_fault(path: &str, wildcard: bool) -> Option<&'static str> {
    if path.is_empty() {
        Some("it is empty")
    } else if path.len() > FIELD {
        Some("it is longer than 512 bytes")
    } else if path.split('.').count() > KEYS {
        Some("it has more than 32 keys")
    } else if path.split('.').any(str::is_empty) {
        Some("a key in it is empty; it is keys with one point between each two")
    } else if !wildcard && path.split('.').any(|key| key == "*") {
        Some("there are no wildcards in Field")
    } else {
        None
    }
}

/// Everything that is refused.
pub(super) fn problems(rules: &Rules) -> Vec<Problem> {
    let mut found = Vec::new();
    let all = || {
        let include = rules.include.iter().flatten().map(|rule| ("include", rule));
        include.chain(rules.exclude.iter().map(|rule| ("exclude", rule)))
    };
    if rules.include.as_ref().is_some_and(Vec::is_empty) {
        let message = "an empty list would drop every record";
        found.push(Problem::new(None, "include", message));
    }
    let count = all().count();
    if count > RULES {
        let message = format!("{count} rules; at most {RULES} are taken");
        found.push(Problem::new(None, "file", message));
    }
    let values: usize = all()
        .flat_map(|(_, rule)| &rule.selectors)
        .flat_map(|selector| &selector.tests)
        .map(|(_, values)| values.len())
        .sum();
    if values > VALUES {
        let message = format!("{values} values; at most {VALUES} are taken");
        found.push(Problem::new(None, "file", message));
    }
    let mut names = HashSet::new();
    for (list, rule) in all() {
        let place = place(list, rule);
        let mut say = |line, message: String| found.push(Problem::new(line, &place, message));
        if !is_name(&rule.name) {
            let message = "a Name is 1 to 64 printable characters";
            say(rule.line, message.to_owned());
        } else if TAKEN.contains(&rule.name.as_str()) {
            say(
                rule.line,
                "this name is used by ctforward itself".to_owned(),
            );
        } else if !names.insert(rule.name.as_str()) {
            say(rule.line, "another rule has the same name".to_owned());
        }
        if rule.selectors.is_empty() {
            say(rule.line, "it has no FieldSelectors".to_owned());
        }
        for selector in &rule.selectors {
            for message in selector_faults(selector) {
                say(selector.line, message);
            }
        }
    }
    if let Some(redact) = &rules.redact {
        found.extend(redact.problems());
    }
    found
}

fn place(list: &str, rule: &Rule) -> String {
    let name = crate::text::excerpt(&rule.name, NAME * 4);
    format!("{list} rule {name}")
}

fn selector_faults(selector: &FieldSelector) -> Vec<String> {
    let field = crate::text::excerpt(&selector.field, 64);
    let mut faults = Vec::new();
    if let Some(fault) = path_fault(&selector.field, false) {
        faults.push(format!("Field `{field}`: {fault}"));
    }
    if selector.tests.is_empty() {
        faults.push(format!("Field `{field}` has no operator"));
    }
    for (operator, values) in &selector.tests {
        let operator = operator.as_str();
        if values.is_empty() {
            faults.push(format!("Field `{field}`: {operator} has no values"));
        }
        if values.iter().any(|value| value.len() > VALUE) {
            faults.push(format!(
                "Field `{field}`: a value of {operator} is longer than {VALUE} bytes"
            ));
        }
    }
    faults
}

/// What compiles and looks like a mistake.
pub(super) fn warnings(rules: &Rules) -> Vec<Problem> {
    let mut found = Vec::new();
    let lists = [
        ("include", rules.include.as_deref().unwrap_or_default()),
        ("exclude", &rules.exclude),
    ];
    for (list, rule) in lists
        .iter()
        .flat_map(|(list, rules)| rules.iter().map(move |rule| (*list, rule)))
    {
        let place = place(list, rule);
        let mut say = |line, message: String| found.push(Problem::new(line, &place, message));
        if list == "exclude" {
            if rule.selectors.iter().all(takes_all) {
                say(
                    rule.line,
                    "it drops every record that has its fields".to_owned(),
                );
            } else if rule
                .selectors
                .iter()
                .all(|s| takes_all(s) || only_negated(s))
            {
                let message = "it names no value that a record must have: it drops every record \
                               that has its fields, but for those it names";
                say(rule.line, message.to_owned());
            }
        }
        for selector in &rule.selectors {
            let field = printable(&selector.field);
            if takes_none(selector) {
                say(
                    selector.line,
                    format!("Field `{field}`: nothing satisfies it"),
                );
            }
            let top = selector.field.split('.').next().unwrap_or_default();
            if !TOP.contains(&top) {
                say(
                    selector.line,
                    format!("no record is known to have a field `{}`", printable(top)),
                );
            }
            let mut values = selector.tests.iter().flat_map(|(_, values)| values);
            if let Some(value) = values.find(|value| value.contains('*')) {
                let value = crate::text::excerpt(value, 64);
                let message = format!("Field `{field}`: `{value}` holds a *, which is no wildcard");
                say(selector.line, message);
            }
        }
    }
    if let Some(redact) = &rules.redact {
        found.extend(redact.warnings());
    }
    found
}

/// Whether every value satisfies it.
fn takes_all(selector: &FieldSelector) -> bool {
    let positive = Values::of(&selector.tests, false);
    positive.is_some_and(|values| values.holds_all()) && Values::of(&selector.tests, true).is_none()
}

fn only_negated(selector: &FieldSelector) -> bool {
    selector.tests.iter().all(|(op, _)| op.is_negated())
}

/// Whether no value satisfies it.
fn takes_none(selector: &FieldSelector) -> bool {
    let positive = Values::of(&selector.tests, false);
    let negative = Values::of(&selector.tests, true);
    match (positive, negative) {
        (Some(positive), Some(negative)) => negative.covers(&positive),
        (None, Some(negative)) => negative.holds_all(),
        _ => false,
    }
}
