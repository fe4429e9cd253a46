//! Dumps: what stands between DXS and DXE, or what is left of it.

use crate::crc::{self, Crc};
use crate::reading::{Reading, Report};
use crate::segment::Segment;
use crate::text::hex;
use crate::warning::{Oddity, Warning, Warnings};

/// One reading of one machine. Borrows the file; holds its lines, not yet what they mean.
#[derive(Clone, Debug)]
pub struct Dump<'a> {
    file: &'a [u8],
    segments: Vec<Segment<'a>>,
    envelope: Envelope,
    warnings: Warnings<'a>,
}

/// The parts of the envelope. `*_at` are offsets in the file, `*_index` places among the segments.
#[derive(Clone, Copy, Debug, Default)]
struct Envelope {
    /// Where the line behind DXS begins.
    body_at: Option<usize>,
    set_at: Option<usize>,
    set_index: usize,
    checksum_at: Option<usize>,
    sent: Option<u16>,
    end_index: Option<usize>,
    has_tail: bool,
    /// There is a counter: this is more than a preamble.
    has_counters: bool,
}

impl Envelope {
    fn has_head(&self) -> bool {
        self.body_at.is_some() || self.set_at.is_some()
    }
}

/// Where a segment stands in the file.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) next: usize,
}

impl<'a> Dump<'a> {
    pub(crate) fn new(file: &'a [u8]) -> Self {
        Self::with_room(file, 0)
    }

    /// One that holds so many segments without growing.
    pub(crate) fn with_room(file: &'a [u8], segments: usize) -> Self {
        Self {
            file,
            segments: Vec::with_capacity(segments),
            envelope: Envelope::default(),
            warnings: Warnings::default(),
        }
    }

    /// The segments in the order of the file, the envelope's and unknown ones included.
    pub fn segments(&self) -> &[Segment<'a>] {
        &self.segments
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The first segment of an identifier.
    pub fn find(&self, id: &[u8]) -> Option<&Segment<'a>> {
        self.segments.iter().find(|segment| segment.id() == id)
    }

    /// What is odd about the lines and the envelope. A [`Reading`] has these, and what is odd about
    /// the elements besides.
    pub fn warnings(&self) -> &[Warning<'a>] {
        &self.warnings.0
    }

    /// Whether the end is missing: neither SE nor DXE came.
    pub fn is_truncated(&self) -> bool {
        let envelope = &self.envelope;
        let is_open = envelope.end_index.is_none() && !envelope.has_tail;
        // Lines of counters without any envelope are what some tools keep of a dump.
        is_open && (envelope.has_head() || !envelope.has_counters)
    }

    /// The checksum and the verdict on it.
    pub fn crc(&self) -> Crc {
        let Envelope { body_at, set_at, checksum_at, sent, .. } = self.envelope;
        let upto = |start: usize| self.file.get(start..checksum_at?);
        match (set_at, body_at) {
            (Some(set), _) => crc::judge(upto(set), sent),
            // Without ST nobody knows where the cover begins; if it is behind DXS, that is proof.
            (None, Some(body)) => Some(crc::judge(upto(body), sent))
                .filter(|crc| crc.status.is_valid())
                .unwrap_or_else(|| crc::judge(None, sent)),
            (None, None) => crc::judge(None, sent),
        }
    }

