//! Units: what a number of a file counts, and since when.

use std::fmt;

/// Money in minor units of the dump's currency: 1250 is 12.50 where [`Currency::decimals`] is 2.
///
/// [`Currency::decimals`]: crate::Currency::decimals
pub type Minor = u64;

/// A number of things: vends, coins, events.
pub type Count = u64;

/// A counter since initialisation and since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both<T> {
    /// Over the life of the machine's memory: sales are differences of this.
    pub since_init: T,
    /// Since somebody last read with reset, who need not be you. Informs, no more.
    pub since_reset: T,
}

/// A number of things and what they are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    /// How many.
    pub count: Option<Count>,
    /// Worth.
    pub value: Option<Minor>,
}

/// Money with its decimals, for people: displays as `12.50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// The amount in minor units.
    pub minor: Minor,
    /// Digits behind the decimal point.
    pub decimals: u8,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.saturating_pow(self.decimals.into());
        let (whole, part) = (self.minor / unit, self.minor % unit);
        if self.decimals == 0 {
            return f.pad(&whole.to_string());
        }
        f.pad(&format!("{whole}.{part:0width$}", width = self.decimals.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_written_with_its_decimals() {
        let written = |minor, decimals| Money { minor, decimals }.to_string();
        assert_eq!(written(1250, 2), "12.50");
        assert_eq!(written(5, 2), "0.05");
        assert_eq!(written(1250, 0), "1250");
        assert_eq!(written(1250, 1), "125.0");
        assert_eq!(written(u64::MAX, 4), "1844674407370955.1615");
        assert_eq!(written(5, 255), format!("0.{}", "0".repeat(254) + "5"));
        assert_eq!(format!("{:>8}", Money { minor: 1250, decimals: 2 }), "   12.50");
    }
}
