//! Reading fields that may be of another type than documented, without losing them.
//!
//! serde's derive refuses a whole record for one field of a strange type, and
//! for a doubled key; and its `flatten` does not work with raw values. So the
//! structs of the model are read member by member: a value that fits goes into
//! its field, any other is kept raw in `extra`.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON value in its own bytes, so that `1624.0`, whole numbers above 2^53 and
/// the order of keys stay as they are. Two are equal if their bytes are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value read as `T`.
    ///
    /// # Errors
    /// serde_json's, if the value is no `T`. Its message may quote the value.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// As serde_json's raw value.
    #[must_use]
    pub fn as_raw(&self) -> &RawValue {
        &self.0
    }
}

impl From<Box<RawValue>> for Json {
    fn from(raw: Box<RawValue>) -> Self {
        Self(raw)
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({:?})", self.get())
    }
}

/// The members of an object that are not known, or not of the documented type, by their names.
pub type Extra = BTreeMap<String, Json>;

/// A type that a value may fit, with some leniency. `null` never comes here.
pub(super) trait Fit: Sized {
    fn fit(raw: &RawValue) -> Option<Self>;
}

impl Fit for Json {
    fn fit(raw: &RawValue) -> Option<Self> {
        Some(Self(raw.to_owned()))
    }
}

/// A number or boolean where a text should be is taken as its own JSON text.
impl Fit for String {
    fn fit(raw: &RawValue) -> Option<Self> {
        match raw.get().as_bytes().first()? {
            b'"' => serde_json::from_str(raw.get()).ok(),
            b'{' | b'[' => None,
            _ => Some(raw.get().to_owned()),
        }
    }
}

/// Also the texts `"true"` and `"false"`.
impl Fit for bool {
    fn fit(raw: &RawValue) -> Option<Self> {
        match raw.get() {
            "true" | "\"true\"" => Some(true),
            "false" | "\"false\"" => Some(false),
            _ => None,
        }
    }
}

/// By the standard library, which rounds right: what is written out again reads as the same number.
impl Fit for f64 {
    fn fit(raw: &RawValue) -> Option<Self> {
        let number: Self = raw.get().parse().ok()?;
        number.is_finite().then_some(number)
    }
}

/// All or nothing: one strange element keeps the whole list raw.
impl<T: Fit> Fit for Vec<T> {
    fn fit(raw: &RawValue) -> Option<Self> {
        let raw: Vec<Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
        raw.iter().map(|raw| T::fit(raw)).collect()
    }
}

impl<T: Fit> Fit for Box<T> {
    fn fit(raw: &RawValue) -> Option<Self> {
        T::fit(raw).map(Self::new)
    }
}

/// A struct whose members are put in one by one.
pub(super) trait Model: Default {
    fn put(&mut self, name: String, raw: Box<RawValue>);
}

pub(super) struct ModelVisitor<T>(pub(super) PhantomData<T>);

impl<'de, T: Model> Visitor<'de> for ModelVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut model = T::default();
        while let Some((name, raw)) = map.next_entry()? {
            model.put(name, raw);
        }
        Ok(model)
    }
}

/// Puts one member into its field, or into `extra` if it does not fit. The last of a doubled key wins.
pub(super) fn put_field<T: Fit>(
    field: &mut Option<T>,
    extra: &mut Extra,
    name: String,
    raw: Box<RawValue>,
) {
    *field = None;
    if raw.get() == "null" {
        extra.remove(&name);
        return;
    }
    match T::fit(&raw) {
        Some(value) => {
            *field = Some(value);
            extra.remove(&name);
        }
        None => {
            extra.insert(name, Json(raw));
        }
    }
}

