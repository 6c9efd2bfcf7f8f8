//! Compiled rules against a naive evaluation of the same rules, and what is done in doubt.

use ctforward_core::event::RecordBuf;
use ctforward_core::stage::{FieldSelector, Filter, Operator, Rule, Rules, Stage, Verdict};
use proptest::prelude::*;

use crate::rules_json::{Json, decoded, record};

const KEYS: &[&str] = &[
    "eventSource",
    "eventName",
    "readOnly",
    "resources",
    "ARN",
    "x.y",
];
const WORDS: &[&str] = &["s3", "s3.a", "Get", "GetObject", "true", "", "ü"];
const FIELDS: &[&str] = &[
    "eventSource",
    "eventSource",
    "eventName",
    "eventName",
    "readOnly",
    "resources",
    "resources.ARN",
    "resources.ARN.eventName",
    "none",
];

type Selector = (&'static str, Vec<(Operator, Vec<&'static str>)>);

fn operator() -> impl Strategy<Value = Operator> {
    prop::sample::select(vec![
        Operator::Equals,
        Operator::Equals,
        Operator::NotEquals,
        Operator::StartsWith,
        Operator::NotStartsWith,
        Operator::EndsWith,
        Operator::NotEndsWith,
    ])
}

fn selector() -> impl Strategy<Value = Selector> {
    let values = prop::collection::vec(
        prop::sample::select(&["s3", "s3.a", "Get", "t", "GetObject", "true", "1624.0", "ü"][..]),
        1..4,
    );
    let tests = prop::collection::vec((operator(), values), 1..3);
    (prop::sample::select(FIELDS), tests)
}

fn list() -> impl Strategy<Value = Vec<Vec<Selector>>> {
    prop::collection::vec(prop::collection::vec(selector(), 1..4), 1..6)
}

fn compile(include: Option<&[Vec<Selector>]>, exclude: &[Vec<Selector>]) -> Filter {
    let rule = |name: String, selectors: &[Selector]| {
        selectors
            .iter()
            .fold(Rule::new(name), |rule, (field, tests)| {
                let selector = tests
                    .iter()
                    .fold(FieldSelector::new(*field), |s, (op, values)| {
                        s.with(*op, values.iter().copied())
                    });
                rule.and(selector)
            })
    };
    let mut rules = Rules::new();
    for (n, selectors) in include.unwrap_or_default().iter().enumerate() {
        rules = rules.include(rule(format!("i{n}"), selectors));
    }
    for (n, selectors) in exclude.iter().enumerate() {
        rules = rules.exclude(rule(format!("e{n}"), selectors));
    }
    rules.compile().unwrap()
}

/// The values at a path, and whether an object is there; `None` where a key on it
/// comes twice.
fn values(json: &Json, path: &[&str]) -> Option<(Vec<String>, bool)> {
    match json {
        Json::Array(elements, _) => {
            let mut all = (Vec::new(), false);
            for element in elements {
                let (texts, object) = values(element, path)?;
                all.0.extend(texts);
                all.1 |= object;
            }
            Some(all)
        }
        Json::Object(members, _) => {
            let Some((key, path)) = path.split_first() else {
                return Some((Vec::new(), true));
            };
            let found: Vec<_> = members.iter().filter(|(k, _)| decoded(k) == *key).collect();
            match &found[..] {
                [] => Some((Vec::new(), false)),
                [(_, value)] => values(value, path),
                _ => None,
            }
        }
        Json::Scalar(raw) if !path.is_empty() || raw == "null" => Some((Vec::new(), false)),
        Json::Scalar(raw) if raw.starts_with('"') => Some((vec![decoded(raw)], false)),
        Json::Scalar(raw) => Some((vec![raw.clone()], false)),
    }
}

/// Yes, no, or in doubt.
fn holds(record: &Json, (field, tests): &Selector, exclude: bool) -> Option<bool> {
    let path: Vec<_> = field.split('.').collect();
    let (texts, object) = values(record, &path)?;
    let any = |op: Operator, all: &[&str]| {
        texts.iter().any(|text| {
            all.iter().any(|value| match op {
                Operator::Equals | Operator::NotEquals => text == value,
                Operator::StartsWith | Operator::NotStartsWith => text.starts_with(value),
                Operator::EndsWith | Operator::NotEndsWith => text.ends_with(value),
            })
        })
    };
    let mut positive = tests.iter().filter(|(op, _)| !op.is_negated()).peekable();
    let mut negated = tests.iter().filter(|(op, _)| op.is_negated());
    if texts.is_empty() && !object {
        return Some(!exclude && positive.peek().is_none());
    }
    let positive = positive.peek().is_none() || positive.any(|(op, values)| any(*op, values));
    Some(positive && negated.all(|(op, values)| !any(*op, values)))
}

