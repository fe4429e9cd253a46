//! The ways in which captures arrive spoiled.

/// What happened to a file on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// A byte was lost in the middle: the checksum does not match.
    LostByte,
    /// The end is missing.
    Truncated,
    /// Line ends lost their carriage returns.
    UnixLines,
    /// Bytes that are no text stand in a name.
    NotText,
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
            Spoil::LostByte => [&file[..middle], &file[middle + 1..]].concat(),
            Spoil::Truncated => file[..middle].to_vec(),
            Spoil::UnixLines => file.iter().copied().filter(|byte| *byte != b'\r').collect(),
            Spoil::NotText => {
                let mut spoiled = file.to_vec();
                spoiled[middle..middle + 3].copy_from_slice(&[0xff, 0x00, 0xfe]);
                spoiled
            }
            Spoil::Empty => Vec::new(),
            Spoil::Huge => file.repeat(2_000_000 / file.len().max(1) + 1),
        }
    }
}
