//! JSON that is passed on as it came.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// How `serde_json` marks such a text, in its reader and its writer; so a `Raw` goes through those
/// too, where the feature `raw_value` is on.
pub(crate) const TOKEN: &str = "$serde_json::private::RawValue";

/// A JSON value as text: checked when it was read, passed on unchanged. `Raw<&str>` borrows from what
/// was read, for which a field says `#[serde(borrow)]`; `Raw` owns.
///
/// `serde_json::value::RawValue` is read and written as well. Its feature, though, makes each
/// `serde_json::Value` bring serde_json's reader along: 20 kB gzipped in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<T = Box<str>>(T);

impl<T: AsRef<str>> Raw<T> {
    /// The JSON text.
    pub fn get(&self) -> &str {
        self.0.as_ref()
    }

    /// Reads it, as [`from_json`](crate::from_json) does. Unknown fields are passed over, so that an object
    /// can be read in parts, each a type of its own: `#[serde(flatten)]` does that by way of a tree of the
    /// object and a second copy of each part's code.
    pub fn read<'a, V: Deserialize<'a>>(&'a self) -> Result<V, String> {
        crate::from_json(self.get().as_bytes())
    }
}

impl Raw {
    /// A value as JSON text.
    pub fn of<T: ?Sized + Serialize>(value: &T) -> Result<Self, String> {
        crate::to_json(value).map(|text| Self(text.into_boxed_str()))
    }
}

impl<T: AsRef<str>> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(TOKEN, 1)?;
        raw.serialize_field(TOKEN, self.get())?;
        raw.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<&'a str> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TOKEN, Text::<&'a str>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TOKEN, Text::<Box<str>>(PhantomData))
    }
}

struct Text<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Text<T> {
    type Value = Raw<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut raw: A) -> Result<Raw<T>, A::Error> {
        match raw.next_entry::<Token, T>()? {
            Some((_, text)) => Ok(Raw(text)),
            None => Err(A::Error::custom("no JSON text")),
        }
    }
}

/// The key in front of the text.
struct Token;

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(Self)
    }
}

impl Visitor<'_> for Token {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a raw value")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self, E> {
        if name == TOKEN { Ok(self) } else { Err(E::custom("no raw value")) }
    }
}
