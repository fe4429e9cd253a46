//! The ways in which captures arrive spoiled.

/// What happened to a file on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// A digit was lost in the middle: the checksum does not match.
    LostByte,
    /// The end is missing.
    Truncated,
    /// Line ends lost their carriage returns.
    UnixLines,
    /// Bytes that are no text stand in the middle.
    NotText,
    /// Two dumps in one file.
    Doubled,
    /// Nothing is left.
    Empty,
    /// The same lines over and over: 2 MB.
    Huge,
}

impl Spoil {
    /// Spoils a file.
    #[must_use]
    pub fn apply(self, file: &[u8]) -> Vec<u8> {
        let middle = file.len() / 2;
        match self {
            Spoil::LostByte => {
                let lost = first_digit(&file[middle..]).map_or(middle, |at| middle + at);
                [&file[..lost], &file[lost + 1..]].concat()
            }
            Spoil::Truncated => file[..middle].to_vec(),
            Spoil::UnixLines => file.iter().copied().filter(|byte| *byte != b'\r').collect(),
            Spoil::NotText => {
                let mut spoiled = file.to_vec();
                spoiled[middle..middle + 3].copy_from_slice(&[0xff, 0x00, 0xfe]);
                spoiled
            }
            Spoil::Doubled => [file, file].concat(),
            Spoil::Empty => Vec::new(),
            Spoil::Huge => file.repeat(2_000_000 / file.len().max(1) + 1),
        }
    }
}

/// The first digit of an element: a line end that loses its return is no damage to a checksum.
fn first_digit(file: &[u8]) -> Option<usize> {
    let pair = file.windows(2).position(|pair| pair[0] == b'*' && pair[1].is_ascii_digit())?;
    Some(pair + 1)
}
