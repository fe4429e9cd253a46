//! What stands in front of a colon: keys, and the names of variants.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::de::read;
use crate::fault::{Fault, Result};
use crate::reader::Reader;
use crate::string::Text;

/// A key: text, whatever type it is read as.
pub(crate) struct Key<'a, 'de> {
    pub(crate) reader: &'a mut Reader<'de>,
    pub(crate) text: Text<'de>,
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.text {
            Some(text) => visitor.visit_borrowed_str(text),
            None => visitor.visit_str(&self.reader.unescaped),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text.unwrap_or(&self.reader.unescaped))
    }

    read! { read_number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.text {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(Variant { reader: self.reader, text: self.text, has_value: false })
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

impl<'de> Key<'_, 'de> {
    /// A map by number has its numbers in quotes.
    fn read_number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let mut inner = Reader::new(self.text.unwrap_or(&self.reader.unescaped));
        let number = inner.number()?;
        inner.ends()?;
        number.visit(visitor)
    }
}

/// A variant's name, and behind a name that is a key its value.
pub(crate) struct Variant<'a, 'de> {
    pub(crate) reader: &'a mut Reader<'de>,
    pub(crate) text: Text<'de>,
    pub(crate) has_value: bool,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let value = seed.deserialize(Key { reader: self.reader, text: self.text })?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<()> {
        if self.has_value { Deserialize::deserialize(self.reader) } else { Ok(()) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        if self.has_value { seed.deserialize(self.reader) } else { Err(lone_variant("newtype variant")) }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        if self.has_value { self.reader.read_list(visitor) } else { Err(lone_variant("tuple variant")) }
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value> {
        if self.has_value { self.reader.read_object(visitor) } else { Err(lone_variant("struct variant")) }
    }
}

#[cold]
fn lone_variant(expected: &str) -> Fault {
    Error::invalid_type(Unexpected::UnitVariant, &expected)
}
