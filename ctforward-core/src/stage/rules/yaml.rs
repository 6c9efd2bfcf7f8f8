//! Reading YAML, within bounds.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};

use super::node::{DEPTH, Key, LARGEST, Node, Value, too_large};
use super::problem::{Problem, Problems};
use crate::text::excerpt;

/// Reads YAML. Anchors, aliases, merge keys, tags and further documents are
/// refused: rules need none, and bombs are made of them.
pub(super) fn yaml(text: &str) -> Result<Node, Problems> {
    if let Some(problems) = too_large(text.len()) {
        return Err(problems);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(LARGEST),
            max_anchors: 0,
            max_aliases: 0,
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_documents: 1,
            max_merge_keys: 0,
            max_inclusion_depth: 0,
            max_nodes: 100_000,
            max_events: 300_000,
            max_total_scalar_bytes: LARGEST,
        },
        // The file's own check says it of a key that comes twice, with its line.
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        strict_booleans: true,
        with_snippet: false,
    };
    let read = serde_saphyr::from_str_with_options::<Tree>(text, options);
    read.map(|tree| tree.0).map_err(|error| {
        let line = error.location().and_then(|location| line(&location));
        let message = error.to_string();
        Problems::one(Problem::new(line, "file", excerpt(&message, 300)))
    })
}

fn line(location: &Location) -> Option<u32> {
    u32::try_from(location.line()).ok().filter(|line| *line > 0)
}

struct Tree(Node);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned {
            value, referenced, ..
        } = Spanned::<Part>::deserialize(deserializer)?;
        Ok(Self(Node {
            line: line(&referenced),
            value: value.0,
        }))
    }
}

struct Part(Value);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list or an object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(node)) = elements.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, Tree(node))) = members.next_entry::<Spanned<String>, Tree>()? {
            let key = Key {
                line: line(&key.referenced),
                text: key.value,
            };
            map.push((key, node));
        }
        Ok(Value::Map(map))
    }
}
