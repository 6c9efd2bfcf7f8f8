//! The query of a search: `field:value`, `and`, `or`, `not`, parentheses, `*`.
//!
//! A query is turned into reverse Polish order with a stack of its own, and run
//! the same way: nothing recurses, so no nesting of parentheses is too deep.

/// The fields that are documented to be searchable of CloudTrail.
const FIELDS: [&str; 13] = [
    "eventID",
    "eventName",
    "eventSource",
    "requestParameters",
    "resources",
    "responseElements",
    "sourceIPAddress",
    "userAgent",
    "userIdentity",
    "vpcEndpointId",
    "uuid",
    "productCode",
    "tags",
];

/// The longest query that is documented to be taken, in characters.
pub(super) const LONGEST: usize = 2048;

/// A parsed query.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query(Vec<Step>);

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Everything,
    Term {
        field: &'static str,
        pattern: Pattern,
    },
    Not,
    And,
    Or,
}

/// Pieces of lower-case text that follow each other, anything between them.
#[derive(Debug, PartialEq, Eq)]
struct Pattern(Vec<String>);

impl Pattern {
    fn new(value: &str) -> Self {
        Self(
            value
                .to_lowercase()
                .split('*')
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let mut rest = text.as_str();
        self.0
            .iter()
            .all(|piece| match rest.split_once(piece.as_str()) {
                Some((_, behind)) => {
                    rest = behind;
                    true
                }
                None => false,
            })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Open,
    Or,
    And,
    Not,
}

impl Query {
    /// Parses `text`, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > LONGEST {
            return Err(format!("the query is longer than {LONGEST} characters"));
        }
        let mut steps = Vec::new();
        let mut operators: Vec<Operator> = Vec::new();
        // Whether a term may come next; else an operator must.
        let mut wants_term = true;
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            match first {
                '(' if wants_term => {
                    operators.push(Operator::Open);
                    rest = &rest[1..];
                }
                ')' if !wants_term => {
                    loop {
                        match operators.pop() {
                            None => return Err("a ) has no (".to_owned()),
                            Some(Operator::Open) => break,
                            Some(operator) => steps.push(operator.step()),
                        }
                    }
                    rest = &rest[1..];
                }
                '(' | ')' => return Err(format!("a {first} stands in the wrong place")),
                _ => {
                    let (word, behind) = split_word(rest)?;
                    rest = behind;
                    match (Operator::named(&word), wants_term) {
                        (Some(Operator::Not), true) => operators.push(Operator::Not),
                        (Some(Operator::And | Operator::Or), true) => {
                            return Err("an operator has nothing before it".to_owned());
                        }
                        (Some(operator @ (Operator::And | Operator::Or)), false) => {
                            while operators
                                .last()
                                .is_some_and(|top| top.binds() >= operator.binds())
                            {
                                steps.extend(operators.pop().map(Operator::step));
                            }
                            operators.push(operator);
                            wants_term = true;
                        }
                        (_, false) => {
                            return Err("two terms follow each other without and, or".to_owned());
                        }
                        (_, true) => {
                            steps.push(word.step()?);
                            wants_term = false;
                        }
                    }
                }
            }
            rest = rest.trim_start();
        }
        if wants_term {
            return Err("the query ends where a term should be".to_owned());
        }
        while let Some(operator) = operators.pop() {
            if operator == Operator::Open {
                return Err("a ( is never closed".to_owned());
            }
            steps.push(operator.step());
        }
        Ok(Self(steps))
    }

    /// Whether it matches an item whose fields `text_of` tells.
    pub(super) fn matches(&self, mut text_of: impl FnMut(&str) -> Option<String>) -> bool {
        let mut stack: Vec<bool> = Vec::new();
        for step in &self.0 {
            let value = match step {
                Step::Everything => true,
                Step::Term { field, pattern } => {
                    text_of(field).is_some_and(|text| pattern.matches(&text))
                }
                Step::Not => !stack.pop().unwrap_or(false),
                Step::And | Step::Or => {
                    let (right, left) =
                        (stack.pop().unwrap_or(false), stack.pop().unwrap_or(false));
                    if *step == Step::And {
                        left && right
                    } else {
                        left || right
                    }
                }
            };
            stack.push(value);
        }
        stack.pop().unwrap_or(false)
    }
}

impl Operator {
    fn named(word: &Word) -> Option<Self> {
        match word {
            Word::Bare(text) if text.eq_ignore_ascii_case("and") => Some(Self::And),
            Word::Bare(text) if text.eq_ignore_ascii_case("or") => Some(Self::Or),
            Word::Bare(text) if text.eq_ignore_ascii_case("not") => Some(Self::Not),
            _ => None,
        }
    }

    fn binds(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Or => 1,
            Self::And => 2,
            Self::Not => 3,
        }
    }

    fn step(self) -> Step {
        match self {
            Self::Or => Step::Or,
            Self::Not => Step::Not,
            Self::And | Self::Open => Step::And,
        }
    }
}

