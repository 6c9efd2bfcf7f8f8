//! Real notifications, where `CTFORWARD_CORPUS` names a folder with them.
//!
//! They are public, but not part of this project; without the folder this test
//! says so and passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// The recorded ones have `<bucket-name:1>` where names were, and bodies opened up.
fn without_placeholders(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    fn mend(value: &mut Value) {
        match value {
            Value::String(text) => *text = text.replace(['<', '>'], "").replace(':', "-"),
            Value::Array(list) => list.iter_mut().for_each(mend),
            Value::Object(members) => members.values_mut().for_each(mend),
            _ => {}
        }
    }
    mend(&mut value);
    let text = value.to_string();
    // What has meaning got its colons back.
    ["aws-s3", "s3-TestEvent"]
        .into_iter()
        .chain(["ObjectCreated-", "ObjectRemoved-", "ObjectRestore-"])
        .chain(["ObjectTagging-", "ObjectAcl-"])
        .fold(text, |text, word| {
            text.replace(word, &word.replace('-', ":"))
        })
}

#[test]
fn real_notifications_are_understood() {
    let Some(folder) = std::env::var_os("CTFORWARD_CORPUS") else {
        println!("skipped: CTFORWARD_CORPUS names no folder with real notifications");
        return;
    };
    let folder = PathBuf::from(folder).join("notifications");
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for file in files(&folder.join("localstack-snapshots")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut value: Value = serde_json::from_str(&without_placeholders(&text)).unwrap();
        for member in ["Message", "Body"] {
            if value[member].is_object() {
                value[member] = Value::String(value[member].to_string());
            }
        }
        // What `ReceiveMessage` answers, of which a queue's consumer takes the body.
        let body = match &value["Body"] {
            Value::String(body) => body.clone(),
            _ => value.to_string(),
        };
        let said = said(&body);
        for item in &said.items {
            let what = match item {
                Item::Created(_) => "created",
                Item::Skip { why, .. } => why,
            };
            let count = counts.entry((said.shape.to_string(), what.to_owned()));
            *count.or_default() += 1;
        }
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|((shape, what), count)| (shape.as_str(), what.as_str(), *count))
        .collect();
    assert_eq!(
        counts,
        [
            ("EventBridge event", "created", 6),
            ("EventBridge event", "no object created", 5),
            ("EventBridge event", "object removed", 3),
            ("S3 event", "created", 14),
            ("S3 event", "no object created", 7),
            ("S3 event", "object removed", 7),
            ("S3 event in SNS", "created", 3),
        ]
    );

    for file in files(&folder.join("aws-aws-lambda-go")) {
        let body = std::fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let outcome = match decode(&body) {
            Ok(said) => match &said.items[..] {
                [Item::Created(object)] => object.key.clone(),
                [Item::Skip { why, .. }] => (*why).to_owned(),
                other => panic!("{other:?}"),
            },
            Err(e) => e.to_string(),
        };
        println!("{name}: {outcome}");
    }
}
