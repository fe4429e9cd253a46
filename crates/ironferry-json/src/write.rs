//! Values as JSON text, byte for byte what `serde_json` writes.

use std::fmt::{Arguments, Display, Write};

use serde::ser::{self, Serialize, Serializer};

use crate::containers::Within;
use crate::fault::{Fault, Result};
use crate::number;
use crate::raw;
use crate::string::plain;

/// The text so far. A container that has nothing in it yet ends in its bracket, and nothing else
/// ends in one: so no place needs to be kept.
pub(crate) struct Writer {
    pub(crate) text: String,
    /// The next string is JSON already.
    pub(crate) raw: bool,
}

impl Writer {
    pub(crate) const fn new(text: String) -> Self {
        Self { text, raw: false }
    }

    pub(crate) fn separate(&mut self) {
        if !matches!(self.text.as_bytes().last(), Some(b'[' | b'{')) {
            self.text.push(',');
        }
    }

    pub(crate) fn name(&mut self, name: &str) {
        self.separate();
        self.string(name);
        self.text.push(':');
    }

    fn within(&mut self, variant: &str, bracket: char) -> Within<'_> {
        self.text.push('{');
        self.name(variant);
        self.text.push(bracket);
        Within(self)
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        self.escaped(text);
        self.text.push('"');
    }

    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            let start = at;
            at += plain(bytes.get(at..).unwrap_or_default());
            self.text.push_str(text.get(start..at).unwrap_or_default());
            let Some(&byte) = bytes.get(at) else { break };
            at += 1;
            let letter = match byte {
                8 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                12 => b'f',
                b'\r' => b'r',
                0..0x20 => b'u',
                _ => byte,
            };
            self.text.push('\\');
            self.text.push(letter.into());
            if letter == b'u' {
                let low = byte & 15;
                self.text.push_str(if byte < 16 { "000" } else { "001" });
                self.text.push(char::from(if low < 10 { b'0' + low } else { b'a' - 10 + low }));
            }
        }
    }

    fn whole(&mut self, is_negative: bool, mut value: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        if is_negative {
            self.text.push('-');
        }
        self.text.push_str(str::from_utf8(&digits[at..]).unwrap_or_default());
    }

    fn display(&mut self, value: Arguments<'_>) -> Result<()> {
        self.text.push('"');
        Escaped(self).write_fmt(value).map_err(|_| ser::Error::custom("a text cannot be written"))?;
        self.text.push('"');
        Ok(())
    }

    /// A key was written as a value from there on; what is not a string becomes one.
    pub(crate) fn end_key(&mut self, start: usize) -> Result<()> {
        match self.text.as_bytes().get(start) {
            Some(b'"') => {}
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.text.insert(start, '"');
                self.text.push('"');
            }
            _ => return Err(ser::Error::custom("key must be a string")),
        }
        self.text.push(':');
        Ok(())
    }
}

struct Escaped<'a>(&'a mut Writer);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.escaped(text);
        Ok(())
    }
}

impl ser::Error for Fault {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        serde::de::Error::custom(message)
    }
}

macro_rules! whole {
    ($($method:ident $kind:ty)*) => {
        $(fn $method(self, value: $kind) -> Result<()> {
            self.serialize_i64(value.into())
        })*
    };
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Within<'a>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Within<'a>;

    whole! { serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_u8 u8 serialize_u16 u16 serialize_u32 u32 }

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.text.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<()> {
        self.whole(value < 0, value.unsigned_abs());
        Ok(())
    }

    fn serialize_u64(self, value: u64) -> Result<()> {
        self.whole(false, value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        self.text.push_str(&value.to_string());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        self.text.push_str(&value.to_string());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        number::write_short(value, &mut self.text);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        number::write(value, &mut self.text);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.string(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        if self.raw {
            self.text.push_str(value);
        } else {
            self.string(value);
        }
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.string(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.text.push('{');
        self.name(variant);
        value.serialize(&mut *self)?;
        self.text.push('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self> {
        self.text.push('[');
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Within<'a>> {
        Ok(self.within(variant, '['))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self> {
        self.text.push('{');
        Ok(self)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self> {
        if name == raw::TOKEN {
            self.raw = true;
        } else {
            self.text.push('{');
        }
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Within<'a>> {
        Ok(self.within(variant, '{'))
    }

    fn collect_str<T: ?Sized + Display>(self, value: &T) -> Result<()> {
        self.display(format_args!("{value}"))
    }
}
