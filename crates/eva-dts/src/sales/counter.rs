//! One counter: how far it came, and whether it came round.

/// The part of its range that a counter may have come past its end to be taken for wrapped. Beyond
/// it, a lower number means a counter that was set back.
const PLAUSIBLE: u64 = 16;

/// A counter since initialisation, as far as it was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Followed {
    value: u64,
    /// It fell alone, the machine's other counters did not: either this is a slip of one capture, or
    /// somebody set it back. The next capture tells.
    fallen_to: Option<u64>,
}

/// What a lower number means for the machine as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fall {
    /// This counter fell, the machine ran on.
    Alone,
    /// The machine began again at zero.
    ToZero,
    /// The machine's memory was set back.
    Back,
}

impl Followed {
    pub(super) fn from(value: u64) -> Self {
        Self { value, fallen_to: None }
    }

    pub(super) fn value(self) -> u64 {
        self.value
    }

    /// Follows the counter to its next value, and gives what it gained.
    pub(super) fn advance(&mut self, new: u64, fall: Fall) -> u64 {
        let Self { value: old, fallen_to } = *self;
        let (value, fallen_to, gained) = match (fall, fallen_to) {
            (_, Some(low)) if (low..old).contains(&new) => (new, None, new - low),
            (_, _) if new >= old => (new, None, new - old),
            (Fall::ToZero, _) => (new, None, new),
            (Fall::Back, _) => (new, None, 0),
            (Fall::Alone, _) => match wrapped(old, new) {
                Some(gained) => (new, None, gained),
                None => (old, Some(new), 0),
            },
        };
        *self = Self { value, fallen_to };
        gained
    }
}

/// What a counter gained that came round: from 99,999,999 to 0 as the standard has it, from 999,999
/// where fields have six digits, or at the end of a register of 16 to 32 bits. `None` when none of
/// these is near enough.
///
/// No two ends are so near each other that one number could belong to both, or else a capture in
/// between could change the total. For that reason 20 bits are not among them: 1,048,576 is too near
/// to 1,000,000.
pub(super) fn wrapped(old: u64, new: u64) -> Option<u64> {
    let registers = (16..=32).filter(|bits| *bits != 20).map(|bits| 1 << bits);
    registers.chain([1_000_000, 100_000_000]).find_map(|end: u64| {
        let gained = end.checked_sub(old).filter(|rest| *rest > 0)?.checked_add(new)?;
        (gained <= end / PLAUSIBLE).then_some(gained)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a counter through captures of a machine that ran on.
    fn gained(values: &[u64]) -> u64 {
        let mut counter = Followed::from(values[0]);
        values[1..].iter().map(|value| counter.advance(*value, Fall::Alone)).sum()
    }

    #[test]
    fn a_counter_gains_what_it_rises() {
        assert_eq!(gained(&[100, 100, 107]), 7);
    }

    #[test]
    fn a_counter_comes_round_at_the_end_of_its_digits_or_register() {
        assert_eq!(gained(&[99_999_990, 15]), 25);
        assert_eq!(gained(&[999_999, 0]), 1);
        for bits in [16, 24, 31, 32] {
            assert_eq!(gained(&[(1 << bits) - 3, 4]), 7, "{bits} bits");
        }
    }

    #[test]
    fn a_capture_between_changes_nothing_when_a_counter_comes_round() {
        assert_eq!(gained(&[99_999_990, 99_999_998, 15]), gained(&[99_999_990, 15]));
        assert_eq!(gained(&[99_999_990, 3, 15]), gained(&[99_999_990, 15]));
    }

    #[test]
    fn every_number_belongs_to_one_end_at_most() {
        let ends = (16..=32).filter(|bits| *bits != 20).map(|bits| 1_u64 << bits);
        let mut ends: Vec<u64> = ends.chain([1_000_000, 100_000_000]).collect();
        ends.sort_unstable();
        for pair in ends.windows(2) {
            assert!(pair[1] - pair[1] / PLAUSIBLE >= pair[0], "{pair:?}");
        }
    }

    #[test]
    fn a_slip_of_one_capture_is_no_sale_and_hides_none() {
        assert_eq!(gained(&[25_685, 2_568, 25_690]), 5);
    }

    #[test]
    fn a_counter_that_was_set_back_counts_on_from_there() {
        assert_eq!(gained(&[500, 3, 5, 9]), 6);
        assert_eq!(gained(&[500, 3, 0, 4]), 4);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        assert_eq!(gained(&[u64::MAX, 0, u64::MAX]), 0);
        assert_eq!(gained(&[0, u64::MAX]), u64::MAX);
    }
}
