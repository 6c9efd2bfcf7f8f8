//! From a rules file's tree to rules. Only the shape is looked at here; whether
//! the rules make sense is `check`'s.

use super::Rules;
use super::model::{FieldSelector, Operator, Rule};
use super::node::{Key, Node, Value};
use super::problem::Problem;
use crate::stage::redact::{RedactSettings, With};

/// What was read, and what is wrong with its shape.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) rules: Rules,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

type Members<'n> = &'n [(Key, Node)];

pub(super) fn read(root: &Node) -> Shape {
    let mut shape = Shape::default();
    let known = [
        "include",
        "exclude",
        "redact",
        "AdvancedEventSelectors",
        // What `aws cloudtrail get-event-selectors` prints beside them.
        "TrailARN",
    ];
    let Some(members) = shape.map(root, "file", &known) else {
        return shape;
    };
    let get = |name: &str| {
        let found = members.iter().find(|(key, _)| key.text == name);
        found.map(|(_, node)| node)
    };
    let aws = get("AdvancedEventSelectors");
    if let (Some(aws), Some(_)) = (aws, get("include")) {
        let message = "AdvancedEventSelectors is another way to write include; give one of them";
        shape.problem(aws.line, "file", message);
    }
    if let Some(node) = get("include") {
        shape.rules.include = shape.list(node, "include", false);
    } else if let Some(node) = aws {
        shape.rules.include = shape.list(node, "include", true);
    }
    if let Some(node) = get("exclude") {
        shape.rules.exclude = shape.list(node, "exclude", false).unwrap_or_default();
    }
    if let Some(node) = get("redact") {
        shape.redact(node);
    }
    if let (None, None, None, None) = (get("include"), get("exclude"), get("redact"), aws) {
        let message = "neither include, exclude, redact nor AdvancedEventSelectors is in it";
        shape.problem(root.line, "file", message);
    }
    shape
}

