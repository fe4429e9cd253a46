//! Text elements: borrowed where the file's bytes are the text, owned where they are not.

use std::borrow::Cow;

/// Text of a file: borrowed as a rule, owned where an escape was undone or bytes were replaced.
pub type Text<'a> = Cow<'a, str>;

/// An element as text.
///
/// `^2A^` is an asterisk. What bytes above 7Fh mean depends on the maker's code page, which no file
/// names: UTF-8 where it fits; Windows-1251 where they stand together as the letters of Russian words
/// do and no western accents; else Latin-1. A zero byte, which no database takes as text, becomes the
/// replacement character.
pub(crate) fn decode(raw: &[u8]) -> Text<'_> {
    if raw.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'^')
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        String::from_utf8(unescape(raw))
            .map_or_else(|error| one_by_one(&error.into_bytes()), |text| text.chars().map(visible).collect()),
    )
}

/// Text in a code page of one byte a letter.
fn one_by_one(bytes: &[u8]) -> String {
    let letter = if is_cyrillic(bytes) { cyrillic } else { char::from };
    bytes.iter().map(|byte| visible(letter(*byte))).collect()
}

/// Whether bytes are Russian in Windows-1251: three or more letters in a row, or words of nothing else.
/// Accents of western languages stand alone, among plain letters.
fn is_cyrillic(bytes: &[u8]) -> bool {
    let is_letter = |byte: &u8| matches!(byte, 0xC0..|0xA8| 0xB8);
    let mut words = bytes.split(|byte| !is_letter(byte)).map(<[u8]>::len);
    let (longest, has_plain) = (words.by_ref().max().unwrap_or(0), bytes.iter().any(u8::is_ascii_alphabetic));
    longest >= 3 || (longest == 2 && !has_plain)
}

/// A letter of Windows-1251.
fn cyrillic(byte: u8) -> char {
    match byte {
        0xA8 => 'Ё',
        0xB8 => 'ё',
        0xC0.. => {
            char::from_u32(u32::from(byte) - 0xC0 + u32::from('А')).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::from(byte),
    }
}

fn visible(char: char) -> char {
    if char == '\0' { char::REPLACEMENT_CHARACTER } else { char }
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let mut byte = *first;
        if let (b'^', [high, low, b'^', after @ ..]) = (byte, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            byte = high << 4 | low;
            rest = after;
        }
        bytes.push(byte);
    }
    bytes
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' | b'A'..=b'F' => Some((digit & 0x5F) - b'A' + 10),
        _ => None,
    }
}

/// The same text, independent of the file.
pub(crate) fn own(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

/// The same text, where there is any, independent of the file.
pub(crate) fn own_some(text: Option<Text<'_>>) -> Option<Text<'static>> {
    text.map(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(decode(b"A^2A^B"), "A*B");
        assert_eq!(decode(b"^0D^^5E^"), "\r^");
        assert_eq!(decode(b"^D7^^E8^"), "Чи", "the code page of Russian machines");
        assert_eq!(decode(b"th^E9^ ^E0^ la cr^E8^me"), "thé à la crème", "Latin-1");
        assert_eq!(decode(b"^CA^^EE^^F4^^E5^ 3 ^E2^ 1"), "Кофе 3 в 1");
        assert_eq!(decode(b"MARS ^A8^^E6^^B8^"), "MARS Ёжё");
        assert_eq!(decode(b"^FF^"), "ÿ", "one alone proves nothing");
        assert_eq!(decode(b"\xCC\xEE\xEB\xEE\xEA\xEE"), "Молоко", "not escaped");
        assert_eq!(decode(b"^C3^^A9^"), "é", "UTF-8");
        assert_eq!(decode(b"5^ broken^zz^"), "5^ broken^zz^");
        assert_eq!(decode(b"^"), "^");
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(decode(b"COFFEE"), Cow::Borrowed("COFFEE")));
    }

    #[test]
    fn no_zero_byte_comes_through() {
        assert_eq!(decode(b"a\0b"), "a\u{fffd}b");
        assert_eq!(decode(b"^00^\xff"), "\u{fffd}\u{ff}");
    }
}
