//! Resource policies, read leniently: strings or arrays, any case of names; pure.

use serde_json::{Map, Value};

/// Who may send to a queue, as far as its policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grant {
    /// A statement lets this sender in for this source.
    pub(crate) allowed: bool,
    /// One that lets it in lets others' buckets, topics or rules in too.
    pub(crate) unbounded: bool,
    /// What conditions of `aws:SourceArn` the statements that do not fit have.
    pub(crate) others: Vec<String>,
    /// Statements that deny sending, under conditions that are not decided here.
    pub(crate) denials: Vec<String>,
    /// Accounts of which alone statements let this sender in, where its own is not known.
    pub(crate) accounts: Vec<String>,
    /// Conditions of statements for this sender that are not decided here.
    pub(crate) undecided: Vec<String>,
}

/// A policy that is no JSON object with statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPolicy;

/// What `policy` says of `service` sending to `queue` on behalf of `source`.
///
/// `account` is the account of the source, where it is known.
pub(crate) fn sending(
    policy: &str,
    service: &str,
    queue: &str,
    source: &Source<'_>,
) -> Result<Grant, NoPolicy> {
    let policy: Value = serde_json::from_str(policy).map_err(|_| NoPolicy)?;
    let policy = policy.as_object().ok_or(NoPolicy)?;
    let mut grant = Grant::default();
    for statement in list(get(policy, "Statement").ok_or(NoPolicy)?) {
        let Some(statement) = statement.as_object() else {
            continue;
        };
        let effect = get(statement, "Effect")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let denies = effect.eq_ignore_ascii_case("deny");
        if !concerns(statement, service, queue, denies) {
            continue;
        }
        let sid = get(statement, "Sid")
            .and_then(Value::as_str)
            .unwrap_or("without a Sid");
        let condition = get(statement, "Condition").and_then(Value::as_object);
        if denies {
            if !only_plain_http(condition) {
                grant.denials.push(sid.to_owned());
            }
            continue;
        }
        if !effect.eq_ignore_ascii_case("allow") {
            continue;
        }
        match fits(condition, source) {
            Fit::Yes { bounded } => {
                grant.allowed = true;
                grant.unbounded |= !bounded;
            }
            Fit::Account(accounts) => grant.accounts.push(accounts),
            Fit::No(other) => grant.others.push(other),
            Fit::Undecided(key) => grant.undecided.push(key),
        }
    }
    Ok(grant)
}

/// What the message is sent for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// This ARN, which is known.
    Arn {
        arn: &'a str,
        account: Option<&'a str>,
    },
    /// Some ARN that begins like this (a rule or a topic of any name).
    Any { begins: &'a str },
}

impl Source<'_> {
    fn account(&self) -> Option<&str> {
        match self {
            Self::Arn { account, .. } => *account,
            Self::Any { .. } => None,
        }
    }
}

enum Fit {
    Yes {
        bounded: bool,
    },
    /// As far as all but the account goes.
    Account(String),
    No(String),
    Undecided(String),
}

