//! Lines and their elements, without a copy.

use crate::text::{self, Text};

/// The value that 32-bit controllers send for "never set".
const UNSET: u64 = u32::MAX as u64;

/// One line: an identifier and its elements, `PA2*65*8125`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    text: &'a [u8],
    line: u32,
    /// Where the first star stands, or the end.
    star: u16,
    id_length: u16,
}

impl<'a> Segment<'a> {
    /// Reads a line without its end; `None` for an empty one.
    pub(crate) fn read(line: &'a [u8], number: u32) -> Option<Self> {
        let text = trim(line);
        if text.is_empty() {
            return None;
        }
        let star = text.iter().position(|byte| *byte == b'*').unwrap_or(text.len());
        // An identifier of 64 kB is no identifier.
        let star = u16::try_from(star).unwrap_or(0);
        let mut id_length = star;
        while id_length > 0 && text[usize::from(id_length) - 1].is_ascii_whitespace() {
            id_length -= 1;
        }
        Some(Self { text, line: number, star, id_length })
    }

    /// The identifier: `PA2`.
    pub fn id(&self) -> &'a [u8] {
        &self.text[..self.id_length.into()]
    }

    /// The whole line as it stands, without its end.
    pub fn raw(&self) -> &'a [u8] {
        self.text
    }

    /// The line in the file, counted from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Whether the identifier looks like one: two to five capitals and digits.
    pub fn is_regular(&self) -> bool {
        let id = self.id();
        matches!(id.len(), 2..=5) && id.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    }

    /// The elements as they stand, empty ones included.
    pub fn elements(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let elements = self.text.get(usize::from(self.star) + 1..).unwrap_or_default();
        elements.split(|byte| *byte == b'*')
    }

    /// An element by the standard's number, from 1; `None` when absent or empty.
    pub fn element(&self, number: usize) -> Option<&'a [u8]> {
        let element = self.elements().nth(number.checked_sub(1)?)?.trim_ascii();
        (!element.is_empty()).then_some(element)
    }

    /// An element as text, with its `^XX^` escapes undone.
    pub fn text(&self, number: usize) -> Option<Text<'a>> {
        self.element(number).map(text::decode)
    }

    /// An element as a number: leading zeros and blanks do not count, the mark for unset is `None`.
    ///
    /// # Errors
    /// The element, when it is no number.
    pub fn number(&self, number: usize) -> Result<Option<u64>, &'a [u8]> {
        self.element(number).map_or(Ok(None), parse_number)
    }

    /// The segment without its last element, which the end of the file cut short.
    pub(crate) fn without_last_element(self) -> Self {
        let end = self.text.iter().rposition(|byte| *byte == b'*').unwrap_or(self.text.len());
        Self { text: &self.text[..end], ..self }
    }
}

/// A trimmed, non-empty element as a number.
#[expect(clippy::inline_always, reason = "most elements are numbers, and the functions compile for size")]
#[inline(always)]
pub(crate) fn parse_number(digits: &[u8]) -> Result<Option<u64>, &[u8]> {
    let mut value: u64 = 0;
    // Nineteen digits fit whatever they are. Checks at each of them are what this would take its time
    // for, above all in wasm.
    let (front, back) = digits.split_at(digits.len().min(19));
    for digit in front {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(digits);
        }
        value = value * 10 + u64::from(digit);
    }
    for digit in back {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(digits);
        }
        value = value.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit))).ok_or(digits)?;
    }
    Ok((value != UNSET).then_some(value))
}

/// Without blanks and control characters at both ends: tools leave XON, NUL and Ctrl-Z there.
fn trim(mut line: &[u8]) -> &[u8] {
    while let [0..=b' ' | 0x7F, rest @ ..] | [rest @ .., 0..=b' ' | 0x7F] = line {
        line = rest;
    }
    line
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
    fn a_number_too_large_is_no_number_and_no_panic() {
        assert!(segment("VA1*99999999999999999999999").number(1).is_err());
        assert_eq!(segment("VA1*18446744073709551615").number(1), Ok(Some(u64::MAX)));
    }

    #[test]
    fn blanks_and_control_characters_around_a_line_do_not_count() {
        assert_eq!(Segment::read(b"\x11\x02 VA1*5 \x1a\0", 1).unwrap().raw(), b"VA1*5");
        assert_eq!(Segment::read(b" \0\x1a", 1), None);
    }

    #[test]
    fn a_line_without_elements_has_none() {
        assert_eq!(segment("ST").element(1), None);
        assert_eq!(segment("ST").elements().count(), 1);
        assert_eq!(segment("*1").id(), b"");
    }
}
