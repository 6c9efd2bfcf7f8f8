//! Rules as they are written, before they are compiled.

/// How a value of a record is compared with the values of a rule; the names are
/// CloudTrail's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The value is one of these.
    Equals,
    /// The value is none of these.
    NotEquals,
    /// The value begins with one of these.
    StartsWith,
    /// The value begins with none of these.
    NotStartsWith,
    /// The value ends with one of these.
    EndsWith,
    /// The value ends with none of these.
    NotEndsWith,
}

impl Operator {
    pub(super) const ALL: [Self; 6] = [
        Self::Equals,
        Self::NotEquals,
        Self::StartsWith,
        Self::NotStartsWith,
        Self::EndsWith,
        Self::NotEndsWith,
    ];

    /// The name in a rules file, such as `NotStartsWith`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "Equals",
            Self::NotEquals => "NotEquals",
            Self::StartsWith => "StartsWith",
            Self::NotStartsWith => "NotStartsWith",
            Self::EndsWith => "EndsWith",
            Self::NotEndsWith => "NotEndsWith",
        }
    }

    /// Whether it holds where the value is *not* among those of the rule.
    #[must_use]
    pub fn is_negated(self) -> bool {
        matches!(
            self,
            Self::NotEquals | Self::NotStartsWith | Self::NotEndsWith
        )
    }
}

/// What one field of a record must be.
///
/// The positive operators of one selector are joined by *or*, the negated ones by
/// *and*, and both groups by *and*, as CloudTrail evaluates
/// [several conditions for a field](https://docs.aws.amazon.com/awscloudtrail/latest/userguide/filtering-data-events.html#filtering-data-events-conditions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSelector {
    pub(super) field: String,
    pub(super) tests: Vec<(Operator, Vec<String>)>,
    pub(super) line: Option<u32>,
}

impl FieldSelector {
    /// Conditions on a field: a key of the record, or a path of keys with points
    /// between, such as `userIdentity.sessionContext.sessionIssuer.arn`. Arrays on
    /// the way are entered: `resources.ARN` is that of any resource.
    pub fn new(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            tests: Vec::new(),
            line: None,
        }
    }

    /// Adds a condition. Values are compared byte for byte; there are no wildcards.
    #[must_use]
    pub fn with<S: Into<String>>(
        mut self,
        operator: Operator,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.tests.push((operator, values));
        self
    }

    /// The field is one of these.
    #[must_use]
    pub fn equals<S: Into<String>>(self, values: impl IntoIterator<Item = S>) -> Self {
        self.with(Operator::Equals, values)
    }

    /// The path of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The conditions, in the order they were given.
    pub fn conditions(&self) -> impl Iterator<Item = (Operator, &[String])> {
        self.tests.iter().map(|(op, values)| (*op, &values[..]))
    }
}

/// A named rule: field selectors that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(super) name: String,
    pub(super) selectors: Vec<FieldSelector>,
    pub(super) line: Option<u32>,
}

impl Rule {
    /// A rule without selectors yet, which does not compile. The name is what
    /// dropped records are counted by: 1 to 64 printable characters, unlike all others.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            selectors: Vec::new(),
            line: None,
        }
    }

    /// Adds a selector.
    #[must_use]
    pub fn and(mut self, selector: FieldSelector) -> Self {
        self.selectors.push(selector);
        self
    }

    /// The rule `own-calls`: what the role with this ARN does with objects of this
    /// bucket, which is what reading the log files itself leaves in the log, once
    /// the bucket's data events are logged. To be used as an `exclude` rule.
    ///
    /// **It hides more than noise.** Whoever steals the role's credentials and reads
    /// or deletes log files does exactly such calls, and no record of them is
    /// forwarded any more. It is never added by itself; add it only where something
    /// else watches that role and bucket.
    #[must_use]
    pub fn own_calls(role_arn: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self::new("own-calls")
            .and(FieldSelector::new("eventSource").equals(["s3.amazonaws.com"]))
            .and(
                FieldSelector::new("userIdentity.sessionContext.sessionIssuer.arn")
                    .equals([role_arn.into()]),
            )
            .and(FieldSelector::new("requestParameters.bucketName").equals([bucket.into()]))
    }

    /// The rule's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The selectors, in the order they were given.
    #[must_use]
    pub fn selectors(&self) -> &[FieldSelector] {
        &self.selectors
    }
}
