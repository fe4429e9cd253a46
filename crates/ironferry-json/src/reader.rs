//! The letters of JSON (RFC 8259): one pass over a text, strict as `serde_json`, and nothing here is
//! generic: what serde makes for each type calls these few functions.

use std::str::FromStr;

use serde::de::{Error as _, Expected, Unexpected};

use crate::fault::{Fault, Result};
use crate::number::{self, Number};
use crate::string::Text;

/// Containers within containers, as `serde_json` counts them.
const DEEPEST: u8 = 128;

/// How far the innermost open container is read.
#[derive(PartialEq)]
pub(crate) enum Place {
    Opened,
    Within,
    Ended,
}

pub(crate) struct Reader<'de> {
    pub(crate) text: &'de str,
    /// The next byte; after a fault, where it is.
    pub(crate) at: usize,
    deeper: u8,
    pub(crate) place: Place,
    /// What the last string said, when it had escapes.
    pub(crate) unescaped: String,
}

impl<'de> Reader<'de> {
    pub(crate) const fn new(text: &'de str) -> Self {
        Self { text, at: 0, deeper: DEEPEST, place: Place::Opened, unescaped: String::new() }
    }

    /// The byte here; 0, which no JSON has outside, is the end.
    pub(crate) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The first byte of what comes next.
    pub(crate) fn token(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return byte;
            }
            self.at += 1;
        }
    }

    pub(crate) fn since(&self, start: usize) -> &'de str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The fault of what stands here, or of the text's end.
    #[cold]
    pub(crate) fn fault(&self, wrong: &str, within: &str) -> Fault {
        if self.at < self.text.len() {
            Fault::syntax(format_args!("{wrong}"))
        } else {
            Fault::syntax(format_args!("EOF while parsing {within}"))
        }
    }

    /// Nothing but space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.token();
        self.ends()
    }

    pub(crate) fn ends(&self) -> Result<()> {
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(Fault::syntax(format_args!("trailing characters")))
        }
    }

    pub(crate) fn open(&mut self) -> Result<()> {
        self.at += 1;
        self.deeper -= 1;
        self.place = Place::Opened;
        if self.deeper == 0 {
            return Err(Fault::syntax(format_args!("recursion limit exceeded")));
        }
        Ok(())
    }

    /// Moves to the next element or key; false behind the end of the container.
    pub(crate) fn next(&mut self, close: u8) -> Result<bool> {
        if self.place == Place::Ended {
            return Ok(false);
        }
        let found = self.token();
        if found == close {
            self.at += 1;
            self.place = Place::Ended;
            return Ok(false);
        }
        if self.place == Place::Within {
            if found != b',' {
                let list = close == b']';
                return Err(self.fault(
                    if list { "expected `,` or `]`" } else { "expected `,` or `}`" },
                    if list { "a list" } else { "an object" },
                ));
            }
            self.at += 1;
            if self.token() == close {
                return Err(Fault::syntax(format_args!("trailing comma")));
            }
        }
        self.place = Place::Within;
        Ok(true)
    }

    /// Moves behind the key and its colon; `None` behind the end of the object.
    pub(crate) fn key(&mut self) -> Result<Option<Text<'de>>> {
        if !self.next(b'}')? {
            return Ok(None);
        }
        self.key_opens()?;
        let key = self.string()?;
        self.colon()?;
        Ok(Some(key))
    }

    pub(crate) fn key_opens(&self) -> Result<()> {
        if self.peek() == b'"' { Ok(()) } else { Err(self.fault("key must be a string", "an object")) }
    }

    /// Moves behind the colon of a key.
    pub(crate) fn colon(&mut self) -> Result<()> {
        if self.token() != b':' {
            return Err(self.fault("expected `:`", "an object"));
        }
        self.at += 1;
        Ok(())
    }

    /// Behind a container: it may hold no more than was taken.
    pub(crate) fn close(&mut self, close: u8) -> Result<()> {
        if self.next(close)? {
            return Err(Fault::syntax(format_args!("trailing characters")));
        }
        self.deeper += 1;
        self.place = Place::Within;
        Ok(())
    }

    /// `null`, `true`, `false`.
    pub(crate) fn literal(&mut self, word: &str) -> Result<()> {
        for byte in word.bytes() {
            if self.peek() != byte {
                return Err(self.fault("expected ident", "a value"));
            }
            self.at += 1;
        }
        Ok(())
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        let yes = self.peek() == b't';
        self.literal(if yes { "true" } else { "false" })?;
        Ok(yes)
    }

    /// The number that begins here.
    pub(crate) fn number(&mut self) -> Result<Number> {
        let start = self.at;
        let whole = self.skip_number()?;
        number::read(self.since(start), whole)
            .ok_or_else(|| Fault::syntax(format_args!("number out of range")))
    }

    /// A whole number of a type that `Number` has no room for.
    pub(crate) fn long_number<T: FromStr>(&mut self, expected: &dyn Expected) -> Result<T> {
        let start = match self.token() {
            b'-' | b'0'..=b'9' => self.at,
            _ => return Err(self.mismatch(expected)),
        };
        self.skip_number()?;
        self.since(start).parse().map_err(|_| Fault::syntax(format_args!("number out of range")))
    }

    /// Moves behind a number; whether it is a whole one.
    pub(crate) fn skip_number(&mut self) -> Result<bool> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return Err(self.fault("invalid number", "a value"));
            }
        } else {
            self.digits()?;
        }
        let mut whole = true;
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
            whole = false;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            if let b'+' | b'-' = self.peek() {
                self.at += 1;
            }
            self.digits()?;
            whole = false;
        }
        Ok(whole)
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if start == self.at { Err(self.fault("invalid number", "a value")) } else { Ok(()) }
    }

    #[cold]
    pub(crate) fn unexpected(&self) -> Fault {
        self.fault("expected value", "a value")
    }

    /// The fault of a value that is JSON and not what was expected.
    #[cold]
    pub(crate) fn mismatch(&mut self, expected: &dyn Expected) -> Fault {
        self.found(expected).unwrap_or_else(|fault| fault)
    }

    fn found(&mut self, expected: &dyn Expected) -> Result<Fault> {
        let string;
        let found = match self.token() {
            b'n' => {
                self.literal("null")?;
                Unexpected::Unit
            }
            b't' | b'f' => Unexpected::Bool(self.boolean()?),
            b'"' => {
                string = self.string()?;
                Unexpected::Str(string.unwrap_or(&self.unescaped))
            }
            b'[' => Unexpected::Seq,
            b'{' => Unexpected::Map,
            b'-' | b'0'..=b'9' => match self.number()? {
                Number::Positive(number) => Unexpected::Unsigned(number),
                Number::Negative(number) => Unexpected::Signed(number),
                Number::Float(number) => Unexpected::Float(number),
            },
            _ => return Err(self.unexpected()),
        };
        Ok(Fault::invalid_type(found, expected))
    }
}
