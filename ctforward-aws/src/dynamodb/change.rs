//! An update of a row with its condition, as DynamoDB's expressions write it.
//!
//! Many names of attributes are reserved words, so that every name has a placeholder.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use super::row::Values;

/// Attributes to set or remove, and what must hold of the row for that.
#[derive(Debug, Default)]
pub(super) struct Change {
    set: Vec<String>,
    remove: Vec<String>,
    when: Vec<String>,
    names: BTreeSet<&'static str>,
    values: HashMap<String, AttributeValue>,
}

impl Change {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.set.push(format!("#{name} = :{name}"));
        self.values.insert(format!(":{name}"), value);
        self.names.insert(name);
        self
    }

    pub(super) fn remove(mut self, name: &'static str) -> Self {
        self.remove.push(format!("#{name}"));
        self.names.insert(name);
        self
    }

    pub(super) fn all(self, values: Values) -> Self {
        values
            .into_iter()
            .fold(self, |to, (name, value)| match value {
                Some(value) => to.set(name, value),
                None => to.remove(name),
            })
    }

    /// Only where the attribute has this value now.
    pub(super) fn when(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.when.push(format!("#{name} = :was_{name}"));
        self.values.insert(format!(":was_{name}"), value);
        self.names.insert(name);
        self
    }

    /// Only where the attribute is there now, or is not.
    pub(super) fn when_there(mut self, name: &'static str, there: bool) -> Self {
        let test = if there { "exists" } else { "not_exists" };
        self.when.push(format!("attribute_{test}(#{name})"));
        self.names.insert(name);
        self
    }

    pub(super) fn update(&self) -> String {
        let clause = |verb: &str, of: &[String]| match of {
            [] => String::new(),
            of => format!("{verb} {} ", of.join(", ")),
        };
        let both = clause("SET", &self.set) + &clause("REMOVE", &self.remove);
        both.trim_end().to_owned()
    }

    pub(super) fn condition(&self) -> String {
        self.when.join(" AND ")
    }

    pub(super) fn names(&self) -> HashMap<String, String> {
        let named = |name: &&str| (format!("#{name}"), (*name).to_owned());
        self.names.iter().map(named).collect()
    }

    pub(super) fn values(self) -> HashMap<String, AttributeValue> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{n, s};
    use super::*;

    #[test]
    fn a_change_reads_as_dynamodb_reads_it() {
        let change = Change::new()
            .set("state", s("x"))
            .all(vec![("etag", None), ("size", Some(n(1)))])
            .when("fence", n(7))
            .when_there("lease", true)
            .when_there("ttl", false);
        assert_eq!(
            change.update(),
            "SET #state = :state, #size = :size REMOVE #etag"
        );
        assert_eq!(
            change.condition(),
            "#fence = :was_fence AND attribute_exists(#lease) AND attribute_not_exists(#ttl)"
        );
        assert_eq!(change.names().len(), 6);
        assert_eq!(change.names()["#fence"], "fence");
        assert_eq!(change.values().len(), 3);
        assert_eq!(Change::new().remove("a").update(), "REMOVE #a");
    }
}
