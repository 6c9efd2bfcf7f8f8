//! Sets of values that a text is compared with, in a few steps however many they are.

use std::cmp::Ordering;

use memchr::memchr;
use memchr::memmem::Finder;

use super::model::Operator;

/// The values of one group of operators: a text is in it if it equals one, begins
/// with one or ends with one.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    /// Sorted.
    equals: Box<[Box<[u8]>]>,
    /// Sorted, and none begins with another: a text can then only begin with the
    /// last one that is not behind it.
    starts: Box<[Box<[u8]>]>,
    /// The same from behind.
    ends: Box<[Box<[u8]>]>,
    /// The bytes that a text in it can begin with; most texts are told by their first.
    firsts: Firsts,
    /// Each value, if they are few.
    finders: Box<[Finder<'static>]>,
}

/// Searching for more values than these costs as much as taking JSON apart.
const FEW: usize = 2;

impl Values {
    /// The values of the operators that are (or are not) negated.
    pub(super) fn of(tests: &[(Operator, Vec<String>)], negated: bool) -> Option<Self> {
        let collect = |positive: Operator, opposite: Operator| -> Vec<Box<[u8]>> {
            let wanted = if negated { opposite } else { positive };
            let of_operator = tests.iter().filter(|(op, _)| *op == wanted);
            of_operator
                .flat_map(|(_, values)| values.iter().map(|value| value.as_bytes().into()))
                .collect()
        };
        let mut equals = collect(Operator::Equals, Operator::NotEquals);
        let mut starts = collect(Operator::StartsWith, Operator::NotStartsWith);
        let mut ends = collect(Operator::EndsWith, Operator::NotEndsWith);
        if equals.is_empty() && starts.is_empty() && ends.is_empty() {
            return None;
        }
        equals.sort_unstable();
        equals.dedup();
        starts.sort_unstable();
        starts.dedup_by(|later, kept| later.starts_with(kept));
        ends.sort_unstable_by(|a, b| from_behind(a, b));
        ends.dedup_by(|later, kept| later.ends_with(kept));
        let all = [&equals, &starts, &ends];
        let few = all.iter().map(|values| values.len()).sum::<usize>() <= FEW;
        let finders = all.into_iter().flatten().filter(|_| few);
        Some(Self {
            finders: finders
                .map(|value| Finder::new(&**value).into_owned())
                .collect(),
            firsts: Firsts::of(&equals, &starts, &ends),
            equals: equals.into(),
            starts: starts.into(),
            ends: ends.into(),
        })
    }

    pub(super) fn holds(&self, text: &[u8]) -> bool {
        self.firsts.may_begin(text) && self.is_there(text)
    }

    fn is_there(&self, text: &[u8]) -> bool {
        // Most rules have one value, which needs no search.
        let equal = match &*self.equals {
            [] => false,
            [one] => **one == *text,
            many => many.binary_search_by(|v| (**v).cmp(text)).is_ok(),
        };
        if equal {
            return true;
        }
        let start = match &*self.starts {
            [] => false,
            [one] => text.starts_with(one),
            many => {
                let before = many.partition_point(|v| **v <= *text);
                before > 0 && text.starts_with(&many[before - 1])
            }
        };
        if start {
            return true;
        }
        match &*self.ends {
            [] => false,
            [one] => text.ends_with(one),
            many => {
                let before = many.partition_point(|v| from_behind(v, text) != Ordering::Greater);
                before > 0 && text.ends_with(&many[before - 1])
            }
        }
    }

    /// Whether JSON may hold a text that is in it; `false` only for certain. It is
    /// searched for the values as it is, which is quicker than taking it apart.
    pub(super) fn may_be_in(&self, json: &[u8], is_plain: bool) -> bool {
        self.finders.is_empty()
            || !is_plain && memchr(b'\\', json).is_some()
            || self.finders.iter().any(|value| value.find(json).is_some())
    }

    /// The values, if equality is all that is asked.
    pub(super) fn only_equals(&self) -> Option<&[Box<[u8]>]> {
        (self.starts.is_empty() && self.ends.is_empty()).then_some(&self.equals)
    }

    /// Whether every text is in it.
    pub(super) fn holds_all(&self) -> bool {
        let empty = |values: &[Box<[u8]>]| values.first().is_some_and(|v| v.is_empty());
        empty(&self.starts) || empty(&self.ends)
    }

    /// Whether every text that `other` holds is in it too. Not every such case is seen.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let equals = |v: &[u8]| self.holds(v);
        let start = |v: &[u8]| self.starts.iter().any(|own| v.starts_with(own)) || self.holds_all();
        let end = |v: &[u8]| self.ends.iter().any(|own| v.ends_with(own)) || self.holds_all();
        other.equals.iter().all(|v| equals(v))
            && other.starts.iter().all(|v| start(v))
            && other.ends.iter().all(|v| end(v))
    }
}

fn from_behind(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// A set of first bytes.
#[derive(Clone, Debug, Default)]
struct Firsts {
    bytes: [u64; 4],
    /// Whether a text can begin with anything, or with nothing.
    any: bool,
}

impl Firsts {
    fn of(equals: &[Box<[u8]>], starts: &[Box<[u8]>], ends: &[Box<[u8]>]) -> Self {
        let mut firsts = Self {
            any: !ends.is_empty(),
            ..Self::default()
        };
        for value in equals.iter().chain(starts) {
            match value.first() {
                None => firsts.any = true,
                Some(first) => {
                    if let Some(word) = firsts.bytes.get_mut(usize::from(first / 64)) {
                        *word |= 1 << (first % 64);
                    }
                }
            }
        }
        firsts
    }

    fn may_begin(&self, text: &[u8]) -> bool {
        let known = |first: &u8| {
            let word = self.bytes.get(usize::from(first / 64)).copied();
            word.unwrap_or(0) >> (first % 64) & 1 == 1
        };
        self.any || text.first().is_some_and(known)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[abü]{0,4}", 0..8)
    }

    proptest! {
        #[test]
        fn a_set_holds_what_one_of_its_values_holds(
            equals in texts(), starts in texts(), ends in texts(), text in "[abü]{0,6}",
            negated in any::<bool>(),
        ) {
            let ops = if negated {
                [Operator::NotEquals, Operator::NotStartsWith, Operator::NotEndsWith]
            } else {
                [Operator::Equals, Operator::StartsWith, Operator::EndsWith]
            };
            let tests = vec![
                (ops[0], equals.clone()),
                (ops[1], starts.clone()),
                (ops[2], ends.clone()),
            ];
            let expected = equals.contains(&text)
                || starts.iter().any(|v| text.starts_with(v.as_str()))
                || ends.iter().any(|v| text.ends_with(v.as_str()));
            let values = Values::of(&tests, negated);
            if let Some(values) = &values && values.holds(text.as_bytes()) {
                let json = serde_json::json!({ "a": [1, text], "b": "c" }).to_string();
                prop_assert!(values.may_be_in(json.as_bytes(), !json.contains('\\')));
            }
            prop_assert_eq!(values.is_some_and(|v| v.holds(text.as_bytes())), expected);
            prop_assert!(Values::of(&tests, !negated).is_none());
        }
    }
}
