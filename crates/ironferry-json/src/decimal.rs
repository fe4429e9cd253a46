//! Decimal numbers of any length, exactly: what is between a text and an `f64`.

// Where a cast cuts, it is meant to; where floats are compared, it is for being the same.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
#![allow(clippy::cast_precision_loss, clippy::float_cmp)]

use std::iter::repeat_n;
use std::str::Bytes;

/// No `f64` and no middle of two has more digits than 767; what comes behind can only matter by
/// not being zero.
const DIGITS: usize = 770;

/// The digits that any `u64` has.
const SHORT: usize = 19;

/// A whole number of any length times a power of ten.
pub(crate) struct Decimal {
    /// The number, as long as it is short.
    short: u64,
    /// Then it is here: base 2³², the lowest first, the highest not zero.
    words: Vec<u32>,
    /// How many digits were read, without leading zeros.
    digits: usize,
    exponent: i64,
}

impl Decimal {
    pub(crate) const fn of(short: u64, exponent: i64) -> Self {
        Self { short, words: Vec::new(), digits: SHORT, exponent }
    }

    pub(crate) fn lengthen(&mut self) {
        if self.words.is_empty() {
            self.words = vec![self.short as u32, (self.short >> 32) as u32];
            self.trim();
        }
    }

    fn trim(&mut self) {
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    pub(crate) fn read(mut text: Bytes<'_>) -> Self {
        let mut decimal = Self { digits: 0, ..Self::of(0, 0) };
        let mut is_fraction = false;
        while let Some(byte) = text.next() {
            match byte {
                b'.' => is_fraction = true,
                b'e' | b'E' => decimal.exponent += exponent(&mut text),
                digit => {
                    decimal.digit(digit - b'0');
                    decimal.exponent -= i64::from(is_fraction);
                }
            }
        }
        decimal
    }

    fn digit(&mut self, digit: u8) {
        self.digits += usize::from(self.digits > 0 || digit > 0);
        if self.digits <= SHORT {
            self.short = self.short * 10 + u64::from(digit);
        } else if self.digits <= DIGITS {
            self.lengthen();
            self.multiply(10, digit.into());
        } else {
            self.exponent += 1;
            if digit > 0
                && let Some(lowest) = self.words.first_mut()
            {
                // Odd from here on: never exactly in the middle of two.
                *lowest |= 1;
            }
        }
    }

    fn multiply(&mut self, by: u32, add: u32) {
        let mut carry = u64::from(add);
        for word in &mut self.words {
            carry += u64::from(*word) * u64::from(by);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.words.push(carry as u32);
        }
    }

    /// Divides; whether something is left over.
    fn divide(&mut self, by: u32) -> bool {
        let mut rest = 0;
        for word in self.words.iter_mut().rev() {
            rest = rest << 32 | u64::from(*word);
            *word = (rest / u64::from(by)) as u32;
            rest %= u64::from(by);
        }
        self.trim();
        rest > 0
    }

    /// Times base^power; whether something is left over.
    pub(crate) fn scale(&mut self, base: u32, power: i64) -> bool {
        let most = if base == 2 { 31 } else { 9 };
        let mut left = power.unsigned_abs();
        let mut rest = false;
        while left > 0 {
            let step = left.min(most);
            left -= step;
            let factor = base.pow(step as u32);
            if power > 0 {
                self.multiply(factor, 0);
            } else {
                rest |= self.divide(factor);
            }
        }
        rest
    }

    /// The number, where it has two words or less.
    pub(crate) fn top(&self) -> u64 {
        self.words.iter().rev().fold(0, |top, word| top << 32 | u64::from(*word))
    }

    pub(crate) fn nearest(mut self) -> f64 {
        let power = self.exponent.unsigned_abs();
        // Two exact numbers and one rounding: nearly all that is ever sent.
        if self.words.is_empty() && power <= 22 && self.short < 1 << 53 {
            let (whole, power) = (self.short as f64, (0..power).fold(1.0, |power, _| power * 10.0));
            return if self.exponent < 0 { whole / power } else { whole * power };
        }
        // Far out of range; no long arithmetic for what has a long exponent.
        self.lengthen();
        let places = self.digits.min(DIGITS) as i64 + self.exponent;
        if self.words.is_empty() || places < -330 {
            return 0.0;
        }
        if places > 330 {
            return f64::INFINITY;
        }
        // The number is words × 2^binary, and a bit more where `rest` says so.
        let mut binary = 0;
        if self.exponent < 0 {
            // 10⁹ is less than 2³⁰: three words more than are divided away.
            let zeros = power as usize / 9 + 4;
            self.words.splice(0..0, repeat_n(0, zeros));
            binary = -32 * zeros as i32;
        }
        let rest = self.scale(10, self.exponent);
        round(&self.words, binary, rest)
    }
}

/// The `f64` next to words × 2^binary (and a bit more), the even one of two.
fn round(words: &[u32], binary: i32, mut rest: bool) -> f64 {
    let mut highest = words.iter().rev();
    let mut next = || u64::from(highest.next().copied().unwrap_or_default());
    let (first, second, third) = (next(), next(), next());
    let shift = (first as u32).leading_zeros();
    let top = (first << 32 | second) << shift | (third << shift) >> 32;
    rest |= (third << shift) as u32 > 0 || highest.any(|word| *word > 0);
    // Of the highest bit, which stands for 2^power; below -1022 the places stay where they are.
    let power = 32 * words.len() as i32 - 1 - shift as i32 + binary;
    if power > 1023 {
        return f64::INFINITY;
    }
    let dropped = 11 + (-1022 - power).clamp(0, 54) as u32;
    let kept = top.checked_shr(dropped).unwrap_or(0);
    let half = 1_u64.checked_shl(dropped - 1).unwrap_or(0);
    let below = if dropped > 63 { top } else { top & ((1 << dropped) - 1) };
    let is_up = half > 0 && (below > half || below == half && (rest || kept & 1 == 1));
    // The highest bit of a normal number counts as one step of the exponent.
    let exponent = (power + 1022).max(0) as u64;
    f64::from_bits((exponent << 52) + kept + u64::from(is_up))
}

/// An exponent's digits, cut where no number of digits before it matters any more.
fn exponent(text: &mut Bytes<'_>) -> i64 {
    let mut value = 0_i64;
    let mut is_negative = false;
    for byte in text {
        match byte {
            b'-' => is_negative = true,
            b'+' => {}
            digit => value = (value * 10 + i64::from(digit - b'0')).min(1 << 40),
        }
    }
    if is_negative { -value } else { value }
}
