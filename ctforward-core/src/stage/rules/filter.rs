//! Rules compiled into a stage.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::field::{FieldPath, Plain, Seen};
use super::index::{Index, Key};
use super::model::Rule;
use super::tops::{Found, Top, Tops};
use super::values::Values;
use crate::event::Record;
use crate::stage::{Stage, Verdict};

/// The rule that drops what no `include` rule takes.
pub(super) const NOT_INCLUDED: &str = "not-included";

/// So often a record's objects are searched before they are taken apart.
const SEARCHES: u8 = 4;

/// Compiled rules: drops the records that no `include` rule takes, by the name
/// `not-included`, and those that an `exclude` rule matches, by its name; the
/// first one that matches, in the order of the file.
///
/// Made by [`Rules::compile`](super::Rules::compile), which states when a record is
/// kept for being in doubt. Each field is looked up at most once for a record, and
/// only if a rule still asks for it; rules that name sources or event names by
/// `Equals` are found by a look-up, not one after the other.
#[derive(Clone)]
pub struct Filter {
    fields: Vec<FieldPath>,
    tops: Tops,
    include: Option<List>,
    exclude: List,
    not_included: Arc<str>,
}

impl Filter {
    /// Compiles rules that were checked.
    pub(super) fn new(include: Option<&[Rule]>, exclude: &[Rule]) -> Self {
        let mut fields = Fields::default();
        let include = include.map(|rules| List::new(rules, Doubt::Holds, &mut fields));
        let exclude = List::new(exclude, Doubt::Fails, &mut fields);
        fields.tops.settle();
        Self {
            fields: fields.paths,
            tops: fields.tops,
            include,
            exclude,
            not_included: NOT_INCLUDED.into(),
        }
    }

    /// The names by which records can be dropped.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let include = self.include.as_ref().map(|_| &*self.not_included);
        let exclude = self.exclude.rules.iter().map(|rule| &*rule.name);
        include.into_iter().chain(exclude)
    }

    fn dropped_by(&self, record: &Record<'_>) -> Option<&Arc<str>> {
        let seen = Fieldwise::new(&self.fields, self.tops.find(record));
        if let Some(include) = &self.include
            && include.first(&seen).is_none()
        {
            return Some(&self.not_included);
        }
        self.exclude.first(&seen).map(|rule| &rule.name)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("include", &self.include.as_ref().map(|l| l.rules.len()))
            .field("exclude", &self.exclude.rules.len())
            .finish_non_exhaustive()
    }
}

impl Stage for Filter {
    fn apply(&self, record: &Record<'_>) -> Verdict {
        match self.dropped_by(record) {
            // Looking fields up does not read the whole record; one with a fault
            // anywhere in it may mean something else to another reader.
            Some(name) if is_whole(record.bytes()) => Verdict::Drop(Arc::clone(name)),
            _ => Verdict::Keep,
        }
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// What a condition says of a field that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It holds: the rule is one that lets records pass.
    Holds,
    /// It fails: the rule is one that drops.
    Fails,
}

#[derive(Clone, Debug)]
struct List {
    rules: Vec<Compiled>,
    index: Index,
    doubt: Doubt,
}

#[derive(Clone, Debug)]
struct Compiled {
    name: Arc<str>,
    /// Those first that hold wherever the index names the rule.
    conditions: Vec<Condition>,
    /// How many these are.
    indexed: usize,
}

#[derive(Clone, Debug)]
struct Condition {
    field: usize,
    positive: Option<Values>,
    negative: Option<Values>,
}

impl Condition {
    /// The values of which the field must have one, if equality is all that it asks of
    /// those it wants.
    fn only_equals(&self) -> Option<&[Box<[u8]>]> {
        self.positive.as_ref()?.only_equals()
    }
}

impl List {
    fn new(rules: &[Rule], doubt: Doubt, fields: &mut Fields) -> Self {
        let mut index = Index::default();
        let rules: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(n, rule)| {
                let mut conditions: Vec<_> = rule
                    .selectors
                    .iter()
                    .map(|selector| Condition {
                        field: fields.of(&selector.field),
                        positive: Values::of(&selector.tests, false),
                        negative: Values::of(&selector.tests, true),
                    })
                    .collect();
                conditions.sort_by_key(|condition| fields.rank(condition.field));
                let equals = |field: &str| {
                    let field = fields.known(field)?;
                    conditions
                        .iter()
                        .position(|c| c.field == field && c.only_equals().is_some())
                };
                let [source, event] = ["eventSource", "eventName"].map(equals);
                let sources = source.and_then(|at| conditions.get(at)?.only_equals());
                let names = event.and_then(|at| conditions.get(at)?.only_equals());
                let by_name = index.add(n, sources, names);
                // Swapped to the front, the one before first: the other stays where it is.
                let mut found = [source, event.filter(|_| by_name)];
                found.sort_unstable();
                let mut indexed = 0;
                for at in found.into_iter().flatten() {
                    let says_all = |c: &Condition| c.negative.is_none();
                    if conditions.get(at).is_some_and(says_all) {
                        conditions.swap(at, indexed);
                        indexed += 1;
                    }
                }
                if let Some(rest) = conditions.get_mut(indexed..) {
                    rest.sort_by_key(|condition| fields.rank(condition.field));
                }
                Compiled {
                    name: rule.name.as_str().into(),
                    conditions,
                    indexed,
                }
            })
            .collect();
        Self {
            rules,
            index,
            doubt,
        }
    }

