//! The checksum: G85.
//!
//! CRC-16/ARC over the bytes from the `S` of `ST*` up to the line end before `G85*`, sent as four
//! hexadecimal digits. Line ends count as CRLF, whatever became of them on the way.

use std::sync::LazyLock;

use memchr::memchr_iter;

/// What controllers send that never compute it.
const PLACEHOLDER: u16 = 0x2321;

/// The verdict on a dump's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CrcStatus {
    /// It matches.
    Valid,
    /// It matches with its bytes swapped, as early equipment sends it.
    ValidSwapped,
    /// It matches when the last line end is left out (NECTA).
    ValidNoFinalCrlf,
    /// It is the constant `2321` of controllers that do not compute it, and does not match.
    Placeholder,
    /// It does not match: a byte was lost or changed.
    Mismatch,
    /// There is none, or nothing that it could cover.
    #[default]
    Absent,
}

impl CrcStatus {
    /// The name in snake case, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            CrcStatus::Valid => "valid",
            CrcStatus::ValidSwapped => "valid_swapped",
            CrcStatus::ValidNoFinalCrlf => "valid_no_final_crlf",
            CrcStatus::Placeholder => "placeholder",
            CrcStatus::Mismatch => "mismatch",
            CrcStatus::Absent => "absent",
        }
    }

    /// Whether the checksum vouches for the bytes.
    pub const fn is_valid(self) -> bool {
        matches!(self, CrcStatus::Valid | CrcStatus::ValidSwapped | CrcStatus::ValidNoFinalCrlf)
    }
}

/// A dump's checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc {
    /// The verdict.
    pub status: CrcStatus,
    /// What the file says.
    pub sent: Option<u16>,
    /// What its bytes give, line ends counted as CRLF.
    pub computed: Option<u16>,
}

/// CRC-16/ARC of some bytes: `crc16(b"123456789") == 0xBB3D`.
pub fn crc16(bytes: &[u8]) -> u16 {
    update(0, bytes)
}

/// How many bytes are taken in at a step.
const STEP: usize = 16;

/// What a byte does to the checksum, by how many bytes come behind it in its step. Made at the first
/// use, which takes microseconds: written into the program they were 8 kB, a twentieth of a function's
/// whole module.
static TABLES: LazyLock<[[u16; 256]; STEP]> = LazyLock::new(|| {
    let mut tables = [[0; 256]; STEP];
    for (byte, entry) in (0..).zip(&mut tables[0]) {
        *entry = (0..8).fold(byte, |sum: u16, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 });
    }
    for behind in 1..STEP {
        for byte in 0..256 {
            let sum = tables[behind - 1][byte];
            tables[behind][byte] = sum >> 8 ^ tables[0][usize::from(sum & 0xFF)];
        }
    }
    tables
});

/// The checksum of more bytes behind those that gave `sum`.
fn update(sum: u16, bytes: &[u8]) -> u16 {
    let tables = &*TABLES;
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let sum = steps.iter().fold(sum, |sum, step| {
        // The bytes that do not meet the sum come first: the processor need not wait for it with them.
        let others = (2..STEP).fold(0, |others, at| others ^ tables[STEP - 1 - at][usize::from(step[at])]);
        let [low, high] = sum.to_le_bytes();
        others ^ tables[STEP - 1][usize::from(step[0] ^ low)] ^ tables[STEP - 2][usize::from(step[1] ^ high)]
    });
    rest.iter().fold(sum, |sum, byte| sum >> 8 ^ tables[0][usize::from((sum & 0xFF) as u8 ^ byte)])
}

/// Judges the bytes between `ST*` and `G85*`, the latter's value beside them.
pub(crate) fn judge(covered: Option<&[u8]>, sent: Option<u16>) -> Crc {
    let (Some(covered), Some(sent)) = (covered, sent) else {
        return Crc { status: CrcStatus::Absent, sent, computed: None };
    };
    let mut sums = as_it_stands(covered);
    let mut verdict = sums.verdict(sent);
    if verdict != Some(CrcStatus::Valid) && !is_crlf(covered) {
        // Either may match by chance in one of the lesser ways; that line ends were changed on the way
        // is the likelier story.
        let crlf = with_crlf(covered);
        if let Some(better) = crlf.verdict(sent).filter(|_| crlf.whole != sums.whole) {
            (sums, verdict) = (crlf, Some(better));
        } else if verdict.is_none() {
            sums = crlf;
        }
    }
    let otherwise = if sent == PLACEHOLDER { CrcStatus::Placeholder } else { CrcStatus::Mismatch };
    Crc { status: verdict.unwrap_or(otherwise), sent: Some(sent), computed: Some(sums.whole) }
}

/// The checksum with and without the last line end.
struct Sums {
    whole: u16,
    without_end: u16,
}

