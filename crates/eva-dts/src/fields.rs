//! A segment taken apart: its elements by the standard's numbers, in the units they stand for.

use crate::amount::{Amount, Both};
use crate::clock::{Date, Moment, Time};
use crate::segment::{Segment, parse_number};
use crate::text::{self, Text};
use crate::warning::{Oddity, Warnings};

/// The longest segment that is taken apart has twelve.
const MOST: usize = 12;

/// The elements of one segment. What cannot be read is `None`, and a warning.
pub(crate) struct Fields<'a, 'w> {
    segment: Segment<'a>,
    elements: [&'a [u8]; MOST],
    warnings: &'w mut Warnings<'a>,
}

/// The places of count and value since initialisation, then since reset.
pub(crate) type Places = [usize; 4];

impl<'a, 'w> Fields<'a, 'w> {
    pub(crate) fn of(segment: Segment<'a>, warnings: &'w mut Warnings<'a>) -> Self {
        let mut elements = [b"".as_slice(); MOST];
        for (slot, element) in elements.iter_mut().zip(segment.elements()) {
            *slot = element;
        }
        Self { segment, elements, warnings }
    }

    pub(crate) fn segment(&self) -> Segment<'a> {
        self.segment
    }

    /// The bytes of an element, from 1; `None` when absent or blank.
    #[expect(clippy::inline_always, reason = "called for each element, and the functions compile for size")]
    #[inline(always)]
    pub(crate) fn raw(&self, place: usize) -> Option<&'a [u8]> {
        let element = trim_blanks(self.elements[place - 1]);
        (!element.is_empty()).then_some(element)
    }

    pub(crate) fn text(&self, place: usize) -> Option<Text<'a>> {
        self.raw(place).map(text::decode)
    }

    /// Whether a flag is set: 1. Empty and 0 are both "no".
    pub(crate) fn flag(&self, place: usize) -> bool {
        self.raw(place) == Some(b"1")
    }

    pub(crate) fn number(&mut self, place: usize) -> Option<u64> {
        parse_number(self.raw(place)?).unwrap_or_else(|element| {
            self.warn(Oddity::NotANumber, element);
            None
        })
    }

    /// Two numbers: since initialisation and since reset.
    pub(crate) fn numbers(&mut self, init: usize, reset: usize) -> Both<Option<u64>> {
        Both { since_init: self.number(init), since_reset: self.number(reset) }
    }

    pub(crate) fn amounts(&mut self, [count, value, reset_count, reset_value]: Places) -> Both<Amount> {
        let both = Both {
            since_init: Amount { count: self.number(count), value: self.number(value) },
            since_reset: Amount { count: self.number(reset_count), value: self.number(reset_value) },
        };
        // A counter that wrapped may well be passed, so this is no verdict. Some firmware has the two
        // the wrong way round.
        if let (Some(init), Some(reset)) = (both.since_init.count, both.since_reset.count)
            && reset > init
        {
            self.warn(Oddity::ResetExceedsInit, self.segment.raw());
        }
        both
    }

    /// A date and a time behind it.
    pub(crate) fn moment(&mut self, place: usize) -> Option<Moment> {
        let written = self.raw(place).filter(|date| date.iter().any(|byte| *byte != b'0'))?;
        let Some(date) = Date::read(written) else {
            self.warn(Oddity::NotADate, written);
            return None;
        };
        let time = self.raw(place + 1).and_then(|written| {
            let time = Time::read(written);
            if time.is_none() {
                self.warn(Oddity::NotADate, written);
            }
            time
        });
        Some(Moment { date, time })
    }

    pub(crate) fn warn(&mut self, oddity: Oddity, text: &'a [u8]) {
        self.warnings.push(self.segment.line(), oddity, text);
    }
}

/// Without blanks around it. Hardly any element has some, so the ends are looked at first.
#[expect(clippy::inline_always, reason = "called for each element, and the functions compile for size")]
#[inline(always)]
fn trim_blanks(element: &[u8]) -> &[u8] {
    match element {
        [first, .., last] if *first > b' ' && *last > b' ' => element,
        _ => element.trim_ascii(),
    }
}
