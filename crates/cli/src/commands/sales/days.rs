//! From which day to which.

use time::format_description::well_known::Iso8601;
use time::{Date, Duration, OffsetDateTime};

use super::Arguments;
use crate::commands::Misuse;

/// Both days included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) from: Date,
    pub(super) to: Date,
    /// Nobody named the last day: it is today, which begins early in the east.
    pub(super) is_open: bool,
}

impl Days {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Misuse> {
        let today = OffsetDateTime::now_utc().date();
        let to = arguments.to.unwrap_or(today);
        let from = match arguments.from {
            Some(from) => from,
            None => to.saturating_sub(Duration::days(i64::from(arguments.days) - 1)),
        };
        if from > to {
            return Err(Misuse(format!("{from} is after {to}")));
        }
        Ok(Self { from, to, is_open: arguments.to.is_none() })
    }

    /// The last day to ask for: it is tomorrow already where the sun is up.
    pub(super) fn last(self) -> Date {
        if self.is_open { self.to.next_day().unwrap_or(self.to) } else { self.to }
    }

    /// Each day, up to the last one with sales where that is later.
    pub(super) fn each(self, sold: Option<Date>) -> impl Iterator<Item = Date> {
        let last = sold.map_or(self.to, |sold| sold.max(self.to));
        std::iter::successors(Some(self.from), |day| day.next_day()).take_while(move |day| *day <= last)
    }
}

/// `2026-11-21`
pub(super) fn parse(text: &str) -> Result<Date, String> {
    // ISO 8601 also has `20261121` and `2026-W47-6`.
    let is_usual = text.len() == 10 && !text.contains('W');
    let date = Date::parse(text, &Iso8601::DATE).ok().filter(|_| is_usual);
    date.ok_or_else(|| "a day is like 2026-11-21".to_owned())
}

/// `2026-11-21 Sat`
pub(super) fn label(day: Date) -> String {
    let weekday = day.weekday().to_string();
    format!("{day} {}", &weekday[..3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        parse(text).expect("a day")
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(label(day("2026-11-21")), "2026-11-21 Sat");
        for wrong in ["2026-02-29", "2026-W47-6", "20261121", "21.11.2026", "today", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_day_is_there_and_tomorrow_only_where_something_was_sold() {
        let days = Days { from: day("2026-11-28"), to: day("2026-12-01"), is_open: true };
        assert_eq!(days.last(), day("2026-12-02"));
        assert_eq!(days.each(Some(day("2026-11-29"))).count(), 4);
        assert_eq!(days.each(Some(day("2026-12-02"))).last(), Some(day("2026-12-02")));
        assert_eq!(Days { is_open: false, ..days }.last(), day("2026-12-01"));
    }
}