impl Sums {
    fn verdict(&self, sent: u16) -> Option<CrcStatus> {
        if sent == self.whole {
            Some(CrcStatus::Valid)
        } else if sent == self.whole.swap_bytes() {
            Some(CrcStatus::ValidSwapped)
        } else if sent == self.without_end {
            Some(CrcStatus::ValidNoFinalCrlf)
        } else {
            None
        }
    }
}

fn as_it_stands(covered: &[u8]) -> Sums {
    let (text, end) = covered.split_at(covered.trim_ascii_end().len());
    let without_end = crc16(text);
    Sums { whole: update(without_end, end), without_end }
}

/// Whether every line ends with CRLF as it stands, and none is empty.
fn is_crlf(covered: &[u8]) -> bool {
    let mut feeds = 0;
    let mut line = 0;
    for feed in memchr_iter(b'\n', covered) {
        if feed < line + 2 || covered[feed - 1] != b'\r' {
            return false;
        }
        line = feed + 1;
        feeds += 1;
    }
    line == covered.len() && memchr_iter(b'\r', covered).count() == feeds
}

/// Whatever ends a line counts as CRLF, and empty lines do not count: some tools write CRCRLF.
fn with_crlf(covered: &[u8]) -> Sums {
    let mut sums = Sums { whole: 0, without_end: 0 };
    for line in covered.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()) {
        sums.without_end = update(sums.whole, line);
        sums.whole = update(sums.without_end, b"\r\n");
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = b"ST*001*0001\r\nID1*A*B\r\n";

    fn status(covered: Option<&[u8]>, sent: Option<u16>) -> CrcStatus {
        judge(covered, sent).status
    }

    #[test]
    fn it_is_crc_16_arc() {
        assert_eq!(crc16(b"123456789"), 0xBB3D);
    }

    #[test]
    fn it_is_so_at_any_length_and_from_any_part() {
        let bytes: Vec<u8> = (0..100_u8).map(|number| number.wrapping_mul(37)).collect();
        let one_by_one = |bytes: &[u8]| {
            bytes.iter().fold(0_u16, |sum, byte| {
                (0..8).fold(
                    sum ^ u16::from(*byte),
                    |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 },
                )
            })
        };
        for length in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..length]), one_by_one(&bytes[..length]), "{length}");
            assert_eq!(update(crc16(&bytes[..length]), &bytes[length..]), one_by_one(&bytes), "{length}");
        }
    }

    #[test]
    fn each_verdict_is_reached() {
        let right = crc16(LINES);
        let short = crc16(&LINES[..LINES.len() - 2]);
        assert_eq!(status(Some(LINES), Some(right)), CrcStatus::Valid);
        assert_eq!(status(Some(LINES), Some(right.swap_bytes())), CrcStatus::ValidSwapped);
        assert_eq!(status(Some(LINES), Some(short)), CrcStatus::ValidNoFinalCrlf);
        assert_eq!(status(Some(LINES), Some(PLACEHOLDER)), CrcStatus::Placeholder);
        assert_eq!(status(Some(LINES), Some(right ^ 1)), CrcStatus::Mismatch);
        assert_eq!(status(Some(LINES), None), CrcStatus::Absent);
        assert_eq!(status(None, Some(right)), CrcStatus::Absent);
    }

    #[test]
    fn line_ends_do_not_matter() {
        let short = crc16(&LINES[..LINES.len() - 2]);
        for ends in ["\n", "\r", "\r\r\n", "\r\n\r\n"] {
            let lines = String::from_utf8_lossy(LINES).replace("\r\n", ends);
            let covered = Some(lines.as_bytes());
            assert_eq!(status(covered, Some(crc16(LINES))), CrcStatus::Valid, "{ends:?}");
            assert_eq!(status(covered, Some(short)), CrcStatus::ValidNoFinalCrlf, "{ends:?}");
        }
    }

    #[test]
    fn a_chance_match_of_changed_line_ends_does_not_hide_the_right_one() {
        // Found by fuzzing.
        let lesser = |lines: &str, right| as_it_stands(lines.as_bytes()).verdict(right);
        let covered = (0..1_000_000_u32).find_map(|number| {
            let lines = format!("ST*001*0001\nID1*{number}\nVA1*5*1\nVA2*0*0\n");
            let right = crc16(lines.replace('\n', "\r\n").as_bytes());
            lesser(&lines, right).is_some_and(|status| status != CrcStatus::Valid).then_some((lines, right))
        });
        let (lines, right) = covered.unwrap();
        assert_eq!(status(Some(lines.as_bytes()), Some(right)), CrcStatus::Valid);
    }

    #[test]
    fn a_checksum_over_bare_line_feeds_holds_too() {
        let lines = b"ST*001*0001\nID1*A*B\n";
        assert_eq!(status(Some(lines), Some(crc16(lines))), CrcStatus::Valid);
    }
}
