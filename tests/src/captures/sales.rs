//! What a machine has sold up to a reading. Made from the machine's number alone: the same machine
//! and reading always give the same counters, and each reading's are at least those of the one before.

/// A collection of the cash box resets the interval counters at every so many readings.
const READINGS_A_RESET: u32 = 4;

/// A number of vends and what they were worth, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sold {
    pub(super) count: u32,
    pub(super) value: u32,
}

impl Sold {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, value: self.value + other.value }
    }

    fn minus(self, other: Self) -> Self {
        Self { count: self.count - other.count, value: self.value - other.value }
    }
}

/// A selection's counters at one reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) cash: Sold,
    pub(super) cashless: Sold,
}

impl Counters {
    pub(super) fn all(self) -> Sold {
        self.cash.plus(self.cashless)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { cash: self.cash.plus(other.cash), cashless: self.cashless.plus(other.cashless) }
    }

    fn minus(self, other: Self) -> Self {
        Self { cash: self.cash.minus(other.cash), cashless: self.cashless.minus(other.cashless) }
    }
}

/// A selection at one reading.
pub(super) struct Selection {
    pub(super) price: u32,
    pub(super) capacity: u32,
    pub(super) since_init: Counters,
    pub(super) since_reset: Counters,
}

/// The selections of a machine at one reading.
pub(super) fn selections(seed: u64, count: u32, cashless: bool, reading: u32) -> Vec<Selection> {
    let reset = reading - reading % READINGS_A_RESET;
    (0..count)
        .map(|index| {
            let price = 80 + 10 * chance(seed, index, 0, 24);
            let at = |reading| counters(seed, index, price, cashless, reading);
            let since_init = at(reading);
            Selection {
                price,
                capacity: 8 + 2 * chance(seed, index, 1, 6),
                since_init,
                since_reset: since_init.minus(at(reset)),
            }
        })
        .collect()
}

fn counters(seed: u64, index: u32, price: u32, cashless: bool, reading: u32) -> Counters {
    let mut counters = Counters::default();
    // The first sales are those of the time before the first reading; then 0 to 5 between two.
    let before = 20 + chance(seed, index, 2, 400);
    for (turn, count) in
        std::iter::once(before).chain((1..=reading).map(|turn| chance(seed, index, 10 + turn, 6))).enumerate()
    {
        let turn = u32::try_from(turn).unwrap_or(u32::MAX);
        let by_card = if cashless { chance(seed ^ 1, index, turn, count + 1) } else { 0 };
        let sold = |count| Sold { count, value: count * price };
        counters.cashless = counters.cashless.plus(sold(by_card));
        counters.cash = counters.cash.plus(sold(count - by_card));
    }
    counters
}

/// A number below `end`, decided by the others: SplitMix64.
pub(super) fn chance(seed: u64, index: u32, turn: u32, end: u32) -> u32 {
    let mut mixed = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(u64::from(index) << 32 | u64::from(turn))
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    u32::try_from(mixed % u64::from(end.max(1))).unwrap_or(0)
}
