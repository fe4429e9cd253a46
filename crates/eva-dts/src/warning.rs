//! What is odd in a file, and where.

use std::fmt;

use crate::text::{self, Text};

/// An oddity and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// The line in the file, counted from 1.
    pub line: u32,
    /// What it is.
    pub oddity: Oddity,
    /// The text in question, at most 40 bytes of it.
    pub text: Text<'a>,
}

/// Kinds of oddities. None stops the reading; `Truncated` alone makes a dump unfit for sales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oddity {
    /// What a tool wrote around the dump: `<000|…|daa|…>`.
    Wrapper,
    /// A line that is no segment, or none that the standard's naming allows. It is kept.
    NotASegment,
    /// Bytes that EVA-DTS does not allow: 20h to 7Eh are.
    NotPrintable,
    /// A line that ends otherwise than those before: half of a CRLF was lost, as a rule.
    LineEnd,
    /// A part of the envelope is missing: DXS, ST, G85, SE or DXE.
    MissingEnvelope,
    /// The file ends in the middle. The last element, being cut, is not read.
    Truncated,
    /// SE counts other segments than there are. Many makers' firmware does, so this is no verdict.
    SegmentCount,
    /// Segments in front of DXS. They are read all the same.
    BeforeStart,
    /// A segment behind the end of its set. It is read all the same.
    AfterEnd,
    /// G85 is not four hexadecimal digits.
    BadChecksum,
    /// Two segments on one line: the line end between them is lost.
    Glued,
    /// An element that should be a number is none.
    NotANumber,
    /// An element that should be a date or a time is none.
    NotADate,
    /// The decimals of the currency are not 0 to 4; 2 is taken.
    BadDecimals,
    /// A product segment without a product before it.
    NoProduct,
    /// A product selection that was there before.
    RepeatedProduct,
    /// A segment that comes once and was there before. The first one counts.
    Repeated,
    /// A number that cannot be: a coin of hundreds. It is kept.
    Implausible,
    /// Since reset, more has happened than since initialisation.
    ResetExceedsInit,
    /// More of a kind than any machine has. The rest is not read.
    TooMany,
}

impl Oddity {
    /// The name in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        self.words().0
    }

    /// The name, and what is said of the text.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Oddity::Wrapper => ("wrapper", "a tool's own line"),
            Oddity::NotASegment => ("not_a_segment", "this is no segment"),
            Oddity::NotPrintable => ("not_printable", "bytes that are not allowed"),
            Oddity::LineEnd => ("line_end", "this line ends otherwise than those before"),
            Oddity::MissingEnvelope => ("missing_envelope", "the envelope lacks"),
            Oddity::Truncated => ("truncated", "the file ends in the middle"),
            Oddity::SegmentCount => ("segment_count", "SE counts other segments than there are"),
            Oddity::BeforeStart => ("before_start", "segments in front of the dump"),
            Oddity::AfterEnd => ("after_end", "a segment behind the end"),
            Oddity::BadChecksum => ("bad_checksum", "this should be four hexadecimal digits"),
            Oddity::Glued => ("glued", "two segments on one line"),
            Oddity::NotANumber => ("not_a_number", "this should be a number"),
            Oddity::NotADate => ("not_a_date", "this should be a date or a time"),
            Oddity::BadDecimals => ("bad_decimals", "no currency has these decimals"),
            Oddity::NoProduct => ("no_product", "no product stands before"),
            Oddity::RepeatedProduct => ("repeated_product", "this selection was there before"),
            Oddity::Repeated => ("repeated", "this was there before"),
            Oddity::Implausible => ("implausible", "this cannot be"),
            Oddity::ResetExceedsInit => ("reset_exceeds_init", "more since reset than since initialisation"),
            Oddity::TooMany => ("too_many", "more than any machine has, the rest is not read"),
        }
    }
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.oddity.words().1, self.text)
    }
}

/// The longest text that a warning quotes, in bytes.
const LONGEST: usize = 40;
/// A file of garbage has an oddity a line: this many are told, and that there are more.
const MOST: usize = 1_000;

/// The warnings on one dump.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings<'a>(pub(crate) Vec<Warning<'a>>);

impl<'a> Warnings<'a> {
    pub(crate) fn push(&mut self, line: u32, oddity: Oddity, text: &'a [u8]) {
        let told = self.0.len();
        let text = text::decode(&text[..text.len().min(LONGEST)]);
        if told < MOST {
            self.0.push(Warning { line, oddity, text });
        } else if told == MOST {
            self.0.push(Warning { line, oddity: Oddity::TooMany, text: "warnings".into() });
        }
    }

    /// For what must be known whatever else is odd.
    pub(crate) fn insist(&mut self, line: u32, oddity: Oddity, text: &'a [u8]) {
        self.0.push(Warning { line, oddity, text: text::decode(&text[..text.len().min(LONGEST)]) });
    }
}
