//! JSON as it is written, for oracles: white space, escapes and doubled keys included.

use proptest::prelude::*;

/// A value and its exact form.
#[derive(Clone, Debug)]
pub(crate) enum Json {
    /// A text, number, boolean or null, as it stands there.
    Scalar(String),
    Array(Vec<Self>, &'static str),
    /// Keys in quotes, as they stand there.
    Object(Vec<(String, Self)>, &'static str),
}

/// What becomes of a member: see [`Json::render`].
type Member<'m, S> = &'m mut dyn FnMut(&S, (&str, &Json)) -> Option<Result<String, S>>;

impl Json {
    pub(crate) fn text(&self) -> String {
        self.render(&mut |_, _| None, &())
    }

    /// The text, with the members for which `member` says so replaced by what it
    /// says, or else rendered with the state that it says.
    pub(crate) fn render<S: Clone>(&self, member: Member<'_, S>, state: &S) -> String {
        match self {
            Self::Scalar(raw) => raw.clone(),
            Self::Array(elements, space) => {
                let inner: Vec<_> = elements
                    .iter()
                    .map(|element| format!("{space}{}{space}", element.render(member, state)))
                    .collect();
                format!("[{space}{}]", inner.join(","))
            }
            Self::Object(members, space) => {
                let inner: Vec<_> = members
                    .iter()
                    .map(|(key, value)| {
                        let value = match member(state, (&decoded(key), value)) {
                            None => value.text(),
                            Some(Ok(text)) => text,
                            Some(Err(state)) => value.render(member, &state),
                        };
                        format!("{space}{key}{space}:{space}{value}{space}")
                    })
                    .collect();
                format!("{{{space}{}}}", inner.join(","))
            }
        }
    }
}

pub(crate) fn decoded(raw: &str) -> String {
    serde_json::from_str(raw).unwrap()
}

/// The text in quotes, with some of its characters escaped.
fn quoted(text: &str, escaped: u32) -> String {
    let mut out = String::from("\"");
    for (n, c) in text.chars().enumerate() {
        if escaped >> (n % 32) & 1 == 1 && u32::from(c) < 0x1_0000 {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            let json = serde_json::to_string(&c.to_string()).unwrap();
            out.push_str(&json[1..json.len() - 1]);
        }
    }
    out.push('"');
    out
}

/// Mostly without escapes, as records are.
fn escapes() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0u32), 1 => any::<u32>()]
}

fn scalar(words: &'static [&'static str]) -> impl Strategy<Value = Json> {
    let text = (prop::sample::select(words), escapes()).prop_map(|(word, e)| quoted(word, e));
    let other = prop::sample::select(&["true", "false", "null", "7", "1624.0", "-1E+9"][..]);
    prop_oneof![3 => text, 1 => other.prop_map(str::to_owned)].prop_map(Json::Scalar)
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["", "", " ", "\n\t"][..])
}

/// Objects of these keys and texts, whose keys may come twice.
pub(crate) fn record(
    keys: &'static [&'static str],
    words: &'static [&'static str],
) -> impl Strategy<Value = Json> {
    let inner = scalar(words).prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(elements, space)| Json::Array(elements, space)),
            members(keys, inner),
        ]
    });
    members(keys, inner)
}

fn members(
    keys: &'static [&'static str],
    value: impl Strategy<Value = Json>,
) -> impl Strategy<Value = Json> {
    let key = (prop::sample::select(keys), escapes()).prop_map(|(key, e)| quoted(key, e));
    (prop::collection::vec((key, value), 0..5), space())
        .prop_map(|(members, space)| Json::Object(members, space))
}
