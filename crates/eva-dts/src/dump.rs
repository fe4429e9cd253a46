//! Files and the dumps in them.

use crate::crc::{self, Crc};
use crate::report::Report;
use crate::segment::Segment;
use crate::warning::{Oddity, Warning};

/// One reading of one machine: what stands between DXS and DXE, or what is left of it.
#[derive(Debug)]
pub struct Dump<'a> {
    file: &'a [u8],
    segments: Vec<Segment<'a>>,
    /// Where in the file the checksum's cover begins and ends.
    covered: (Option<usize>, Option<usize>),
    warnings: Vec<Warning>,
}

/// Reads a file. It holds one dump as a rule; some tools write several into one. Always gives at
/// least one, be it empty.
pub fn parse(file: &[u8]) -> Vec<Dump<'_>> {
    let mut dumps = Vec::new();
    let mut dump = Dump::new(file);
    let mut number = 0;
    let mut rest = 0;
    while rest < file.len() {
        let end = file[rest..]
            .iter()
            .position(|byte| matches!(byte, b'\n' | b'\r'))
            .map_or(file.len(), |at| rest + at);
        number += 1;
        let start = rest + wrapper(&file[rest..end]);
        if let Some(segment) = Segment::read(&file[start..end], number) {
            if segment.id() == b"DXS" && dump.is_begun() {
                dumps.push(std::mem::replace(&mut dump, Dump::new(file)));
            }
            dump.add(segment, start);
        }
        // CRLF is one line end, LF and CR alone are one each.
        rest = end + if file[end..].starts_with(b"\r\n") { 2 } else { 1 };
    }
    if dump.is_begun() || dumps.is_empty() {
        dumps.push(dump);
    }
    for dump in &mut dumps {
        dump.check_envelope();
    }
    dumps
}

/// The length of what a tool wrote in front of `DXS*` on its line, e.g. NECTA's `<000|…|daa|…>`.
fn wrapper(line: &[u8]) -> usize {
    if !line.starts_with(b"<") {
        return 0;
    }
    line.windows(5).position(|window| window == b">DXS*").map_or(0, |at| at + 1)
}

impl<'a> Dump<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self { file, segments: Vec::new(), covered: (None, None), warnings: Vec::new() }
    }

    /// The segments in the order of the file, the envelope's included.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The checksum and the verdict on it.
    pub fn crc(&self) -> Crc {
        let sent = self.find(b"G85").and_then(|segment| hexadecimal(segment.element(1)?));
        let covered = match self.covered {
            (Some(start), Some(end)) if start < end => self.file.get(start..end),
            _ => None,
        };
        crc::judge(covered, sent)
    }

    /// All that is understood of the dump.
    pub fn report(&self) -> Report {
        crate::read::report(self)
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    pub(crate) fn find(&self, id: &[u8]) -> Option<&Segment<'a>> {
        self.segments.iter().find(|segment| segment.id() == id)
    }

    fn is_begun(&self) -> bool {
        self.segments.iter().any(|segment| matches!(segment.id(), b"DXS" | b"ST")) || self.segments.len() > 1
    }

    fn add(&mut self, segment: Segment<'a>, start: usize) {
        match segment.id() {
            b"ST" => {
                self.covered.0.get_or_insert(start);
            }
            b"G85" => {
                self.covered.1.get_or_insert(start);
            }
            id if !segment.is_regular() => {
                let oddity = if id.is_ascii() { Oddity::NotASegment } else { Oddity::NotPrintable };
                self.warnings.push(Warning::new(segment.line(), oddity, id));
            }
            _ => {}
        }
        self.segments.push(segment);
    }

    fn check_envelope(&mut self) {
        let last = self.segments.last().map_or(1, Segment::line);
        for id in [b"DXS".as_slice(), b"ST"] {
            if self.find(id).is_none() {
                let first = self.segments.first().map_or(1, Segment::line);
                self.warnings.push(Warning::new(first, Oddity::MissingEnvelope, id));
            }
        }
        let end = self.find(b"SE").filter(|end| end.element(1).is_some()).copied();
        match end {
            None => self.warnings.push(Warning::new(last, Oddity::Truncated, b"SE")),
            Some(end) => self.check_count(&end),
        }
        if end.is_some() && self.find(b"DXE").is_none() {
            self.warnings.push(Warning::new(last, Oddity::MissingEnvelope, b"DXE"));
        }
    }

    /// SE01 counts the segments from ST to SE. Many makers are off by one and some by hundreds, so
    /// this is no verdict on the file.
    fn check_count(&mut self, end: &Segment<'a>) {
        let from = self.segments.iter().position(|segment| segment.id() == b"ST");
        let to = self.segments.iter().position(|segment| segment.id() == b"SE");
        if let (Some(from), Some(to), Ok(Some(counted))) = (from, to, end.number(1))
            && usize::try_from(counted).is_ok_and(|counted| to >= from && counted != to - from + 1)
        {
            let text = format!("{counted} for {}", to - from + 1);
            self.warnings.push(Warning::new(end.line(), Oddity::SegmentCount, text.as_bytes()));
        }
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 4)?;
    u16::from_str_radix(digits, 16).ok()
}
