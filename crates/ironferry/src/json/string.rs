//! Strings: as they stand in the text, with their escapes undone, or skipped.

use super::fault::{Fault, Result};
use super::reader::Reader;

/// A string: as it stands in the text, or `None` where it had escapes and is in `unescaped`.
pub(super) type Text<'de> = Option<&'de str>;

impl<'de> Reader<'de> {
    /// The string that opens here.
    pub(super) fn string(&mut self) -> Result<Text<'de>> {
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
        let bytes = self.text.as_bytes();
        while let Some(word) = bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            if is_special(u64::from_le_bytes(*word)) {
                break;
            }
            self.at += 8;
        }
        loop {
            match self.peek() {
                b'"' => return Ok(false),
                b'\\' => return Ok(true),
                0..0x20 => {
                    let wrong = "control character (\\u0000-\\u001F) found while parsing a string";
                    return Err(self.fault(wrong, "a string"));
                }
                _ => self.at += 1,
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
    pub(super) fn skip_string(&mut self) -> Result<()> {
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

/// Whether one of eight bytes is a quote, a backslash or a control character.
const fn is_special(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let found = has_zero(word ^ (ONES * b'"' as u64)) | has_zero(word ^ (ONES * b'\\' as u64)) | below_space;
    found & (ONES * 0x80) != 0
}