    /// All that is understood of the dump, borrowing the file.
    pub fn reading(&self) -> Reading<'a> {
        Reading::of(self)
    }

    /// All that is understood of the dump, independent of the file.
    pub fn report(&self) -> Report {
        self.reading().into_owned()
    }

    /// Whether a head begins another dump and not this one: this one has more than a preamble.
    pub(crate) fn is_begun(&self) -> bool {
        let envelope = &self.envelope;
        envelope.has_head()
            || envelope.has_counters
            || envelope.has_tail
            || envelope.end_index.is_some()
            || envelope.checksum_at.is_some()
    }

    /// Whether `ST` begins another dump: this one has its set, and not just before.
    pub(crate) fn has_set(&self) -> bool {
        self.envelope.set_at.is_some() && self.envelope.set_index + 1 < self.segments.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.warnings.0.is_empty()
    }

    pub(crate) fn warn(&mut self, line: u32, oddity: Oddity, text: &'a [u8]) {
        self.warnings.push(line, oddity, text);
    }

    pub(crate) fn add(&mut self, segment: Segment<'a>, place: Place) {
        let line = segment.line();
        let index = self.segments.len();
        let envelope = &mut self.envelope;
        let is_behind = envelope.end_index.is_some() || envelope.has_tail;
        match segment.id() {
            b"DXS" => {
                envelope.body_at.get_or_insert(place.next);
                if let Some(first) = self.segments.first() {
                    self.warnings.push(first.line(), Oddity::BeforeStart, first.raw());
                }
            }
            b"ST" if envelope.set_at.is_none() => {
                envelope.set_at = Some(place.start);
                envelope.set_index = index;
            }
            b"G85" if envelope.checksum_at.is_none() => {
                envelope.checksum_at = Some(place.start);
                envelope.sent = segment.element(1).and_then(hexadecimal);
                if envelope.sent.is_none() {
                    self.warnings.push(line, Oddity::BadChecksum, segment.raw());
                }
            }
            // Cut off behind its star it counts nothing, and is no end.
            b"SE" if envelope.end_index.is_none() => {
                envelope.end_index = segment.element(1).map(|_| index);
            }
            b"DXE" if !envelope.has_tail => {
                envelope.has_tail = true;
                if let Some(at) = segment.raw().iter().position(|byte| *byte == b'<') {
                    self.warnings.push(line, Oddity::Wrapper, &segment.raw()[at..]);
                }
            }
            b"ST" | b"G85" | b"SE" | b"DXE" => self.warnings.push(line, Oddity::Repeated, segment.raw()),
            _ if !segment.is_regular() => self.warnings.push(line, Oddity::NotASegment, segment.raw()),
            id => {
                envelope.has_counters |= is_counter(id);
                if is_behind {
                    self.warnings.push(line, Oddity::AfterEnd, segment.raw());
                }
            }
        }
        self.segments.push(segment);
    }

    /// Judges the envelope when all lines are there. `is_cut`: the last line has no end.
    pub(crate) fn finish(&mut self, is_cut: bool) {
        let first = self.segments.first().map_or(1, Segment::line);
        let last = self.segments.last().map_or(1, Segment::line);
        let Envelope { body_at, set_at, checksum_at, end_index, has_tail, .. } = self.envelope;
        let parts = [
            (body_at.is_some(), first, b"DXS".as_slice()),
            (set_at.is_some(), first, b"ST"),
            (checksum_at.is_some(), last, b"G85"),
            (end_index.is_some(), last, b"SE"),
            (has_tail, last, b"DXE"),
        ];
        if self.is_truncated() {
            let end = self.segments.last().map_or(b"".as_slice(), Segment::raw);
            self.warnings.insist(last, Oddity::Truncated, end);
            if let Some(segment) = self.segments.last_mut()
                && is_cut
            {
                *segment = segment.without_last_element();
            }
        }
        for (is_there, line, id) in parts {
            if !is_there {
                self.warnings.insist(line, Oddity::MissingEnvelope, id);
            }
        }
        self.check_count();
    }

    /// SE01 counts the segments from ST to SE. Many makers are off by one and some by hundreds.
    fn check_count(&mut self) {
        let Envelope { set_at: Some(_), set_index, end_index: Some(end_index), .. } = self.envelope else {
            return;
        };
        let end = self.segments[end_index];
        let counted = end.number(1).ok().flatten().and_then(|count| usize::try_from(count).ok());
        if counted.is_some_and(|counted| end_index.checked_sub(set_index) != counted.checked_sub(1)) {
            self.warnings.push(end.line(), Oddity::SegmentCount, end.raw());
        }
    }
}

/// Whether a segment holds counters; those that only configure or identify may be a preamble.
fn is_counter(id: &[u8]) -> bool {
    matches!(id, [b'V' | b'P' | b'C' | b'D' | b'L' | b'T', b'A', ..] | [b'D', b'B', ..])
}

fn hexadecimal(digits: &[u8]) -> Option<u16> {
    let mut value = 0;
    for digit in digits {
        value = value << 4 | u16::from(hex(*digit)?);
    }
    (digits.len() <= 4).then_some(value)
}
