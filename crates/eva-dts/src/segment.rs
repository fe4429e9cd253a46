//! Lines and their elements, without a copy.

use std::borrow::Cow;

/// The value that means "never set" in 32-bit controllers.
const UNSET: u64 = u32::MAX as u64;

/// One line: an identifier and its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    id: &'a [u8],
    elements: &'a [u8],
    line: u32,
}

impl<'a> Segment<'a> {
    /// Reads a line without its end; `None` for an empty one.
    pub(crate) fn read(line: &'a [u8], number: u32) -> Option<Self> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return None;
        }
        let star = line.iter().position(|byte| *byte == b'*').unwrap_or(line.len());
        let elements = line.get(star + 1..).unwrap_or_default();
        Some(Self { id: line[..star].trim_ascii(), elements, line: number })
    }

    /// The identifier: `PA2`.
    pub fn id(&self) -> &'a [u8] {
        self.id
    }

    /// Whether the identifier looks like one: two or three capitals and digits.
    pub fn is_regular(&self) -> bool {
        matches!(self.id.len(), 2..=5)
            && self.id.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    }

    /// The line in the file, counted from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The elements as they stand, empty ones included.
    pub fn elements(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.elements.split(|byte| *byte == b'*')
    }

    /// An element by the specification's number, from 1; `None` when absent or empty.
    pub fn element(&self, number: usize) -> Option<&'a [u8]> {
        let element = self.elements().nth(number.checked_sub(1)?)?.trim_ascii();
        (!element.is_empty()).then_some(element)
    }

    /// An element as text, with its `^XX^` escapes undone.
    pub fn text(&self, number: usize) -> Option<Cow<'a, str>> {
        self.element(number).map(unescape)
    }

    /// An element as a number: leading zeros and blanks do not count, the unset mark is `None`.
    /// `Err` when it is something else.
    pub fn number(&self, number: usize) -> Result<Option<u64>, &'a [u8]> {
        let Some(digits) = self.element(number) else {
            return Ok(None);
        };
        match parse(digits) {
            Some(UNSET) => Ok(None),
            Some(value) => Ok(Some(value)),
            None => Err(digits),
        }
    }
}

fn parse(digits: &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// `^2A^` is an asterisk. What the escapes above 7Fh mean depends on the maker's code page, which
/// no file names: UTF-8 where it fits, else Latin-1.
fn unescape(raw: &[u8]) -> Cow<'_, str> {
    if !raw.contains(&b'^') && raw.is_ascii() && !raw.contains(&0) {
        return String::from_utf8_lossy(raw);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'^', [high, low, b'^', after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => error.into_bytes().into_iter().map(char::from).collect(),
    };
    Cow::Owned(text.replace('\0', "\u{fffd}"))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit & 0x5f) - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(line: &str) -> Segment<'_> {
        Segment::read(line.as_bytes(), 1).unwrap()
    }

    #[test]
    fn elements_are_numbered_from_one_and_empty_ones_are_absent() {
        let segment = segment("CA3*100**  25 *00000012*4294967295*7x*");
        assert_eq!(segment.id(), b"CA3");
        assert_eq!(segment.number(1), Ok(Some(100)));
        assert_eq!(segment.number(2), Ok(None));
        assert_eq!(segment.number(3), Ok(Some(25)));
        assert_eq!(segment.number(4), Ok(Some(12)));
        assert_eq!(segment.number(5), Ok(None), "the mark for unset");
        assert_eq!(segment.number(6), Err(b"7x".as_slice()));
        assert_eq!(segment.number(7), Ok(None));
        assert_eq!(segment.number(0), Ok(None));
        assert_eq!(segment.number(99), Ok(None));
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(segment("PA1*01*100*A^2A^B").text(3).unwrap(), "A*B");
        assert_eq!(segment("PA1*01*100*^D7^^E8^").text(3).unwrap(), "\u{d7}\u{e8}");
        assert_eq!(segment("PA1*01*100*^C3^^A9^").text(3).unwrap(), "é");
        assert_eq!(segment("PA1*01*100*5^ broken^zz^").text(3).unwrap(), "5^ broken^zz^");
    }

    #[test]
    fn a_number_too_large_is_no_number_and_no_panic() {
        assert!(segment("VA1*99999999999999999999999").number(1).is_err());
    }
}
