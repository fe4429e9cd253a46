//! From a file to its dumps: line ends, wrappers, and where a dump begins.

use memchr::memchr_iter;

use crate::dump::{Dump, Place};
use crate::segment::Segment;
use crate::warning::Oddity;

/// What Windows tools write in front of text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file. It holds one dump as a rule; some tools write several into one. Always gives at
/// least one, be it empty.
///
/// Takes time and memory in proportion to the file: a segment is 24 bytes beside it.
pub fn parse(file: &[u8]) -> Vec<Dump<'_>> {
    // Lines have some twenty bytes. More room than a capture needs is not for a file of garbage, nor for
    // each of many dumps.
    let dump = Dump::with_room(file, (file.len() / 16).min(1_024));
    let mut parser = Parser { file, dumps: Vec::new(), dump, line_end: None };
    let mut heads = memchr_iter(b'X', file).filter_map(|at| head(file, at)).peekable();
    let mut start = if file.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let mut number = 0;
    while start < file.len() {
        let (length, is_printable) = line_length(&file[start..]);
        let end = start + length;
        // CRLF is one line end, LF and CR alone are one each.
        let next = end + if file[end..].starts_with(b"\r\n") { 2 } else { 1 };
        number += 1;
        if !is_printable {
            parser.dump.warn(number, Oddity::NotPrintable, &file[start..end]);
        }
        while let Some(head) = heads.next_if(|head| *head < end) {
            if head > start && is_head_within(&file[start..end], head - start) {
                parser.front(number, start, head);
                start = head;
            }
        }
        parser.line(number, Place { start, next }, &file[start..end]);
        if end > start && next <= file.len() {
            parser.line_end(number, &file[end..next], &file[start..end]);
        }
        start = next;
    }
    parser.finish(!file.ends_with(b"\n") && !file.ends_with(b"\r"))
}

struct Parser<'a> {
    file: &'a [u8],
    dumps: Vec<Dump<'a>>,
    dump: Dump<'a>,
    /// How the lines of this dump end: CRLF, LF or CR.
    line_end: Option<&'a [u8]>,
}

impl<'a> Parser<'a> {
    fn line(&mut self, number: u32, place: Place, text: &'a [u8]) {
        let Some(segment) = Segment::read(text, number) else { return };
        if segment.raw().starts_with(b"<") {
            self.dump.warn(number, Oddity::Wrapper, segment.raw());
            return;
        }
        let begins = match segment.id() {
            b"DXS" => self.dump.is_begun(),
            b"ST" => self.dump.has_set(),
            _ => false,
        };
        if begins {
            self.begin(false);
        }
        self.dump.add(segment, place);
    }

    fn line_end(&mut self, number: u32, end: &'a [u8], text: &'a [u8]) {
        if *self.line_end.get_or_insert(end) != end {
            self.dump.warn(number, Oddity::LineEnd, text);
        }
    }

    /// What stands on its line in front of a head: a tool's wrapper, or the last that came of a dump
    /// that was cut off.
    fn front(&mut self, number: u32, start: usize, head: usize) {
        let text = &self.file[start..head];
        let is_cut = !text.ends_with(b">");
        self.line(number, Place { start, next: head }, text);
        if self.dump.is_begun() {
            self.begin(is_cut);
        }
    }

    /// Ends the dump and begins the next.
    fn begin(&mut self, is_cut: bool) {
        let mut done = std::mem::replace(&mut self.dump, Dump::new(self.file));
        done.finish(is_cut);
        self.dumps.push(done);
        self.line_end = None;
    }

    fn finish(mut self, is_cut: bool) -> Vec<Dump<'a>> {
        if !self.dump.is_empty() || self.dumps.is_empty() {
            self.dump.finish(is_cut);
            self.dumps.push(self.dump);
        }
        self.dumps
    }
}

/// Where `DXS*` begins, given its X.
fn head(file: &[u8], x: usize) -> Option<usize> {
    let start = x.checked_sub(1)?;
    file[start..].starts_with(b"DXS*").then_some(start)
}

/// Whether `DXS*` in the middle of a line is a head, and not an element that reads so: a wrapper ends
/// before it, or the communication identifier and `VA` follow.
fn is_head_within(line: &[u8], at: usize) -> bool {
    let (front, head) = line.split_at(at);
    let is_wrapped = front.ends_with(b">") || front.trim_ascii_end().ends_with(b">");
    is_wrapped || head.get(14..18) == Some(b"*VA*")
}

/// How long the line is that the text begins with, and whether all its bytes are those that EVA-DTS
/// allows.
fn line_length(text: &[u8]) -> (usize, bool) {
    let mut is_printable = true;
    let mut at = 0;
    loop {
        at += printable_length(&text[at..]);
        match text.get(at) {
            None | Some(b'\r' | b'\n') => return (at, is_printable),
            Some(_) => is_printable = false,
        }
        at += 1;
    }
}

/// How many bytes from 20h to 7Eh the text begins with. Lines are short, and this is most of the work
/// on them: eight bytes are looked at in one.
fn printable_length(text: &[u8]) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte is set where it is below 20h, above 7Eh, or has it already. A borrow
        // may set it in bytes behind one that is too low, never in one before.
        let odd = (word.wrapping_sub(EACH * 0x20) | word.wrapping_add(EACH) | word) & HIGH;
        if odd != 0 {
            return place * 8 + odd.trailing_zeros() as usize / 8;
        }
    }
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~');
    text.len() - rest.len() + rest.iter().position(|byte| !is_printable(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_printable_is_found_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                // Behind it the extremes, which must not come through.
                let mut text = [b" ~".repeat(20), b"\0\x7F\xFF ".repeat(5)].concat();
                text[at] = byte;
                let expected = if matches!(byte, b' '..=b'~') { 40 } else { at };
                assert_eq!(printable_length(&text), expected, "{byte} at {at}");
                assert_eq!(printable_length(&text[..20]), expected.min(20), "{byte} at {at}");
            }
        }
        assert_eq!(line_length(b"a\0b\xFF\r\n"), (4, false));
        assert_eq!(line_length(b"PA2*65*8125*3*375\n"), (17, true));
        assert_eq!(line_length(b""), (0, true));
    }
}
