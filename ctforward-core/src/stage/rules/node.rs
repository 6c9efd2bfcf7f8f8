//! A rules file as a tree whose parts know their lines, whatever it was written in.

use memchr::memchr_iter;
use serde_json::value::RawValue;

use super::problem::{Problem, Problems};
use crate::event::scan::{Elements, Item, Members, Step, text};

/// The largest rules file that is read, in bytes.
pub(super) const LARGEST: usize = 1 << 20;

/// A rules file is no deeper than this.
pub(super) const DEPTH: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: Option<u32>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) line: Option<u32>,
    pub(super) text: String,
}

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}

pub(super) fn too_large(length: usize) -> Option<Problems> {
    (length > LARGEST).then(|| {
        let message = format!("{length} bytes; a rules file has at most {LARGEST}");
        Problems::one(Problem::new(None, "file", message))
    })
}

/// Reads JSON.
pub(super) fn json(bytes: &[u8]) -> Result<Node, Problems> {
    if let Some(problems) = too_large(bytes.len()) {
        return Err(problems);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Checked as a whole first, without recursion; what follows only takes apart.
    let raw: &RawValue = serde_json::from_slice(bytes).map_err(|e| {
        let line = u32::try_from(e.line()).ok();
        let message = format!("no JSON, at column {}", e.column());
        Problems::one(Problem::new(line, "file", message))
    })?;
    let lead = bytes.len() - bytes.trim_ascii_start().len();
    let lines = Lines::of(bytes);
    lines
        .node(raw.get().as_bytes(), lead, 0)
        .map_err(|(line, message)| Problems::one(Problem::new(Some(line), "file", message)))
}

/// Where lines begin.
struct Lines(Vec<usize>);

type Refused = (u32, &'static str);

impl Lines {
    fn of(bytes: &[u8]) -> Self {
        Self(memchr_iter(b'\n', bytes).collect())
    }

    fn line(&self, at: usize) -> u32 {
        let before = self.0.partition_point(|end| *end < at);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    /// The tree of `raw`, which lies at `at` of the file. It calls itself at most
    /// `DEPTH` times.
    fn node(&self, raw: &[u8], at: usize, depth: usize) -> Result<Node, Refused> {
        let line = self.line(at);
        let broken = (line, "this cannot be read");
        if depth > DEPTH {
            return Err((line, "too deeply nested for a rules file"));
        }
        let value = match raw.first() {
            Some(b'{') => {
                let mut members = Members::of(raw).ok_or(broken)?;
                let mut map = Vec::new();
                loop {
                    match members.step() {
                        Step::Member(member) => {
                            let quoted = member.key.start - 1..member.key.end + 1;
                            let line = self.line(at + quoted.start);
                            let key = raw.get(quoted).and_then(text);
                            let text = key.ok_or((line, "a key that cannot be decoded"))?;
                            let from = at + member.value.start;
                            let value = raw.get(member.value).ok_or(broken)?;
                            let key = Key {
                                line: Some(line),
                                text: text.into_owned(),
                            };
                            map.push((key, self.node(value, from, depth + 1)?));
                        }
                        Step::End => break,
                        Step::Fault => return Err(broken),
                    }
                }
                Value::Map(map)
            }
            Some(b'[') => {
                let mut elements = Elements::of(raw).ok_or(broken)?;
                let mut list = Vec::new();
                loop {
                    match elements.step() {
                        Item::Element(range) => {
                            let from = at + range.start;
                            let element = raw.get(range).ok_or(broken)?;
                            list.push(self.node(element, from, depth + 1)?);
                        }
                        Item::End => break,
                        Item::Fault => return Err(broken),
                    }
                }
                Value::List(list)
            }
            Some(b'"') => {
                let text = text(raw).ok_or((line, "a text that cannot be decoded"))?;
                Value::Text(text.into_owned())
            }
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'n') => Value::Null,
            _ => Value::Number,
        };
        Ok(Node {
            line: Some(line),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_their_lines() {
        let node = json(b"\n{\"a\":\n [1,\n\"\\u0078\"\n],\"b\":{}}\n").unwrap();
        let Value::Map(map) = node.value else {
            panic!("{node:?}")
        };
        assert_eq!(
            (node.line, map[0].0.line, map[0].1.line),
            (Some(2), Some(2), Some(3))
        );
        let Value::List(list) = &map[0].1.value else {
            panic!("{map:?}")
        };
        assert_eq!(list[1].line, Some(4));
        assert_eq!(list[1].value, Value::Text("x".into()));
        assert_eq!(map[1].0.line, Some(5));
    }

    #[test]
    fn size_depth_and_syntax_are_bounded() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for (bad, line) in [
            (deep.as_bytes(), Some(1)),
            (b"{\n\"a\":}", Some(2)),
            (b"{\n\"a\":\n\"\\ud800\"}", Some(3)),
            (b"", Some(1)),
            (&vec![b' '; LARGEST + 1], None),
        ] {
            let problems = json(bad).unwrap_err();
            assert_eq!(problems.iter().next().unwrap().line(), line, "{problems}");
        }
    }
}
