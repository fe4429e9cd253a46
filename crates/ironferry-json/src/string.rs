//! Strings: as they stand in the text, with their escapes undone, or skipped.

use crate::fault::{Fault, Result};
use crate::reader::Reader;

/// A string: as it stands in the text, or `None` where it had escapes and is in `unescaped`.
pub(crate) type Text<'de> = Option<&'de str>;

impl<'de> Reader<'de> {
    /// The string that opens here.
    pub(crate) fn string(&mut self) -> Result<Text<'de>> {
        self.at += 1;
        self.unescaped.clear();
        loop {
            let start = self.at;
            let escaped = self.plain()?;
            let piece = self.since(start);
            self.at += 1;
            if !escaped && self.unescaped.is_empty() {
                return Ok(Some(piece));
            }
            self.unescaped.push_str(piece);
            if !escaped {
                return Ok(None);
            }
            let letter = self.escape()?;
            self.unescaped.push(letter);
        }
    }

    /// Moves to what ends the plain part of a string; whether it is an escape.
    fn plain(&mut self) -> Result<bool> {
        self.at += plain(self.text.as_bytes().get(self.at..).unwrap_or_default());
        match self.peek() {
            b'"' => Ok(false),
            b'\\' => Ok(true),
            _ => {
                let wrong = "control character (\\u0000-\\u001F) found while parsing a string";
                Err(self.fault(wrong, "a string"))
            }
        }
    }

    /// The character that the escape, whose backslash is read, stands for.
    fn escape(&mut self) -> Result<char> {
        let letter = match self.peek() {
            letter @ (b'"' | b'\\' | b'/') => letter.into(),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.fault("invalid escape", "a string")),
        };
        self.at += 1;
        Ok(letter)
    }

    /// Four digits, or the two halves of a surrogate pair.
    fn unicode(&mut self) -> Result<char> {
        let mut code = self.hex()?;
        if let 0xD800..0xDC00 = code {
            let high = code - 0xD800;
            for expected in [b'\\', b'u'] {
                if self.peek() != expected {
                    return Err(self.fault("unexpected end of hex escape", "a string"));
                }
                self.at += 1;
            }
            let low = self.hex()?.wrapping_sub(0xDC00);
            // What is no low half gives a code that is no character.
            code = if low < 0x400 { 0x1_0000 + (high << 10 | low) } else { 0xD800 };
        }
        char::from_u32(code)
            .ok_or_else(|| Fault::syntax(format_args!("lone leading surrogate in hex escape")))
    }

    fn hex(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return Err(self.fault("invalid escape", "a string"));
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A string nobody reads may hold half a surrogate pair, which others send.
    pub(crate) fn skip_string(&mut self) -> Result<()> {
        self.at += 1;
        while self.plain()? {
            self.at += 1;
            if self.peek() == b'u' {
                self.at += 1;
                self.hex()?;
            } else {
                self.escape()?;
            }
        }
        self.at += 1;
        Ok(())
    }
}

/// How many bytes come before a quote, a backslash or a control character.
pub(crate) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// Of eight bytes the high bit of the first that is special; bits above it mean nothing.
const fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let found = has_zero(word ^ (ONES * b'"' as u64)) | has_zero(word ^ (ONES * b'\\' as u64)) | below_space;
    found & (ONES * 0x80)
}