fn fits(condition: Option<&Map<String, Value>>, source: &Source<'_>) -> Fit {
    let mut bounded = false;
    let mut account = None;
    for (operator, keys) in condition.into_iter().flatten() {
        let operator = operator.to_ascii_lowercase();
        let like = operator.contains("like");
        let plain = matches!(
            operator.trim_end_matches("ifexists"),
            "arnequals" | "arnlike" | "stringequals" | "stringlike" | "stringequalsignorecase"
        );
        for (key, wanted) in keys.as_object().into_iter().flatten() {
            let values: Vec<&str> = list(wanted).into_iter().filter_map(Value::as_str).collect();
            let key = key.to_ascii_lowercase();
            let known = matches!(
                key.as_str(),
                "aws:sourcearn" | "aws:sourceaccount" | "aws:sourceowner"
            );
            if operator == "bool" && key == "aws:securetransport" && values.contains(&"true") {
                continue;
            }
            if !known || !plain {
                return Fit::Undecided(format!("{operator} {key}"));
            }
            let matches = |value: &&str| match (key.as_str(), source) {
                ("aws:sourcearn", Source::Arn { arn, .. }) => {
                    // ArnEquals takes wildcards as ArnLike does.
                    if like || operator.starts_with("arn") {
                        glob(value, arn)
                    } else {
                        value == arn
                    }
                }
                ("aws:sourcearn", Source::Any { begins }) => {
                    let stem = value.split(['*', '?']).next().unwrap_or_default();
                    stem.starts_with(begins) || begins.starts_with(stem) && stem.len() < value.len()
                }
                (_, source) => {
                    // Whether it is the right account is not known without it.
                    account = source.account().is_none().then(|| values.join(", "));
                    account.is_some() || source.account() == Some(value)
                }
            };
            if !values.iter().any(matches) {
                return Fit::No(values.join(", "));
            }
            let all = |value: &&str| match (key.as_str(), source) {
                ("aws:sourcearn", Source::Arn { arn, .. }) => glob(value, stranger(arn).as_str()),
                ("aws:sourcearn", Source::Any { begins }) => glob(
                    value,
                    &format!("{begins}xx-nowhere-9:000000000000:{STRANGER}"),
                ),
                _ => *value == "*",
            };
            bounded |= !values.iter().any(all);
        }
    }
    match account {
        Some(account) => Fit::Account(account),
        None => Fit::Yes { bounded },
    }
}

/// A name that nobody gave to anything.
const STRANGER: &str = "a-stranger's";

/// Somebody else's bucket, topic or rule.
fn stranger(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        // A bucket's ARN names neither region nor account.
        [a, partition, "s3", ..] => format!("{a}:{partition}:s3:::{STRANGER}"),
        [a, partition, service, region, ..] => {
            format!("{a}:{partition}:{service}:{region}:000000000000:{STRANGER}")
        }
        _ => STRANGER.to_owned(),
    }
}

/// Whether the statement is about this sender, this queue and sending.
///
/// In doubt a denial is, so that nobody is said to be let in who may not be.
fn concerns(statement: &Map<String, Value>, service: &str, queue: &str, denies: bool) -> bool {
    let texts = |name: &str| -> Vec<String> {
        let values = get(statement, name).map(list).unwrap_or_default();
        values
            .iter()
            .filter_map(|v| v.as_str())
            .map(str::to_owned)
            .collect()
    };
    let sending = |action: &String| glob(&action.to_ascii_lowercase(), "sqs:sendmessage");
    let actions = texts("Action");
    let acts = if actions.is_empty() {
        let not = texts("NotAction");
        !not.is_empty() && !not.iter().any(sending)
    } else {
        actions.iter().any(sending)
    };
    let resources = texts("Resource");
    let resource = if resources.is_empty() {
        !texts("NotResource").iter().any(|r| glob(r, queue))
    } else {
        resources.iter().any(|r| glob(r, queue))
    };
    let everyone = |v: &Value| v.as_str() == Some("*");
    let principal = match get(statement, "Principal") {
        Some(Value::String(all)) => all == "*",
        Some(Value::Object(kinds)) => kinds.iter().any(|(kind, who)| {
            let who = list(who);
            if kind.eq_ignore_ascii_case("service") {
                who.iter()
                    .any(|w| w.as_str() == Some(service) || everyone(w))
            } else {
                kind.eq_ignore_ascii_case("aws") && who.iter().any(|w| everyone(w))
            }
        }),
        // `NotPrincipal` denies all but some; whether a service is one of those is not decided.
        _ => denies && get(statement, "NotPrincipal").is_some(),
    };
    acts && resource && principal
}

/// Denials of unencrypted requests concern no AWS service.
fn only_plain_http(condition: Option<&Map<String, Value>>) -> bool {
    let mut all = condition.into_iter().flatten().peekable();
    all.peek().is_some()
        && all.all(|(operator, keys)| {
            operator.to_ascii_lowercase().starts_with("bool")
                && keys.as_object().is_some_and(|keys| {
                    keys.iter().all(|(key, value)| {
                        let off =
                            |v: &Value| v.as_str() == Some("false") || v.as_bool() == Some(false);
                        key.eq_ignore_ascii_case("aws:securetransport")
                            && list(value).into_iter().all(off)
                    })
                })
        })
}