fn verdict(record: &Json, include: Option<&[Vec<Selector>]>, exclude: &[Vec<Selector>]) -> Verdict {
    let may = |rule: &Vec<Selector>| rule.iter().all(|s| holds(record, s, false) != Some(false));
    if include.is_some_and(|rules| !rules.iter().any(may)) {
        return Verdict::Drop("not-included".into());
    }
    let must = |rule: &Vec<Selector>| rule.iter().all(|s| holds(record, s, true) == Some(true));
    match exclude.iter().position(must) {
        Some(n) => Verdict::Drop(format!("e{n}").into()),
        None => Verdict::Keep,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn compiled_rules_say_what_a_naive_evaluation_says(
        records in prop::collection::vec(record(KEYS, WORDS), 1..8),
        include in prop::option::of(list()),
        exclude in list(),
    ) {
        let filter = compile(include.as_deref(), &exclude);
        for record in records {
            let buf = RecordBuf::parse(record.text()).unwrap();
            let expected = verdict(&record, include.as_deref(), &exclude);
            prop_assert_eq!(filter.apply(&buf.as_record()), expected, "{}", record.text());
        }
    }
}

fn apply(rules: &str, record: &str) -> Verdict {
    let filter = Rules::from_json(rules.as_bytes())
        .unwrap()
        .compile()
        .unwrap();
    filter.apply(&RecordBuf::parse(record.to_owned()).unwrap().as_record())
}

#[test]
fn absent_fields_and_doubt() {
    let exclude = |selectors: &str| {
        format!(r#"{{"exclude":[{{"Name":"r","FieldSelectors":[{selectors}]}}]}}"#)
    };
    let include = |selectors: &str| exclude(selectors).replace("exclude", "include");
    let equals = r#"{"Field":"errorCode","Equals":["A"]}"#;
    let not = r#"{"Field":"errorCode","NotEquals":["A"]}"#;
    let dropped = Verdict::Drop("r".into());
    let out = Verdict::Drop("not-included".into());
    let keep = Verdict::Keep;
    for (record, by_equals, by_not, in_equals, in_not) in [
        (r#"{"errorCode":"A"}"#, &dropped, &keep, &keep, &out),
        (r#"{"errorCode":"B"}"#, &keep, &dropped, &out, &keep),
        (r#"{"errorCode":["B","A"]}"#, &dropped, &keep, &keep, &out),
        (r#"{"errorCode":{}}"#, &keep, &dropped, &out, &keep),
        // Absent: no condition of an exclude rule, the negated ones of an include rule.
        (r#"{}"#, &keep, &keep, &out, &keep),
        (r#"{"errorCode":null}"#, &keep, &keep, &out, &keep),
        (r#"{"errorCode":[]}"#, &keep, &keep, &out, &keep),
        // Doubt: none of an exclude rule, all of an include rule.
        (
            r#"{"errorCode":"A","errorCode":"A"}"#,
            &keep,
            &keep,
            &keep,
            &keep,
        ),
        (
            r#"{"errorCode":"A","error\u0043ode":"B"}"#,
            &keep,
            &keep,
            &keep,
            &keep,
        ),
        (r#"{"errorCode":"\ud800"}"#, &keep, &keep, &keep, &keep),
        (
            r#"{"errorCode":["A","\ud800"]}"#,
            &keep,
            &keep,
            &keep,
            &keep,
        ),
    ] {
        for (rules, expected) in [
            (exclude(equals), by_equals),
            (exclude(not), by_not),
            (include(equals), in_equals),
            (include(not), in_not),
        ] {
            assert_eq!(apply(&rules, record), *expected, "{rules} {record}");
        }
    }
}

/// The reader hands on records with a fault inside that leaves their extent clear.
#[test]
fn a_record_with_a_fault_anywhere_is_not_dropped() {
    use ctforward_core::read::{LogReader, Step};
    let rules = r#"{"exclude":[{"FieldSelectors":[{"Field":"eventName","Equals":["A"]}]}]}"#;
    let filter = Rules::from_json(rules.as_bytes())
        .unwrap()
        .compile()
        .unwrap();
    let mut faulty = 0;
    for (record, valid) in [
        (r#"{"eventName":"A"}"#, true),
        (r#"{"eventName":"A","x":{"y":[1]}}"#, true),
        (r#"{"eventName":"A","x":tru}"#, false),
        (r#"{"eventName":"A","x":{"y" 1}}"#, false),
        (r#"{"eventName":"A","x":"\x"}"#, false),
        (r#"{"eventName":"A","x":01}"#, false),
        (r#"{"eventName":"A","x":[1,]}"#, false),
    ] {
        let mut reader = LogReader::new();
        reader.push(format!("{{\"Records\":[{record}]}}").into_bytes().into());
        reader.finish();
        loop {
            match reader.next() {
                Ok(Step::Record(read)) => {
                    let verdict = filter.apply(&read);
                    assert_eq!(verdict == Verdict::Keep, !valid, "{record}");
                    faulty += u32::from(!valid);
                }
                Ok(Step::End) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
    assert!(
        faulty > 0,
        "the reader sees every fault by now; this test shows nothing"
    );
}

#[test]
fn the_first_rule_of_the_file_names_the_drop_however_it_is_found() {
    let rules = r#"{"exclude":[
        {"Name":"by-name","FieldSelectors":[{"Field":"eventName","Equals":["A"]}]},
        {"Name":"by-both","FieldSelectors":[{"Field":"eventSource","Equals":["s"]},{"Field":"eventName","Equals":["A","B"]}]},
        {"Name":"by-source","FieldSelectors":[{"Field":"eventSource","Equals":["s"]}]},
        {"Name":"by-none","FieldSelectors":[{"Field":"eventSource","StartsWith":["s"]}]}
    ]}"#;
    for (record, name) in [
        (r#"{"eventSource":"s","eventName":"A"}"#, "by-name"),
        (r#"{"eventSource":"s","eventName":"B"}"#, "by-both"),
        (r#"{"eventSource":"s","eventName":"C"}"#, "by-source"),
        (r#"{"eventSource":"st","eventName":"B"}"#, "by-none"),
    ] {
        assert_eq!(apply(rules, record), Verdict::Drop(name.into()), "{record}");
    }
}

#[test]
fn own_calls_takes_the_role_on_the_bucket_and_nothing_else() {
    let role = "arn:aws:iam::111122223333:role/ctforward";
    let filter = Rules::new()
        .exclude(Rule::own_calls(role, "logs"))
        .compile()
        .unwrap();
    let record = |source: &str, role: &str, bucket: &str| {
        format!(
            r#"{{"eventSource":"{source}","userIdentity":{{"sessionContext":{{"sessionIssuer":{{"arn":"{role}"}}}}}},"requestParameters":{{"bucketName":"{bucket}"}}}}"#
        )
    };
    for (record, dropped) in [
        (record("s3.amazonaws.com", role, "logs"), true),
        (record("s3.amazonaws.com", role, "other"), false),
        (
            record(
                "s3.amazonaws.com",
                "arn:aws:iam::111122223333:role/ctforward2",
                "logs",
            ),
            false,
        ),
        (record("sts.amazonaws.com", role, "logs"), false),
        (r#"{"eventSource":"s3.amazonaws.com"}"#.to_owned(), false),
    ] {
        let buf = RecordBuf::parse(record.clone()).unwrap();
        let verdict = filter.apply(&buf.as_record());
        assert_eq!(
            verdict == Verdict::Drop("own-calls".into()),
            dropped,
            "{record}"
        );
    }
}

#[test]
fn more_fields_than_are_remembered_in_place_and_many_values_make_no_difference() {
    let mut rules = Rules::new();
    for n in 0..100 {
        let source: Vec<_> = (0..60).map(|s| format!("s{n}-{s}")).collect();
        rules = rules.exclude(
            Rule::new(format!("r{n}"))
                .and(FieldSelector::new("eventSource").equals(source))
                .and(FieldSelector::new(format!("requestParameters.f{n}")).equals(["v"])),
        );
    }
    let filter = rules.compile().unwrap();
    for (record, name) in [
        (
            r#"{"eventSource":"s99-59","requestParameters":{"f99":"v"}}"#,
            Some("r99"),
        ),
        (
            r#"{"eventSource":"s99-60","requestParameters":{"f99":"v"}}"#,
            None,
        ),
        (
            r#"{"eventSource":["x","s98-0"],"requestParameters":{"f98":"v"}}"#,
            Some("r98"),
        ),
    ] {
        let buf = RecordBuf::parse(record).unwrap();
        let expected = name.map_or(Verdict::Keep, |name| Verdict::Drop(name.into()));
        assert_eq!(filter.apply(&buf.as_record()), expected, "{record}");
    }
}
