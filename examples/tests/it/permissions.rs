//! `docs/permissions.md` against the list of actions, and that against the source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ctforward_aws::permissions::{ACTIONS, Way};
use serde_json::Value;

use crate::support::files;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn doc() -> String {
    std::fs::read_to_string(root().join("docs/permissions.md")).unwrap()
}

/// What stands in the comment before each JSON block, and the block.
fn blocks(text: &str) -> Vec<(String, Value)> {
    let mut blocks = Vec::new();
    let mut parts = text.split("```json\n");
    let mut before = parts.next().unwrap();
    for part in parts {
        let (json, after) = part.split_once("```").unwrap();
        let mark = before.trim_end().rsplit('\n').next().unwrap();
        let mark = mark
            .strip_prefix("<!-- ")
            .and_then(|m| m.strip_suffix(" -->"));
        let mark = mark.unwrap_or_else(|| panic!("a block without a mark: {json}"));
        let value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{mark}: {e}"));
        blocks.push((mark.to_owned(), value));
        before = after;
    }
    blocks
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().map(|v| v.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn statements(policy: &Value) -> &Vec<Value> {
    assert_eq!(policy["Version"], "2012-10-17");
    policy["Statement"].as_array().unwrap()
}

fn actions(policy: &Value) -> BTreeSet<&str> {
    statements(policy)
        .iter()
        .flat_map(|s| texts(&s["Action"]))
        .collect()
}

fn listed(way: Way) -> BTreeSet<&'static str> {
    let of_way = ACTIONS.iter().filter(|a| a.ways.contains(&way));
    // Everyone may ask who they are; no statement can grant or is needed for it.
    of_way
        .map(|a| a.name)
        .filter(|name| *name != "sts:GetCallerIdentity")
        .collect()
}

#[test]
fn each_policy_allows_what_the_code_calls_and_nothing_more() {
    let ways = BTreeMap::from([
        ("list", Way::List),
        ("queue", Way::Queue),
        ("kms", Way::Kms),
        ("secret", Way::Secret),
        ("doctor", Way::Doctor),
        ("notify-setup", Way::NotifySetup),
        ("ledger", Way::Ledger),
        ("ledger-setup", Way::LedgerSetup),
        ("quarantine", Way::Quarantine),
        ("role", Way::Role),
    ]);
    let doc = doc();
    let blocks = blocks(&doc);
    let mut found = BTreeSet::new();
    for (mark, policy) in &blocks {
        let Some(name) = mark.strip_prefix("policy: ") else {
            continue;
        };
        assert_eq!(actions(policy), listed(ways[name]), "{name}");
        for statement in statements(policy) {
            assert_eq!(statement["Effect"], "Allow");
            assert!(statement.get("Principal").is_none(), "{name}");
            for action in texts(&statement["Action"]) {
                fits(action, &statement["Resource"]);
            }
        }
        assert!(found.insert(name), "{name} comes twice");
    }
    assert_eq!(
        found,
        ways.keys().copied().collect(),
        "each way has its policy"
    );
}

/// The resource is one that the action can have.
fn fits(action: &str, resource: &Value) {
    let service = match action {
        "sts:AssumeRole" => "iam",
        action => action.split(':').next().unwrap(),
    };
    for resource in texts(resource) {
        if action == "cloudtrail:DescribeTrails" {
            assert_eq!(resource, "*");
            continue;
        }
        assert!(
            resource.starts_with(&format!("arn:aws:{service}:")),
            "{action} {resource}"
        );
        if service == "s3" {
            let objects = action.contains("Object");
            assert_eq!(resource.contains('/'), objects, "{action} {resource}");
        }
    }
}

#[test]
fn each_resource_policy_lets_one_service_in_for_one_source() {
    let doc = doc();
    let blocks = blocks(&doc);
    let mut count = 0;
    for (mark, policy) in &blocks {
        let Some(rest) = mark.strip_prefix("resource policy: ") else {
            assert!(mark.starts_with("policy: "), "{mark}");
            continue;
        };
        let mut words = rest.split(' ');
        let service = words.next().unwrap();
        assert_eq!(actions(policy), words.collect(), "{mark}");
        for statement in statements(policy) {
            assert_eq!(statement["Principal"]["Service"], service, "{mark}");
            let source = statement["Condition"]["ArnEquals"]["aws:SourceArn"]
                .as_str()
                .unwrap();
            let kind = service.split('.').next().unwrap();
            assert!(
                source.starts_with(&format!("arn:aws:{kind}:")),
                "{mark} {source}"
            );
            // An ARN of a bucket names no account.
            let account = statement["Condition"]["StringEquals"]["aws:SourceAccount"].is_string();
            let key = rest.contains("kms:");
            assert_eq!(account, kind == "s3" && !key, "{mark}");
        }
        count += 1;
    }
    assert_eq!(count, 5);
}

/// What looks like a call of an SDK: a method of a verb of AWS's, without arguments.
fn calls(source: &str) -> BTreeSet<String> {
    const VERBS: [&str; 21] = [
        "batch_",
        "get_",
        "list_",
        "head_",
        "put_",
        "delete_",
        "describe_",
        "receive_",
        "change_",
        "send_",
        "copy_",
        "create_",
        "start_",
        "update_",
        "abort_",
        "complete_",
        "upload_",
        "restore_",
        "purge_",
        "lookup_",
        "publish_",
    ];
    let mut found = BTreeSet::new();
    for (at, _) in source.match_indices("()") {
        let before = &source[..at];
        let begins =
            before.rfind(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        let Some(begins) = begins.filter(|at| before[*at..].starts_with('.')) else {
            continue;
        };
        let name = &before[begins + 1..];
        if VERBS.iter().any(|verb| name.starts_with(verb)) {
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn the_list_names_every_call_of_the_source_and_none_besides() {
    // Methods of other things that are named like calls.
    const OTHERS: [&str; 6] = [
        "get_or_insert_default",
        "get_region",
        "get_mut",
        "get_ref",
        "list_of",
        "send_modify",
    ];
    let mut made = BTreeSet::new();
    for folder in [
        "ctforward-aws/src",
        "examples/cli",
        "examples/daemon",
        "examples/lambda",
    ] {
        let folder = root().join(folder);
        if !folder.exists() {
            continue;
        }
        for path in files(&folder) {
            let test = path.to_string_lossy().contains("test");
            if path.extension().is_some_and(|e| e == "rs") && !test {
                let source = std::fs::read_to_string(&path).unwrap();
                if source.contains("aws_sdk") || source.contains("client") {
                    made.extend(calls(&source));
                }
            }
        }
    }
    made.retain(|call| !OTHERS.contains(&call.as_str()));
    let listed: BTreeSet<&str> = ACTIONS.iter().flat_map(|a| a.calls).copied().collect();
    let unlisted: Vec<_> = made
        .iter()
        .filter(|call| !listed.contains(call.as_str()))
        .collect();
    assert!(
        unlisted.is_empty(),
        "calls that the list does not name: {unlisted:?}"
    );
    for call in listed {
        // The reading of secrets is the daemon's.
        let elsewhere = call == "get_secret_value" && !root().join("examples/daemon").exists();
        assert!(made.contains(call) || elsewhere, "{call} is called nowhere");
    }
}

#[test]
fn the_parts_of_the_test_bite() {
    assert_eq!(
        calls("a.get_object().send(); b.get(1); x.put_x(); get_y()"),
        BTreeSet::from(["get_object".to_owned(), "put_x".to_owned()])
    );
    let text = "x\n<!-- policy: a -->\n```json\n{\"Version\": 1}\n```\ny";
    assert_eq!(blocks(text)[0].0, "policy: a");
}