    /// The first rule that holds.
    fn first(&self, seen: &Fieldwise<'_, '_>) -> Option<&Compiled> {
        let all_hold = |conditions: &[Condition]| conditions.iter().all(|c| self.holds(c, seen));
        let rest_holds = |n: &usize| {
            let rule = self.rules.get(*n);
            let rest = rule.and_then(|rule| rule.conditions.get(rule.indexed..));
            rest.is_some_and(all_hold)
        };
        let doubt = match self.doubt {
            Doubt::Fails => Key::None,
            Doubt::Holds => Key::Any,
        };
        let key = |field: Option<usize>| match field.map(|field| seen.get(field)) {
            Some(View::Text(text)) => Key::Text(text),
            Some(View::Other(Seen::One(text))) => Key::Text(text),
            None | Some(View::Absent | View::Other(Seen::Absent | Seen::Object)) => Key::None,
            Some(View::Doubt | View::Other(Seen::Doubt)) => doubt,
            Some(View::Other(Seen::Many(_))) => Key::Any,
        };
        let source = || key(seen.source());
        let name = || key(seen.name());
        let found = match self.index.candidates(source, name) {
            Some(lists) => {
                let firsts = lists
                    .into_iter()
                    .filter_map(|list| list.iter().find(|n| rest_holds(n)));
                firsts.min().copied()
            }
            None => self
                .rules
                .iter()
                .position(|rule| all_hold(&rule.conditions)),
        };
        self.rules.get(found?)
    }

    fn holds(&self, condition: &Condition, seen: &Fieldwise<'_, '_>) -> bool {
        let any = |values: &Values, seen: View<'_, '_>| match seen {
            View::Text(text) => values.holds(text),
            View::Other(Seen::One(text)) => values.holds(text),
            View::Other(Seen::Many(texts)) => texts.iter().any(|text| values.holds(text)),
            _ => false,
        };
        // What is in doubt or absent fails here too: then it is enough to know that no
        // such value is there.
        if self.doubt == Doubt::Fails
            && let Some(values) = &condition.positive
            && let Some((json, is_plain)) = seen.unread(condition.field)
            && !values.may_be_in(json, is_plain)
        {
            return false;
        }
        match seen.get(condition.field) {
            View::Doubt | View::Other(Seen::Doubt) => self.doubt == Doubt::Holds,
            View::Absent | View::Other(Seen::Absent) => {
                self.doubt == Doubt::Holds && condition.positive.is_none()
            }
            there => {
                condition.positive.as_ref().is_none_or(|v| any(v, there))
                    && !condition.negative.as_ref().is_some_and(|v| any(v, there))
            }
        }
    }
}

/// The fields that rules name, each once.
#[derive(Debug, Default)]
struct Fields {
    paths: Vec<FieldPath>,
    tops: Tops,
    by_name: BTreeMap<String, usize>,
}

