//! Rules files: all that is wrong is said at once, with its place, and nothing
//! makes reading them long or deep.

#[cfg(feature = "yaml")]
use ctforward_core::stage::{Operator, With};
use ctforward_core::stage::{Problems, Rules};

fn said(problems: &Problems) -> Vec<(Option<u32>, String)> {
    problems
        .iter()
        .map(|p| (p.line(), format!("{}: {}", p.place(), p.message())))
        .collect()
}

/// Each line of `expected` is a line number and a part of what is said.
fn assert_said(problems: &Problems, expected: &[(u32, &str)]) {
    let said = said(problems);
    assert_eq!(said.len(), expected.len(), "{problems}");
    for ((line, text), (number, part)) in said.iter().zip(expected) {
        assert_eq!(*line, Some(*number), "{text}");
        assert!(text.contains(part), "{part}: {text}");
    }
}

const WRONG: &str = r#"{
  "include": [],
  "exclude": [
    {"Name": "a", "FieldSelectors": [
      {"Field": "eventName", "Equal": ["A"]}]},
    {"Name": "b", "FieldSelectors": []},
    {"Name": "b", "FieldSelectors": [
      {"Field": "eventName", "Equals": []},
      {"Field": "a..b", "Equals": ["x"]},
      {"Field": "eventName"}]},
    {"Name": "c"},
    {"Name": "", "FieldSelectors": [{"Field": "readOnly", "Equals": [true]}]},
    {"Name": "\u001b[2J", "FieldSelectors": [{"Field": "readOnly", "Equals": ["true"]}]},
    {"Name": "not-included", "FieldSelectors": [{"Field": "*", "Equals": ["true"]}]},
    7
  ],
  "redact": {"paths": ["a."], "with": "rot13"},
  "Records": []
}"#;

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_line() {
    let problems = Rules::from_json(WRONG.as_bytes()).unwrap_err();
    assert_said(
        &problems,
        &[
            (2, "would drop every record"),
            (5, "unknown key `Equal`; known are Field, Equals"),
            (6, "exclude rule b: it has no FieldSelectors"),
            (7, "another rule has the same name"),
            (8, "Equals has no values"),
            (9, "a key in it is empty"),
            (10, "has no operator"),
            (11, "c: it has no FieldSelectors"),
            (12, "is a text, not a boolean"),
            (13, "1 to 64 printable characters"),
            (14, "used by ctforward itself"),
            (14, "no wildcards"),
            (15, "an object is wanted, not a number"),
            (17, "with is mark or hmac"),
            (17, "path `a.`"),
            (18, "unknown key `Records`"),
        ],
    );
    assert!(!problems.to_string().contains('\u{1b}'));
    // Whoever has the one error of the crate sees all of it too.
    let error = ctforward_core::Error::from(problems);
    assert!(error.to_string().contains("rot13") || error.to_string().contains("mark or hmac"));
}

#[cfg(feature = "yaml")]
#[test]
fn yaml_is_read_like_json_and_says_the_same_lines() {
    // JSON is YAML, so far.
    let json = Rules::from_json(WRONG.as_bytes()).unwrap_err();
    let yaml = Rules::from_yaml(WRONG).unwrap_err();
    assert_eq!(said(&json), said(&yaml));
    let rules = Rules::from_yaml(
        "include:\n  - Name: writes\n    FieldSelectors:\n      - { Field: readOnly, Equals: [\"false\"] }\n\
         exclude:\n  - FieldSelectors:\n      - Field: eventName\n        StartsWith: [Decrypt, 'GenerateDataKey']\n\
         redact: { paths: [requestParameters.x], known-secrets: true, hmac-key-file: /k }\n",
    )
    .unwrap();
    assert_eq!(rules.includes().unwrap()[0].name(), "writes");
    assert_eq!(rules.excludes()[0].name(), "exclude-1");
    let conditions: Vec<_> = rules.excludes()[0].selectors()[0].conditions().collect();
    let values = ["Decrypt".to_owned(), "GenerateDataKey".to_owned()];
    assert_eq!(conditions, [(Operator::StartsWith, &values[..])]);
    let redact = rules.redact().unwrap();
    assert_eq!(
        (redact.with(), redact.hmac_key_file()),
        (With::Hmac, Some("/k"))
    );
    assert!(redact.known_secrets());
    assert!(redact.build(None).is_err(), "hashes need a key");
    // Unquoted, it is no text; an account number would lose its leading zero.
    let bad = "exclude:\n- FieldSelectors:\n  - Field: recipientAccountId\n    Equals:\n    - 012345678901\n";
    assert_said(
        &Rules::from_yaml(bad).unwrap_err(),
        &[(5, "put it in quotes")],
    );
}