enum Word {
    Bare(String),
    Pair { field: String, value: String },
}

impl Word {
    fn step(self) -> Result<Step, String> {
        let (field, value) = match self {
            Self::Bare(text) if text == "*" => return Ok(Step::Everything),
            Self::Bare(_) => return Err("a term must be field:value".to_owned()),
            Self::Pair { field, value } => (field, value),
        };
        if value.is_empty() {
            return Err("a field has no value".to_owned());
        }
        let field = FIELDS
            .iter()
            .find(|known| **known == field)
            .ok_or_else(|| "a field is not one that can be searched".to_owned())?;
        Ok(Step::Term {
            field,
            pattern: Pattern::new(&value),
        })
    }
}

/// The word at the start of `text`, which is not blank, and what follows it.
fn split_word(text: &str) -> Result<(Word, &str), String> {
    let ends = |c: char| c.is_whitespace() || c == '(' || c == ')';
    let end = text
        .find(|c| ends(c) || c == ':' || c == '"')
        .unwrap_or(text.len());
    let (name, behind) = text.split_at(end);
    if behind.starts_with('"') {
        return Err("a quotation mark must follow field:".to_owned());
    }
    let Some(value) = behind.strip_prefix(':') else {
        return Ok((Word::Bare(name.to_owned()), behind));
    };
    let field = name.to_owned();
    let Some(quoted) = value.strip_prefix('"') else {
        let (value, behind) = value.split_at(value.find(ends).unwrap_or(value.len()));
        let value = value.to_owned();
        return Ok((Word::Pair { field, value }, behind));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((Word::Pair { field, value }, &quoted[at + 1..])),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    Err("a quotation mark is never closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(field: &str) -> Option<String> {
        match field {
            "eventName" => Some("GetObject".to_owned()),
            "eventSource" => Some("s3.amazonaws.com".to_owned()),
            "userAgent" => Some(r#"aws "cli" (2)"#.to_owned()),
            _ => None,
        }
    }

    #[test]
    fn queries_match_as_they_read() {
        for (query, want) in [
            ("*", true),
            ("eventName:GetObject", true),
            ("eventName:getobj", true),
            ("eventName:Get*ct", true),
            ("eventName:ct*Get", false),
            ("eventName:*", true),
            ("eventID:*", false),
            ("not eventID:*", true),
            ("not not eventName:Get", true),
            ("eventName:Put or eventSource:s3", true),
            ("eventName:Put and eventSource:s3", false),
            // `and` binds closer than `or`, `not` closer than both.
            ("eventName:Get or eventName:Put and eventName:Put", true),
            ("(eventName:Get or eventName:Put) and eventName:Put", false),
            ("not eventName:Put AND eventSource:s3", true),
            ("not (eventName:Put or eventSource:s3)", false),
            (r#"userAgent:"\"cli\" (2)" "#, true),
            ("((eventName:Get))", true),
        ] {
            assert_eq!(
                Query::parse(query).map(|q| q.matches(item)),
                Ok(want),
                "{query}"
            );
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for query in [
            "",
            " ",
            "and",
            "eventName:",
            "eventName:a eventName:b",
            "eventName:a and",
            "(eventName:a",
            "eventName:a)",
            "()",
            "not",
            "word",
            "\"a\"",
            "eventName:\"a",
            "nosuchfield:a",
            "a:b:c",
            "eventName:a (eventName:b)",
            "eventname:a",
        ] {
            assert!(Query::parse(query).is_err(), "{query:?}");
        }
        assert!(Query::parse(&format!("eventName:{}", "a".repeat(LONGEST))).is_err());
        let deep = format!("{}eventName:Get{}", "(".repeat(1000), ")".repeat(1000));
        assert_eq!(Query::parse(&deep).map(|q| q.matches(item)), Ok(true));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            if let Ok(query) = Query::parse(&text) {
                query.matches(item);
            }
        }

        #[test]
        fn no_sequence_of_words_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "and", "or", "not", "*", "eventName:Get", "eventName:\"a b\"", "eventID:x", "\"", ":", "\\", "ü", " ",
        ]), 0..24)) {
            for text in [words.join(" "), words.concat()] {
                if let Ok(query) = Query::parse(&text) {
                    query.matches(item);
                }
            }
        }

        #[test]
        fn a_query_and_its_negation_disagree(words in prop::collection::vec(prop::sample::select(vec![
            "eventName:Get", "eventName:Put", "not eventID:x", "(eventSource:s3 or eventName:Put)",
        ]), 1..8), joins in prop::collection::vec(prop::sample::select(vec![" and ", " or "]), 8)) {
            let text: String = words.iter().zip(&joins).enumerate()
                .map(|(n, (word, join))| if n == 0 { (*word).to_owned() } else { format!("{join}{word}") })
                .collect();
            let yes = Query::parse(&text).unwrap().matches(item);
            let no = Query::parse(&format!("not ({text})")).unwrap().matches(item);
            prop_assert_ne!(yes, no);
        }
    }
}
