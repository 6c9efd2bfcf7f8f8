//! Paths compiled into a tree, and where in a record they lead.

use std::ops::Range;

use crate::event::scan::{Elements, Item, Members, Step, text};

/// Objects and arrays on a path are entered so deep; a record that goes deeper
/// there cannot be followed.
const DEPTH: usize = 16;

/// Named paths as a tree of keys.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Sorted.
    keys: Vec<(Box<str>, usize)>,
    any: Option<usize>,
    /// The path that ends here.
    end: Option<usize>,
}

/// The record cannot be followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Paths {
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let mut nodes = vec![Node::default()];
        for (n, path) in paths.into_iter().enumerate() {
            let mut at = 0;
            for key in path.split('.') {
                let new = nodes.len();
                let node = &mut nodes[at];
                at = if key == "*" {
                    *node.any.get_or_insert(new)
                } else {
                    match node.keys.binary_search_by(|(own, _)| (**own).cmp(key)) {
                        Ok(found) => node.keys[found].1,
                        Err(place) => {
                            node.keys.insert(place, (key.into(), new));
                            new
                        }
                    }
                };
                if at == new {
                    nodes.push(Node::default());
                }
            }
            nodes[at].end.get_or_insert(n);
        }
        Self { nodes }
    }

    /// Tells `hit` of each value that a path names, with the path's number: in
    /// their order, none within another. `record` must be valid JSON.
    pub(super) fn find(
        &self,
        record: &[u8],
        hit: &mut dyn FnMut(usize, Range<usize>),
    ) -> Result<(), Lost> {
        self.object(record, 0, &[0], 0, hit)
    }

    /// The object `raw`, which lies at `at` of the record, reached by `active`. It
    /// and `value` call each other at most `DEPTH` times.
    fn object(
        &self,
        raw: &[u8],
        at: usize,
        active: &[usize],
        depth: usize,
        hit: &mut dyn FnMut(usize, Range<usize>),
    ) -> Result<(), Lost> {
        let mut members = Members::of(raw).ok_or(Lost)?;
        loop {
            let member = match members.step() {
                Step::Member(member) => member,
                Step::End => return Ok(()),
                Step::Fault => return Err(Lost),
            };
            let quoted = member.key.start - 1..member.key.end + 1;
            // A key that cannot be decoded may be taken for any by another reader.
            let key = raw.get(quoted).and_then(text).ok_or(Lost)?;
            let next = self.next(active, &key);
            if next.is_empty() {
                continue;
            }
            let place = at + member.value.start;
            let value = raw.get(member.value).ok_or(Lost)?;
            let ends = next.iter().filter_map(|node| self.nodes.get(*node)?.end);
            match ends.min() {
                Some(_) if value == b"null" => {}
                Some(path) => hit(path, place..place + value.len()),
                None => self.value(value, place, &next, depth + 1, hit)?,
            }
        }
    }

    fn value(
        &self,
        raw: &[u8],
        at: usize,
        active: &[usize],
        depth: usize,
        hit: &mut dyn FnMut(usize, Range<usize>),
    ) -> Result<(), Lost> {
        match raw.first() {
            Some(b'{' | b'[') if depth > DEPTH => Err(Lost),
            Some(b'{') => self.object(raw, at, active, depth, hit),
            Some(b'[') => {
                let mut elements = Elements::of(raw).ok_or(Lost)?;
                loop {
                    match elements.step() {
                        Item::Element(range) => {
                            let place = at + range.start;
                            let element = raw.get(range).ok_or(Lost)?;
                            self.value(element, place, active, depth + 1, hit)?;
                        }
                        Item::End => return Ok(()),
                        Item::Fault => return Err(Lost),
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn next(&self, active: &[usize], key: &str) -> Vec<usize> {
        let mut next = Vec::new();
        for node in active.iter().filter_map(|node| self.nodes.get(*node)) {
            if let Ok(found) = node.keys.binary_search_by(|(own, _)| (**own).cmp(key)) {
                next.push(node.keys[found].1);
            }
            next.extend(node.any);
        }
        next
    }
}
