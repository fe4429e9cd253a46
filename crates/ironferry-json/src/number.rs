//! Numbers: whole ones as far as 64 bits go, everything else as the nearest `f64`, and an `f64` as the
//! shortest text that reads as itself.
//!
//! `core` and `serde_json` know the same with tables of powers that do not compress, 3 to 10 kB a
//! module. Here what is common is one division of exact numbers, and the rest long arithmetic.

// Where a cast cuts, it is meant to; where floats are compared, it is for being the same.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
#![allow(clippy::cast_precision_loss, clippy::float_cmp)]

use std::iter::repeat_n;
use std::ops::RangeInclusive;

use crate::decimal::Decimal;

#[derive(Debug, PartialEq)]
pub(crate) enum Number {
    Positive(u64),
    Negative(i64),
    Float(f64),
}

/// A text that is a JSON number. `None`: greater than an `f64` can say.
pub(crate) fn read(text: &str, is_whole: bool) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_negative = digits.len() < text.len();
    if is_whole && let Some(value) = whole(digits) {
        if !is_negative {
            return Some(Number::Positive(value));
        }
        // -0 is a float: no integer has the sign.
        if let 1..=0x8000_0000_0000_0000 = value {
            return Some(Number::Negative(value.wrapping_neg().cast_signed()));
        }
    }
    let value = Decimal::read(digits.bytes()).nearest();
    value.is_finite().then_some(Number::Float(if is_negative { -value } else { value }))
}

fn whole(digits: &str) -> Option<u64> {
    let mut value = 0_u64;
    for digit in digits.bytes() {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(value)
}

/// Writes the shortest text that reads as the value; what is no number is `null`.
pub(crate) fn write(value: f64, text: &mut String) {
    if value.is_finite() {
        lay_out(value.is_sign_negative(), shortest(value.abs()), -4..=16, text);
    } else {
        text.push_str("null");
    }
}

/// The same for the shorter kind, which needs fewer digits.
pub(crate) fn write_short(value: f32, text: &mut String) {
    if value.is_finite() {
        let digits = shortest_of_many(value.abs().into(), |read| read as f32 == value.abs());
        lay_out(value.is_sign_negative(), digits, -5..=13, text);
    } else {
        text.push_str("null");
    }
}

/// Digits and the power of ten behind them, as `serde_json` writes them: in full where the point, counted
/// from the first digit, stands near.
fn lay_out(
    is_negative: bool,
    (mut digits, mut exponent): (u64, i32),
    near: RangeInclusive<i32>,
    text: &mut String,
) {
    if is_negative {
        text.push('-');
    }
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        exponent += 1;
    }
    let digits = digits.to_string();
    let zeros =
        |text: &mut String, count: i32| text.extend(repeat_n('0', count.max(0).cast_unsigned() as usize));
    let point = digits.len() as i32 + exponent;
    match point {
        _ if digits == "0" => text.push_str("0.0"),
        _ if !near.contains(&point) => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let sign = if point > 0 { "+" } else { "" };
            text.extend([first, dot, rest, "e", sign, &(point - 1).to_string()]);
        }
        ..=0 => {
            text.push_str("0.");
            zeros(text, -point);
            text.push_str(&digits);
        }
        _ => {
            let (before, behind) = digits.split_at(digits.len().min(point as usize));
            text.push_str(before);
            zeros(text, exponent);
            text.push('.');
            text.push_str(if behind.is_empty() { "0" } else { behind });
        }
    }
}

/// Digits and the power of ten behind them.
fn shortest(value: f64) -> (u64, i32) {
    // No two of 15 digits or less are the same `f64`: the first that is this one is the shortest.
    let mut power = 1.0;
    for places in 0..=22 {
        let scaled = value * power + 0.5;
        if scaled >= 1e15 {
            break;
        }
        let digits = scaled as u64;
        if digits as f64 / power == value {
            return (digits, -places);
        }
        power *= 10.0;
    }
    shortest_of_many(value, |read| read == value)
}

fn shortest_of_many(value: f64, is_same: impl Fn(f64) -> bool) -> (u64, i32) {
    let bits = value.to_bits();
    let (power, fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    // value = whole × 2^binary
    let (whole, binary) = if power == 0 { (fraction, -1074) } else { (fraction | 1 << 52, power - 1075) };
    // At most one less than the number's decimal exponent, so that 18 or 19 digits stand before the point.
    let magnitude = (binary + 63 - i64::from(whole.leading_zeros())) * 30_103;
    let places = 17 - magnitude.div_euclid(100_000);
    let mut decimal = Decimal::of(whole, 0);
    decimal.lengthen();
    let mut rest = decimal.scale(10, places.max(0));
    rest |= decimal.scale(2, binary);
    rest |= decimal.scale(10, places.min(0));
    let all = decimal.top();

    let mut best = (all, -places as i32);
    let mut unit = 1;
    while let Some(longer) = all.checked_div(unit * 10).filter(|digits| *digits > 0) {
        unit *= 10;
        let exponent = best.1 + 1;
        let below = all % unit;
        let is_nearer_up = below > unit / 2 || below == unit / 2 && (rest || longer % 2 == 1);
        // At a power of two the next number down is nearer than the next one up: both are tried.
        let order = if is_nearer_up { [longer + 1, longer] } else { [longer, longer + 1] };
        let fits = |digits: &u64| is_same(Decimal::of(*digits, exponent.into()).nearest());
        let Some(digits) = order.into_iter().find(fits) else { break };
        best = (digits, exponent);
    }
    best
}
