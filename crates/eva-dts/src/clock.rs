//! Dates and times as machines know them: no zone, and often wrong by hours.

use std::fmt;

/// A day by the machine's calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// The year, all four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day, 24 hours, by the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59; `None` when the machine tells no seconds.
    pub second: Option<u8>,
}

/// A moment by the machine's own clock, without a zone. Good for telling what the machine said, not
/// for ordering captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// The day.
    pub date: Date,
    /// The time, when the machine tells one.
    pub time: Option<Time>,
}

impl Date {
    /// YYMMDD or YYYYMMDD, the standard's type DT. Years of two digits are 1980 to 2079.
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let (year, rest) = match digits.len() {
            6 => {
                let year = u16::from(pair(digits)?);
                (if year < 80 { 2000 + year } else { 1900 + year }, &digits[2..])
            }
            8 => (u16::from(pair(digits)?) * 100 + u16::from(pair(&digits[2..])?), &digits[4..]),
            _ => return None,
        };
        let (month, day) = (pair(rest)?, pair(&rest[2..])?);
        (1..=days(year, month)).contains(&day).then_some(Self { year, month, day })
    }
}

impl Time {
    /// HHMM or HHMMSS, the standard's type TM.
    pub(crate) fn read(digits: &[u8]) -> Option<Self> {
        let second = match digits.len() {
            4 => None,
            6 => Some(pair(&digits[4..])?),
            _ => return None,
        };
        let (hour, minute) = (pair(digits)?, pair(&digits[2..])?);
        (hour < 24 && minute < 60 && second.is_none_or(|second| second < 60)).then_some(Self {
            hour,
            minute,
            second,
        })
    }
}

/// Two digits.
fn pair(digits: &[u8]) -> Option<u8> {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// How many days a month has; none when there is no such month.
fn days(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    }
}

/// ISO 8601 without a zone, in at most 19 bytes: `2026-11-21T14:30:00`.
pub(crate) struct Iso {
    bytes: [u8; 19],
    length: usize,
}

impl Iso {
    pub(crate) fn of(moment: Moment) -> Self {
        let mut iso = Self { bytes: *b"0000-00-00T00:00:00", length: 10 };
        let Date { year, month, day } = moment.date;
        iso.write(0, u8::try_from(year / 100).unwrap_or(99));
        iso.write(2, u8::try_from(year % 100).unwrap_or(0));
        iso.write(5, month);
        iso.write(8, day);
        if let Some(Time { hour, minute, second }) = moment.time {
            iso.write(11, hour);
            iso.write(14, minute);
            iso.length = 16;
            if let Some(second) = second {
                iso.write(17, second);
                iso.length = 19;
            }
        }
        iso
    }

    fn write(&mut self, at: usize, value: u8) {
        self.bytes[at] = b'0' + value / 10 % 10;
        self.bytes[at + 1] = b'0' + value % 10;
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits and punctuation only.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(Iso::of(*self).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(date: &str, time: Option<&str>) -> Option<String> {
        let date = Date::read(date.as_bytes())?;
        let time = time.map(|time| Time::read(time.as_bytes()));
        Some(Moment { date, time: time.flatten() }.to_string())
    }

    #[test]
    fn both_lengths_of_dates_and_times_are_read() {
        assert_eq!(written("191206", Some("093715")).unwrap(), "2019-12-06T09:37:15");
        assert_eq!(written("20160113", Some("1430")).unwrap(), "2016-01-13T14:30");
        assert_eq!(written("991231", None).unwrap(), "1999-12-31");
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for date in ["000000", "190230", "20190431", "191301", "19120", "1912066", "19120x", ""] {
            assert_eq!(written(date, None), None, "{date}");
        }
        assert!(written("20240229", None).is_some());
        assert!(written("21000229", None).is_none());
        for time in ["2400", "0960", "096", "093060", "09x0"] {
            assert_eq!(Time::read(time.as_bytes()), None, "{time}");
        }
    }
}