impl Shape {
    fn problem(&mut self, line: Option<u32>, place: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(line, place, message));
    }

    /// The members of an object, whose keys must be known and come once.
    fn map<'n>(&mut self, node: &'n Node, place: &str, known: &[&str]) -> Option<Members<'n>> {
        let Value::Map(members) = &node.value else {
            let kind = node.value.kind();
            self.problem(node.line, place, format!("an object is wanted, not {kind}"));
            return None;
        };
        for (n, (key, _)) in members.iter().enumerate() {
            let text = &key.text;
            if !known.contains(&text.as_str()) {
                let known = known.join(", ");
                let message = format!("unknown key `{text}`; known are {known}");
                self.problem(key.line, place, message);
            } else if members
                .iter()
                .take(n)
                .any(|(before, _)| before.text == *text)
            {
                self.problem(key.line, place, format!("`{text}` comes twice"));
            }
        }
        Some(members)
    }

    fn text(&mut self, node: &Node, place: &str, what: &str) -> Option<String> {
        if let Value::Text(text) = &node.value {
            return Some(text.clone());
        }
        let kind = node.value.kind();
        let message = format!("{what} is a text, not {kind}; put it in quotes");
        self.problem(node.line, place, message);
        None
    }

    /// Texts; the list is incomplete where an element is none.
    fn texts(&mut self, node: &Node, place: &str, what: &str) -> Option<Vec<String>> {
        let Value::List(list) = &node.value else {
            let kind = node.value.kind();
            let message = format!("{what} is a list of texts, not {kind}");
            self.problem(node.line, place, message);
            return None;
        };
        let one = format!("a value of {what}");
        let texts: Vec<_> = list
            .iter()
            .filter_map(|value| self.text(value, place, &one))
            .collect();
        // An element that is no text was told; that the rest is empty need not be.
        (!texts.is_empty() || list.is_empty()).then_some(texts)
    }

    fn list(&mut self, node: &Node, name: &str, aws: bool) -> Option<Vec<Rule>> {
        let Value::List(list) = &node.value else {
            let kind = node.value.kind();
            self.problem(
                node.line,
                name,
                format!("a list of rules is wanted, not {kind}"),
            );
            return None;
        };
        if list.is_empty() && name == "include" {
            let message = "an empty list would drop every record; leave it out to let all pass";
            self.problem(node.line, name, message);
        }
        let rules = list.iter().enumerate();
        Some(
            rules
                .filter_map(|(n, node)| self.rule(node, name, &format!("{name}-{}", n + 1), aws))
                .collect(),
        )
    }

    fn rule(&mut self, node: &Node, list: &str, default: &str, aws: bool) -> Option<Rule> {
        let members = self.map(node, default, &["Name", "FieldSelectors"])?;
        let get = |name: &str| {
            let found = members.iter().find(|(key, _)| key.text == name);
            found.map(|(_, node)| node)
        };
        let name = match get("Name") {
            None => default.to_owned(),
            // The console writes an empty name, and longer ones than are taken here;
            // by an `include` rule's name nothing is counted.
            Some(node) if aws => match &node.value {
                Value::Text(text) if super::check::is_name(text) => text.clone(),
                Value::Text(_) => {
                    let message = format!("its Name is empty or too long; it is called {default}");
                    self.warnings
                        .push(Problem::new(node.line, default, message));
                    default.to_owned()
                }
                _ => self.text(node, default, "Name")?,
            },
            Some(node) => self.text(node, default, "Name")?,
        };
        let place = format!("{list} rule {name}");
        let Some(nodes) = get("FieldSelectors") else {
            let message = "it has no FieldSelectors";
            self.problem(node.line, &place, message);
            return None;
        };
        let Value::List(selectors) = &nodes.value else {
            let kind = nodes.value.kind();
            let message = format!("FieldSelectors is a list, not {kind}");
            self.problem(nodes.line, &place, message);
            return None;
        };
        let before = self.problems.len();
        let selectors: Vec<_> = selectors
            .iter()
            .filter_map(|n| self.selector(n, &place))
            .collect();
        // Half a rule would match other records than the one that was meant.
        (self.problems.len() == before).then_some(Rule {
            name,
            selectors,
            line: node.line,
        })
    }

    fn selector(&mut self, node: &Node, place: &str) -> Option<FieldSelector> {
        let operators = Operator::ALL.map(Operator::as_str);
        let mut known = vec!["Field"];
        known.extend(operators);
        let members = self.map(node, place, &known)?;
        let mut field = None;
        let mut tests = Vec::new();
        for (key, value) in members {
            if key.text == "Field" {
                field = self.text(value, place, "Field");
            } else if let Some(operator) =
                Operator::ALL.into_iter().find(|o| o.as_str() == key.text)
                && let Some(values) = self.texts(value, place, operator.as_str())
            {
                tests.push((operator, values));
            }
        }
        if field.is_none() && !members.iter().any(|(key, _)| key.text == "Field") {
            self.problem(node.line, place, "a selector without Field");
        }
        Some(FieldSelector {
            field: field?,
            tests,
            line: node.line,
        })
    }

    fn redact(&mut self, node: &Node) {
        let known = ["paths", "known-secrets", "with", "mark", "hmac-key-file"];
        let Some(members) = self.map(node, "redact", &known) else {
            return;
        };
        let mut settings = RedactSettings {
            line: node.line,
            ..RedactSettings::default()
        };
        for (key, value) in members {
            match key.text.as_str() {
                "paths" => {
                    settings.paths = self.texts(value, "redact", "paths").unwrap_or_default();
                }
                "known-secrets" => match value.value {
                    Value::Bool(known) => settings.known_secrets = known,
                    _ => self.problem(value.line, "redact", "known-secrets is true or false"),
                },
                "with" => match self.text(value, "redact", "with").as_deref() {
                    Some("mark") => settings.with = Some(With::Mark),
                    Some("hmac") => settings.with = Some(With::Hmac),
                    Some(_) => self.problem(value.line, "redact", "with is mark or hmac"),
                    None => {}
                },
                "mark" => settings.mark = self.text(value, "redact", "mark"),
                "hmac-key-file" => {
                    settings.hmac_key_file = self.text(value, "redact", "hmac-key-file");
                }
                _ => {}
            }
        }
        self.rules.redact = Some(settings);
    }
}