impl Fields {
    fn of(&mut self, field: &str) -> usize {
        // These two have fixed places, so that they are found without a search.
        for first in [SOURCE, NAME] {
            self.by_name.entry(first.to_owned()).or_insert_with(|| {
                self.paths.push(FieldPath::new(first, &mut self.tops));
                self.paths.len() - 1
            });
        }
        *self.by_name.entry(field.to_owned()).or_insert_with(|| {
            self.paths.push(FieldPath::new(field, &mut self.tops));
            self.paths.len() - 1
        })
    }

    fn known(&self, field: &str) -> Option<usize> {
        self.by_name.get(field).copied()
    }

    /// The order in which conditions are looked at: the cheapest first.
    fn rank(&self, field: usize) -> (usize, usize) {
        (self.paths.get(field).map_or(0, FieldPath::cost), field)
    }
}

const SOURCE: &str = "eventSource";
const NAME: &str = "eventName";

/// The fields of one record, each read when first asked for.
struct Fieldwise<'f, 'a> {
    fields: &'f [FieldPath],
    tops: Found<'f, 'a>,
    searched: Cell<u8>,
    /// The one asked for last: rules that the index does not tell apart ask for the same
    /// one after the other.
    last: Cell<(usize, Plain<'a>)>,
    /// Those that had to be taken apart, which few records need.
    read: OnceCell<Box<[OnceCell<Seen<'a>>]>>,
}

/// What a record holds at one field.
#[derive(Clone, Copy)]
enum View<'s, 'a> {
    Absent,
    Doubt,
    /// The text of a top-level key, as it is written.
    Text(&'a [u8]),
    /// What had to be taken apart.
    Other(&'s Seen<'a>),
}

impl<'f, 'a> Fieldwise<'f, 'a> {
    fn new(fields: &'f [FieldPath], tops: Found<'f, 'a>) -> Self {
        Self {
            fields,
            tops,
            searched: Cell::new(0),
            last: Cell::new((usize::MAX, Plain::Not)),
            read: OnceCell::new(),
        }
    }

    /// The JSON in which a field lies that would have to be taken apart to read it,
    /// and was not yet. After a few such answers reading it once is less work.
    fn unread(&self, field: usize) -> Option<(&'a [u8], bool)> {
        let path = self.fields.get(field).filter(|path| path.cost() > 0)?;
        let read = self.read.get().and_then(|read| read.get(field)?.get());
        if self.searched.get() >= SEARCHES || read.is_some() {
            return None;
        }
        self.searched.set(self.searched.get() + 1);
        match self.tops.get(path.top()) {
            Top::Value(json, is_plain) => Some((json, is_plain)),
            _ => None,
        }
    }

    #[inline]
    fn get(&self, field: usize) -> View<'_, 'a> {
        let (last, known) = self.last.get();
        let plain = match last == field {
            true => known,
            false => self.look(field),
        };
        match plain {
            Plain::Absent => View::Absent,
            Plain::Doubt => View::Doubt,
            Plain::Text(text) => View::Text(text),
            Plain::Not => self.take_apart(field),
        }
    }

    fn look(&self, field: usize) -> Plain<'a> {
        let path = self.fields.get(field);
        let plain = path.map_or(Plain::Doubt, |path| {
            path.read_plain(self.tops.get(path.top()))
        });
        self.last.set((field, plain));
        plain
    }

    fn take_apart(&self, field: usize) -> View<'_, 'a> {
        match (self.cells().get(field), self.fields.get(field)) {
            (Some(cell), Some(path)) => {
                let read = || path.read(self.tops.get(path.top()));
                View::Other(cell.get_or_init(read))
            }
            _ => View::Doubt,
        }
    }

    fn cells(&self) -> &[OnceCell<Seen<'a>>] {
        let cells = || self.fields.iter().map(|_| OnceCell::new()).collect();
        self.read.get_or_init(cells)
    }

    fn source(&self) -> Option<usize> {
        (!self.fields.is_empty()).then_some(0)
    }

    fn name(&self) -> Option<usize> {
        (self.fields.len() > 1).then_some(1)
    }
}