fn get<'v>(object: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    object
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    }
}

/// `*` for any text, `?` for any one character. No recursion: the pattern is not ours.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:111122223333:logs";
    const BUCKET: &str = "arn:aws:s3:::trail";

    fn s3(policy: &Value) -> Grant {
        let source = Source::Arn {
            arn: BUCKET,
            account: Some("111122223333"),
        };
        sending(&policy.to_string(), "s3.amazonaws.com", QUEUE, &source).unwrap()
    }

    fn statement(condition: impl Into<Value>) -> Value {
        let condition = condition.into();
        json!({"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
               "Action": "sqs:SendMessage", "Resource": QUEUE, "Condition": condition})
    }

    #[test]
    fn the_documented_statement_and_its_lenient_forms_let_s3_in() {
        let arn = json!({"ArnLike": {"aws:SourceArn": BUCKET}});
        for policy in [
            json!({"Statement": [statement(arn.clone())]}),
            json!({"Statement": statement(arn)}),
            json!({"statement": [{"effect": "allow", "principal": {"service": ["s3.amazonaws.com"]},
                   "action": ["SQS:SendMessage"], "resource": [QUEUE],
                   "condition": {"ArnEquals": {"AWS:SourceArn": ["arn:aws:s3:::tr*"]},
                                 "StringEquals": {"aws:SourceAccount": "111122223333"}}}]}),
            json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:*",
                   "Resource": "*", "Condition": {"StringLike": {"aws:sourcearn": "*:trail"}}}]}),
        ] {
            let grant = s3(&policy);
            assert!(grant.allowed && !grant.unbounded, "{policy} {grant:?}");
        }
    }

    #[test]
    fn what_lets_anyone_in_or_somebody_else_is_seen() {
        let open = s3(&json!({"Statement": statement(json!({}))}));
        assert!(open.allowed && open.unbounded);
        let star = s3(&json!({"Statement": statement(json!({"ArnLike": {"aws:SourceArn": "*"}}))}));
        assert!(star.allowed && star.unbounded);
        let other = s3(
            &json!({"Statement": statement(json!({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}))}),
        );
        assert_eq!(
            (other.allowed, other.others.as_slice()),
            (false, &["arn:aws:s3:::other".to_owned()][..])
        );
        let account = s3(
            &json!({"Statement": statement(json!({"StringEquals": {"aws:SourceAccount": "999999999999"}}))}),
        );
        assert!(!account.allowed);
        let odd = s3(
            &json!({"Statement": statement(json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))}),
        );
        assert!(!odd.allowed && !odd.undecided.is_empty());
        // `StringEquals` knows no wildcards.
        let text = s3(
            &json!({"Statement": statement(json!({"StringEquals": {"aws:SourceArn": "arn:aws:s3:::tr*"}}))}),
        );
        assert!(!text.allowed);
        let user = json!({"Statement": {"Effect": "Allow", "Action": "sqs:SendMessage",
            "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Resource": QUEUE}});
        assert_eq!(s3(&user), Grant::default());
        let reading = json!({"Statement": {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Principal": "*"}});
        assert_eq!(s3(&reading), Grant::default());
        assert!(sending("[]", "s", QUEUE, &Source::Any { begins: "" }).is_err());
        assert!(sending("not json", "s", QUEUE, &Source::Any { begins: "" }).is_err());
    }

    #[test]
    fn an_account_that_is_not_known_is_not_taken_for_the_right_one() {
        let policy = json!({"Statement": statement(json!({
            "ArnLike": {"aws:SourceArn": BUCKET},
            "StringEquals": {"aws:SourceAccount": "999999999999"}}))});
        let of = |account| {
            let arn = BUCKET;
            let source = Source::Arn { arn, account };
            sending(&policy.to_string(), "s3.amazonaws.com", QUEUE, &source).unwrap()
        };
        let unknown = of(None);
        assert!(!unknown.allowed && unknown.accounts == ["999999999999"]);
        assert!(of(Some("999999999999")).allowed);
        let other = of(Some("111122223333"));
        assert!(!other.allowed && other.accounts.is_empty());
    }

    #[test]
    fn a_pattern_that_fits_everybodys_bucket_is_no_bound() {
        for (value, unbounded) in [
            ("arn:aws:s3:::*", true),
            ("arn:aws:s3:*:*:*", true),
            ("arn:*", true),
            ("arn:aws:s3:::tr*", false),
            (BUCKET, false),
        ] {
            let policy =
                json!({"Statement": statement(json!({"ArnLike": {"aws:SourceArn": value}}))});
            let grant = s3(&policy);
            assert_eq!(
                (grant.allowed, grant.unbounded),
                (true, unbounded),
                "{value}"
            );
        }
        let bounded = json!({"Statement": statement(json!({
            "ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"},
            "StringEquals": {"aws:SourceAccount": "111122223333"}}))});
        assert!(!s3(&bounded).unbounded);
    }

    #[test]
    fn what_is_said_of_all_but_some_is_read() {
        let all_but = |name: &str, value: Value| {
            let mut deny = json!({"Sid": "no", "Effect": "Deny", "Action": "sqs:*"});
            deny[name] = value;
            if name != "NotPrincipal" {
                deny["Principal"] = json!("*");
            }
            s3(&json!({"Statement": [deny]})).denials
        };
        let me = json!({"AWS": "arn:aws:iam::111122223333:root"});
        assert_eq!(all_but("NotPrincipal", me), ["no"]);
        assert_eq!(
            all_but("NotResource", json!("arn:aws:sqs:*:*:other")),
            ["no"]
        );
        assert!(all_but("NotResource", json!(QUEUE)).is_empty());
        let allow = json!({"Statement": {"Effect": "Allow", "Action": "sqs:SendMessage",
            "Principal": "*", "NotResource": QUEUE}});
        assert_eq!(s3(&allow), Grant::default());
        let others = json!({"Statement": {"Effect": "Allow", "Action": "sqs:SendMessage",
            "NotPrincipal": {"AWS": "*"}, "Resource": QUEUE}});
        assert_eq!(s3(&others), Grant::default());
    }

    #[test]
    fn a_denial_counts_unless_it_is_of_plain_http() {
        let deny = |condition: Value| {
            json!({"Statement": [{"Sid": "no", "Effect": "Deny", "Principal": "*",
                   "Action": "sqs:*", "Resource": QUEUE, "Condition": condition}]})
        };
        let http = json!({"Bool": {"aws:SecureTransport": "false"}});
        assert!(s3(&deny(http)).denials.is_empty());
        assert_eq!(s3(&deny(json!({}))).denials, ["no"]);
        let org = json!({"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}});
        assert_eq!(s3(&deny(org)).denials, ["no"]);
    }

    #[test]
    fn some_rule_or_topic_is_recognised_by_how_its_arn_begins() {
        let of = |value: &str| {
            let policy = json!({"Statement": {"Effect": "Allow", "Action": "sqs:SendMessage",
                "Principal": {"Service": "events.amazonaws.com"}, "Resource": QUEUE,
                "Condition": {"ArnLike": {"aws:SourceArn": value}}}});
            let source = Source::Any {
                begins: "arn:aws:events:",
            };
            sending(&policy.to_string(), "events.amazonaws.com", QUEUE, &source)
                .unwrap()
                .allowed
        };
        assert!(of("arn:aws:events:eu-west-1:1:rule/logs"));
        assert!(of("arn:aws:*"));
        assert!(!of("arn:aws:s3:::trail"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}") {
            let _ = sending(&text, "s3.amazonaws.com", QUEUE, &Source::Any { begins: "a" });
        }

        #[test]
        fn a_glob_with_a_star_anywhere_fits_the_text_it_was_made_of(
            text in "[a-c:/]{0,20}", at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(text.len() + 1);
            let mut pattern = text.clone();
            pattern.insert(at, '*');
            prop_assert!(glob(&pattern, &text));
            prop_assert!(glob(&text, &text));
            let longer = format!("{text}x");
            prop_assert!(!glob(&text, &longer));
        }
    }
}
