//! Objects of an answer: known fields by name, and whatever else they hold.

use serde_json::{Map, Value};

/// The texts of an array.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

pub(super) fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key)?.as_str().map(str::to_owned)
}

/// A text, or a number as one: ids come as both.
pub(super) fn id(map: &Map<String, Value>, key: &str) -> Option<String> {
    match map.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The objects of an array.
pub(super) fn objects(value: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let items = value.and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_object)
}

/// An object of an answer with getters of the fields that hold a text. A field that is
/// missing or of another type is `None`; `fields` has everything.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $getter:ident: $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name(serde_json::Map<String, serde_json::Value>);

        impl $name {
            /// All fields, those too that are not known.
            #[must_use]
            pub fn fields(&self) -> &serde_json::Map<String, serde_json::Value> {
                &self.0
            }

            /// All fields, taken out.
            #[must_use]
            pub fn into_fields(self) -> serde_json::Map<String, serde_json::Value> {
                self.0
            }

            $(
                $(#[$field_doc])*
                #[must_use]
                pub fn $getter(&self) -> Option<&str> {
                    self.0.get($key)?.as_str()
                }
            )*
        }
    };
}
pub(super) use object;
