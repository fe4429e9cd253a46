//! What is odd in a file, and where.

use std::fmt;

/// An oddity and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Warning {
    /// The line in the file, counted from 1.
    pub line: u32,
    /// What it is.
    pub oddity: Oddity,
    /// The text in question, at most 40 characters of it.
    pub text: String,
}

/// Kinds of oddities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Oddity {
    /// Text in front of the envelope, or a line that is no segment.
    NotASegment,
    /// The envelope (DXS, ST, SE or DXE) is incomplete.
    MissingEnvelope,
    /// The file ends in the middle.
    Truncated,
    /// SE counts other segments than there are.
    SegmentCount,
    /// An element that should be a number is none.
    NotANumber,
    /// A product segment without a product before it.
    NoProduct,
    /// A product selection that was there before.
    RepeatedProduct,
    /// Bytes that EVA-DTS does not allow.
    NotPrintable,
}

const LONGEST: usize = 40;

impl Warning {
    pub(crate) fn new(line: u32, oddity: Oddity, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&text[..text.len().min(LONGEST)]);
        // A zero byte is legal in a string and not in a database.
        Self { line, oddity, text: text.replace('\0', "\u{fffd}") }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.oddity {
            Oddity::NotASegment => "this is no segment",
            Oddity::MissingEnvelope => "the envelope lacks",
            Oddity::Truncated => "the file ends in the middle",
            Oddity::SegmentCount => "SE counts other segments than there are",
            Oddity::NotANumber => "this should be a number",
            Oddity::NoProduct => "no product stands before",
            Oddity::RepeatedProduct => "this selection was there before",
            Oddity::NotPrintable => "bytes that are not allowed",
        };
        write!(f, "line {}: {what}: {}", self.line, self.text)
    }
}