/// A struct of optional fields with their names at AWS, and `extra` for all else.
macro_rules! model {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident: $type:ty = $aws:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: Option<$type>, )*
            /// Members that this version does not know, or that are not of the
            /// documented type, raw.
            pub extra: $crate::event::model::Extra,
        }

        impl $crate::event::model::lenient::Model for $name {
            fn put(&mut self, name: String, raw: Box<serde_json::value::RawValue>) {
                match name.as_str() {
                    $( $aws => $crate::event::model::lenient::put_field(
                        &mut self.$field, &mut self.extra, name, raw,
                    ), )*
                    _ => { self.extra.insert(name, raw.into()); }
                }
            }
        }

        impl $crate::event::model::lenient::Fit for $name {
            fn fit(raw: &serde_json::value::RawValue) -> Option<Self> {
                serde_json::from_str(raw.get()).ok()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                d.deserialize_map($crate::event::model::lenient::ModelVisitor(
                    std::marker::PhantomData,
                ))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = s.serialize_map(None)?;
                $( if let Some(value) = &self.$field {
                    map.serialize_entry($aws, value)?;
                } )*
                for (name, value) in &self.extra {
                    // A field that was set later wins over what was kept under its name.
                    let set = match name.as_str() {
                        $( $aws => self.$field.is_some(), )*
                        _ => false,
                    };
                    if !set {
                        map.serialize_entry(name, value)?;
                    }
                }
                map.end()
            }
        }
    };
}

/// A text with names for the values known today; any other is as good.
macro_rules! open_text {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$value_meta:meta])* $value:ident = $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            $( $(#[$value_meta])* pub const $value: &str = $text; )*

            /// The text, as it stands in the record.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $crate::event::model::lenient::Fit for $name {
            fn fit(raw: &serde_json::value::RawValue) -> Option<Self> {
                String::fit(raw).map(Self)
            }
        }
    };
}

pub(super) use {model, open_text};

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn strange_types_are_taken_where_their_sense_is_clear() {
        assert_eq!(String::fit(&raw("111122223333")).unwrap(), "111122223333");
        assert_eq!(String::fit(&raw("1624.0")).unwrap(), "1624.0");
        assert_eq!(String::fit(&raw("true")).unwrap(), "true");
        assert_eq!(String::fit(&raw(r#""\u00fc""#)).unwrap(), "ü");
        assert_eq!(String::fit(&raw("[]")), None);
        assert_eq!(String::fit(&raw(r#""\ud800""#)), None);
        assert_eq!(bool::fit(&raw("\"false\"")), Some(false));
        assert_eq!(bool::fit(&raw("1")), None);
        assert_eq!(f64::fit(&raw("1.5e3")), Some(1500.0));
        assert_eq!(f64::fit(&raw("1e999")), None);
        assert_eq!(f64::fit(&raw("\"1\"")), None);
        assert_eq!(
            Vec::<bool>::fit(&raw("[true, \"false\"]")),
            Some(vec![true, false])
        );
        assert_eq!(Vec::<bool>::fit(&raw("[true, 1]")), None);
        assert_eq!(Vec::<bool>::fit(&raw("true")), None);
    }

    #[test]
    fn the_last_of_a_doubled_key_wins_whether_it_fits_or_not() {
        let mut extra = Extra::new();
        let mut field = None;
        let mut put = |text: &str| {
            put_field::<bool>(&mut field, &mut extra, "f".to_owned(), raw(text));
            (field, extra.get("f").map(|j| j.get().to_owned()))
        };
        assert_eq!(put("true"), (Some(true), None));
        assert_eq!(put("[1]"), (None, Some("[1]".to_owned())));
        assert_eq!(put("false"), (Some(false), None));
        assert_eq!(put("null"), (None, None));
    }

    #[test]
    fn raw_values_keep_their_bytes() {
        let json: Json = serde_json::from_str(r#"{"n": 1624.0, "big":9007199254740993}"#).unwrap();
        assert_eq!(json.get(), r#"{"n": 1624.0, "big":9007199254740993}"#);
        assert_eq!(serde_json::to_string(&json).unwrap(), json.get());
        assert!(json.read::<Vec<u8>>().is_err());
    }
}