#[cfg(feature = "yaml")]
#[test]
fn yaml_that_grows_when_read_is_refused() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for n in 1..30 {
        let aliases = vec![format!("*a{}", n - 1); 9].join(",");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    bomb.push_str("exclude: *a29\n");
    let rule = "exclude: [{FieldSelectors: [{Field: eventName, Equals: [A]}]}]\n";
    assert!(Rules::from_yaml(rule).is_ok());
    for (what, yaml) in [
        ("aliases", bomb),
        (
            "one alias",
            format!("x: &x A\n{}", rule.replace("[A]", "[*x]")),
        ),
        ("a merge key", "<<: {exclude: []}\n".to_owned()),
        ("flow depth", "[".repeat(500_000)),
        (
            "block depth",
            (0..700).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
        ),
        ("documents", format!("{rule}---\n{rule}")),
        ("a tag", rule.replace("eventName", "!x eventName")),
        ("size", " ".repeat((1 << 20) + 1)),
        ("a key that comes twice", format!("{rule}{rule}")),
        ("nodes", format!("exclude: [{}]", "a,".repeat(400_000))),
        ("nothing", String::new()),
    ] {
        let problems = Rules::from_yaml(&yaml).unwrap_err();
        assert!(problems.to_string().len() < 1000, "{what}: {problems}");
    }
}

#[test]
fn the_form_of_aws_is_taken_as_include() {
    let rules = Rules::from_json(
        br#"{"TrailARN":"arn:aws:cloudtrail:us-east-1:111122223333:trail/t","AdvancedEventSelectors":[
            {"Name":"","FieldSelectors":[{"Field":"eventCategory","Equals":["Management"]}]},
            {"FieldSelectors":[{"Field":"resources.type","Equals":["AWS::S3::Object"]}]},
            {"Name":"third","FieldSelectors":[{"Field":"eventCategory","Equals":["Data"]}]}]}"#,
    )
    .unwrap();
    let names: Vec<_> = rules.includes().unwrap().iter().map(|r| r.name()).collect();
    assert_eq!(names, ["include-1", "include-2", "third"]);
    assert_eq!(rules.warnings().len(), 1);
    let both = br#"{"AdvancedEventSelectors":[],"include":[]}"#;
    assert!(Rules::from_json(both).is_err());
}

#[test]
fn what_looks_like_a_mistake_is_a_warning() {
    let rules = Rules::from_json(
        br#"{"exclude":[
{"Name":"all","FieldSelectors":[{"Field":"eventName","StartsWith":[""]}]},
{"Name":"but","FieldSelectors":[{"Field":"eventSource","NotEquals":["x"]}]},
{"Name":"none","FieldSelectors":[{"Field":"eventName","Equals":["Ab"],"NotStartsWith":["A"]}]},
{"Name":"typo","FieldSelectors":[{"Field":"EventName","Equals":["A"]}]},
{"Name":"star","FieldSelectors":[{"Field":"resources.ARN","Equals":["arn:*"]}]},
{"Name":"fine","FieldSelectors":[{"Field":"eventName","Equals":["A"]},{"Field":"errorCode","NotEquals":["B"]}]}
]}"#,
    )
    .unwrap();
    let warnings: Vec<_> = rules.warnings().iter().map(ToString::to_string).collect();
    let expected = [
        "line 2: exclude rule all: it drops every record",
        "line 3: exclude rule but: it names no value that a record must have",
        "line 4: exclude rule none: Field `eventName`: nothing satisfies it",
        "line 5: exclude rule typo: no record is known to have a field `EventName`",
        "line 6: exclude rule star: Field `resources.ARN`: `arn:*` holds a *",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, part) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(part), "{warning}");
    }
}

#[test]
fn numbers_of_rules_and_values_are_bounded() {
    let file = |rules: usize, values: usize| {
        let values = vec!["\"v\""; values].join(",");
        let rule = format!(r#"{{"FieldSelectors":[{{"Field":"eventName","Equals":[{values}]}}]}}"#);
        format!("{{\"exclude\":[{}]}}", vec![rule; rules].join(","))
    };
    assert!(Rules::from_json(file(1000, 1).as_bytes()).is_ok());
    assert!(Rules::from_json(file(1001, 1).as_bytes()).is_err());
    assert!(Rules::from_json(file(1, 10_000).as_bytes()).is_ok());
    assert!(Rules::from_json(file(1, 10_001).as_bytes()).is_err());
    // However many things are wrong, a page of them is said.
    let wrong = file(1000, 1).replace("Equals", "Equal");
    let problems = Rules::from_json(wrong.as_bytes()).unwrap_err();
    assert_eq!(problems.iter().count(), 101);
    assert!(problems.to_string().ends_with("and 900 more"));
}
