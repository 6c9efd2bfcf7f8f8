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
    equals: Box<[Box<str>]>,
    /// Sorted, and none begins with another: a text can then only begin with the
    /// last one that is not behind it.
    starts: Box<[Box<str>]>,
    /// The same from behind.
    ends: Box<[Box<str>]>,
    /// Each value, if they are few.
    finders: Box<[Finder<'static>]>,
}

/// Searching for more values than these costs as much as taking JSON apart.
const FEW: usize = 2;

impl Values {
    /// The values of the operators that are (or are not) negated.
    pub(super) fn of(tests: &[(Operator, Vec<String>)], negated: bool) -> Option<Self> {
        let collect = |positive: Operator, opposite: Operator| -> Vec<Box<str>> {
            let wanted = if negated { opposite } else { positive };
            let of_operator = tests.iter().filter(|(op, _)| *op == wanted);
            of_operator
                .flat_map(|(_, values)| values.iter().map(|value| value.as_str().into()))
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
        starts.dedup_by(|later, kept| later.starts_with(&**kept));
        ends.sort_unstable_by(|a, b| from_behind(a, b));
        ends.dedup_by(|later, kept| later.ends_with(&**kept));
        let all = [&equals, &starts, &ends];
        let few = all.iter().map(|values| values.len()).sum::<usize>() <= FEW;
        let finders = all.into_iter().flatten().filter(|_| few);
        Some(Self {
            finders: finders
                .map(|value| Finder::new(value.as_bytes()).into_owned())
                .collect(),
            equals: equals.into(),
            starts: starts.into(),
            ends: ends.into(),
        })
    }

    pub(super) fn holds(&self, text: &str) -> bool {
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
            [one] => text.starts_with(&**one),
            many => {
                let before = many.partition_point(|v| **v <= *text);
                before > 0 && text.starts_with(&*many[before - 1])
            }
        };
        if start {
            return true;
        }
        match &*self.ends {
            [] => false,
            [one] => text.ends_with(&**one),
            many => {
                let before = many.partition_point(|v| from_behind(v, text) != Ordering::Greater);
                before > 0 && text.ends_with(&*many[before - 1])
            }
        }
    }

    /// Whether JSON may hold a text that is in it; `false` only for certain. It is
    /// searched for the values as it is, which is quicker than taking it apart.
    pub(super) fn may_be_in(&self, json: &[u8]) -> bool {
        self.finders.is_empty()
            || memchr(b'\\', json).is_some()
            || self.finders.iter().any(|value| value.find(json).is_some())
    }

    /// The values, if equality is all that is asked.
    pub(super) fn only_equals(&self) -> Option<&[Box<str>]> {
        (self.starts.is_empty() && self.ends.is_empty()).then_some(&self.equals)
    }

    /// Whether every text is in it.
    pub(super) fn holds_all(&self) -> bool {
        let empty = |values: &[Box<str>]| values.first().is_some_and(|v| v.is_empty());
        empty(&self.starts) || empty(&self.ends)
    }

    /// Whether every text that `other` holds is in it too. Not every such case is seen.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let equals = |v: &str| self.holds(v);
        let start =
            |v: &str| self.starts.iter().any(|own| v.starts_with(&**own)) || self.holds_all();
        let end = |v: &str| self.ends.iter().any(|own| v.ends_with(&**own)) || self.holds_all();
        other.equals.iter().all(|v| equals(v))
            && other.starts.iter().all(|v| start(v))
            && other.ends.iter().all(|v| end(v))
    }
}

fn from_behind(a: &str, b: &str) -> Ordering {
    a.bytes().rev().cmp(b.bytes().rev())
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
            if let Some(values) = &values && values.holds(&text) {
                let json = serde_json::json!({ "a": [1, text], "b": "c" }).to_string();
                prop_assert!(values.may_be_in(json.as_bytes()));
            }
            prop_assert_eq!(values.is_some_and(|v| v.holds(&text)), expected);
            prop_assert!(Values::of(&tests, !negated).is_none());
        }
    }
}
