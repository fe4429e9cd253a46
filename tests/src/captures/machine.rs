//! Machines. Each family writes its audits in its own order and dialect, as real ones do.

use time::OffsetDateTime;

use super::dialects;

/// How a machine writes its audits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A cold drinks machine: the maker's own MA5 segments, coin tubes, door events.
    Cola,
    /// A snack machine whose controller never computes its checksum and names itself at the end.
    Snack,
    /// A coffee machine whose files a reading tool wraps, with sales by means of payment.
    Coffee,
    /// Equipment from before version 6: numbers with zeros in front, the checksum's bytes swapped.
    Old,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 4] = [Family::Cola, Family::Snack, Family::Coffee, Family::Old];
}

/// A machine; its number decides everything about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    pub(super) family: Family,
    pub(super) number: u32,
}

impl Machine {
    /// The machine of this family and number.
    #[must_use]
    pub fn new(family: Family, number: u32) -> Self {
        Self { family, number }
    }

    /// Its serial.
    #[must_use]
    pub fn serial(&self) -> String {
        let prefix = match self.family {
            Family::Cola => "SIM10",
            Family::Snack => "SIM20",
            Family::Coffee => "SIM30",
            // No letters, and zeros in front that must not be lost.
            Family::Old => "0040",
        };
        format!("{prefix}{:05}", self.number)
    }

    /// Its audit file at one reading; counters grow with the reading's number.
    #[must_use]
    pub fn read(&self, reading: u32, at: OffsetDateTime) -> Vec<u8> {
        match self.family {
            Family::Cola => dialects::cola(*self, reading, at),
            Family::Snack => dialects::snack(*self, reading, at),
            Family::Coffee => dialects::coffee(*self, reading, at),
            Family::Old => dialects::old(*self, reading, at),
        }
    }
}
