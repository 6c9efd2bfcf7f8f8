//! Rules that say which records go on, in the form of CloudTrail's advanced event
//! selectors.

mod check;
mod field;
mod file;
mod filter;
mod index;
mod model;
mod node;
mod problem;
mod tops;
mod values;
#[cfg(feature = "yaml")]
mod yaml;

pub use filter::Filter;
pub use model::{FieldSelector, Operator, Rule};
pub use problem::{Problem, Problems};

pub(super) use check::path_fault;

use super::redact::RedactSettings;

/// Which records go on, and what is redacted of them, as a rules file says it.
///
/// A record goes on if it matches any `include` rule (or there are none), and no
/// `exclude` rule. A rule matches if all its [`FieldSelector`]s do. Their form and
/// sense are those of CloudTrail's
/// [`AdvancedFieldSelector`](https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_AdvancedFieldSelector.html),
/// with any field of a record, and with these words on what AWS leaves open:
///
/// - A text is compared by what it decodes to, a number or boolean by how it is
///   written. `null` is absent. An object is there, and no value matches it.
/// - Where a path leads through arrays, a positive condition holds if any value
///   does, a negated one if none of them is among those it names.
/// - An absent field satisfies no condition of an `exclude` rule, and the negated
///   ones of an `include` rule.
/// - In doubt a record goes on. A field is in doubt where a key on its path comes
///   twice in one object, where a text cannot be decoded, where JSON is broken, or
///   where it has more than 1,000 values; then it satisfies each condition of an
///   `include` rule and none of an `exclude` rule. A record with a fault anywhere
///   is not dropped at all.
///
/// ```
/// use ctforward_core::event::RecordBuf;
/// use ctforward_core::stage::{Rules, Stage, Verdict};
///
/// let rules = Rules::from_json(br#"{"exclude": [{
///     "Name": "kms-noise",
///     "FieldSelectors": [
///         {"Field": "eventSource", "Equals": ["kms.amazonaws.com"]},
///         {"Field": "eventName", "StartsWith": ["Decrypt", "GenerateDataKey"]}
///     ]
/// }]}"#)?;
/// let filter = rules.compile()?;
/// let record = RecordBuf::parse(r#"{"eventSource":"kms.amazonaws.com","eventName":"Decrypt"}"#)?;
/// assert_eq!(filter.apply(&record.as_record()), Verdict::Drop("kms-noise".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    include: Option<Vec<Rule>>,
    exclude: Vec<Rule>,
    redact: Option<RedactSettings>,
    noted: Vec<Problem>,
}

impl Rules {
    /// No rules: every record goes on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a rules file in JSON: an object with `include`, `exclude` and `redact`,
    /// each optional, or CloudTrail's own `{"AdvancedEventSelectors": […]}`, which is
    /// taken as `include`. Rules without a name are called by their place, such as
    /// `exclude-1`.
    ///
    /// # Errors
    /// All that is wrong, at once: the file is larger than 1 MiB or no JSON; unknown
    /// keys and operators; values that are no texts; empty lists; rules without
    /// selectors; names that are empty, too long or not unique; more than 1,000 rules
    /// or 10,000 values.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Problems> {
        Self::from_node(&node::json(bytes)?)
    }

    /// Reads a rules file in YAML, in the same form. Anchors, aliases, merge keys,
    /// tags and further documents are refused.
    ///
    /// # Errors
    /// As of [`from_json`](Self::from_json).
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self, Problems> {
        Self::from_node(&yaml::yaml(text)?)
    }

    fn from_node(root: &node::Node) -> Result<Self, Problems> {
        let mut shape = file::read(root);
        if !shape.rules.include.as_ref().is_some_and(Vec::is_empty) || shape.problems.is_empty() {
            shape.problems.extend(check::problems(&shape.rules));
        } else {
            // The list is empty for what was told of it, or was told to be empty.
            let rest = Self {
                include: None,
                ..shape.rules.clone()
            };
            shape.problems.extend(check::problems(&rest));
        }
        Problems::of(shape.problems)?;
        shape.rules.noted = shape.warnings;
        Ok(shape.rules)
    }

    /// Adds a rule that lets records pass: with at least one, a record that matches
    /// none of them is dropped as `not-included`.
    #[must_use]
    pub fn include(mut self, rule: Rule) -> Self {
        self.include.get_or_insert_default().push(rule);
        self
    }

    /// Adds a rule that drops the records it matches.
    #[must_use]
    pub fn exclude(mut self, rule: Rule) -> Self {
        self.exclude.push(rule);
        self
    }

    /// The `include` rules; `None` where there is no such list.
    #[must_use]
    pub fn includes(&self) -> Option<&[Rule]> {
        self.include.as_deref()
    }

    /// The `exclude` rules.
    #[must_use]
    pub fn excludes(&self) -> &[Rule] {
        &self.exclude
    }

    /// What the file says of redaction.
    #[must_use]
    pub fn redact(&self) -> Option<&RedactSettings> {
        self.redact.as_ref()
    }

    /// What is allowed and looks like a mistake: an `exclude` rule that drops every
    /// record, a condition that nothing satisfies, a field that no record is known to
    /// have, a `*` in a value.
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        let mut all = self.noted.clone();
        all.extend(check::warnings(self));
        all.sort_by_key(Problem::line);
        all
    }

    /// The stage that drops what these rules say.
    ///
    /// # Errors
    /// All that is wrong with rules that were put together by the program.
    pub fn compile(&self) -> Result<Filter, Problems> {
        Problems::of(check::problems(self))?;
        Ok(Filter::new(self.include.as_deref(), &self.exclude))
    }
}
