//! How long backups are kept: `7d4w6m` is one for each of 7 days, 4 weeks and 6 months.

use std::collections::BTreeSet;
use std::str::FromStr;

use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};

/// How many periods back there shall be a backup of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Days that have a backup.
    pub days: usize,
    /// Weeks, from Monday on.
    pub weeks: usize,
    /// Months.
    pub months: usize,
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not of the form 7d4w6m: days, weeks, months");
        let (mut keep, mut digits) = (Self::default(), String::new());
        for char in text.chars() {
            if char.is_ascii_digit() {
                digits.push(char);
                continue;
            }
            let count = std::mem::take(&mut digits).parse().map_err(|_| wrong())?;
            match char {
                'd' => keep.days = count,
                'w' => keep.weeks = count,
                'm' => keep.months = count,
                _ => return Err(wrong()),
            }
        }
        if !digits.is_empty() || keep == Self::default() {
            return Err(wrong());
        }
        Ok(keep)
    }
}

const PREFIX: &str = "ferry-";

/// `ferry-20261121T143000Z`
pub(super) fn name(at: OffsetDateTime) -> String {
    format!(
        "{PREFIX}{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The moment in a backup's name; none where it is no name of ours.
pub(super) fn moment(name: &str) -> Option<PrimitiveDateTime> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix('Z')?;
    let (date, time) = digits.split_once('T')?;
    let is_number =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(date, 8) || !is_number(time, 6) {
        return None;
    }
    let month: u8 = date[4..6].parse().ok()?;
    let date =
        Date::from_calendar_date(date[..4].parse().ok()?, month.try_into().ok()?, date[6..].parse().ok()?)
            .ok()?;
    let time =
        Time::from_hms(time[..2].parse().ok()?, time[2..4].parse().ok()?, time[4..].parse().ok()?).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}

impl Keep {
    /// Those that go. The newest of each period stays, the newest of all always, and so does
    /// everything with a name that is not ours.
    pub(super) fn superfluous(self, names: &[String]) -> Vec<String> {
        let mut known: Vec<(PrimitiveDateTime, &String)> =
            names.iter().filter_map(|name| Some((moment(name)?, name))).collect();
        known.sort_unstable_by(|a, b| b.cmp(a));
        let mut stays: BTreeSet<&String> = known.first().map(|(_, name)| *name).into_iter().collect();
        let mut newest_of = |count: usize, period: fn(Date) -> (i32, u16)| {
            let mut seen = BTreeSet::new();
            for (at, name) in &known {
                let period = period(at.date());
                if seen.len() < count && seen.insert(period) {
                    stays.insert(name);
                }
            }
        };
        newest_of(self.days, |date| (date.year(), date.ordinal()));
        newest_of(self.weeks, |date| {
            let (year, week, _) = date.to_iso_week_date();
            (year, week.into())
        });
        newest_of(self.months, |date| (date.year(), u8::from(date.month()).into()));
        known.iter().filter(|(_, name)| !stays.contains(name)).map(|(_, name)| (*name).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    /// One at 02:00 of each of the last days, back from 2026-11-21.
    fn nightly(days: i64) -> Vec<String> {
        let newest = OffsetDateTime::from_unix_timestamp(1_795_226_400).expect("a time");
        (0..days).map(|back| name(newest - Duration::days(back))).collect()
    }

    #[test]
    fn days_weeks_and_months_each_keep_their_newest() {
        let names = nightly(400);
        let gone = "7d4w6m".parse::<Keep>().expect("a rule").superfluous(&names);
        let kept: Vec<&str> =
            names.iter().filter(|name| !gone.contains(name)).map(|name| &name[6..14]).collect();
        let wanted = [
            "20261121", "20261120", "20261119", "20261118", "20261117", "20261116", "20261115", "20261108",
            "20261101", "20261031", "20260930", "20260831", "20260731", "20260630",
        ];
        assert_eq!(kept, wanted);
    }

    #[test]
    fn the_newest_stays_and_what_is_not_ours_is_not_touched() {
        let names =
            ["ferry-20200101T000000Z", "notes", "ferry-2020", "ferry-20201301T000000Z"].map(str::to_owned);
        assert!("1d".parse::<Keep>().expect("a rule").superfluous(&names).is_empty());
        let twice = ["ferry-20261121T020000Z", "ferry-20261121T140000Z"].map(str::to_owned);
        assert_eq!("1d".parse::<Keep>().expect("a rule").superfluous(&twice), ["ferry-20261121T020000Z"]);
    }

    #[test]
    fn a_rule_that_keeps_nothing_is_refused() {
        for text in ["", "0d", "7", "d7", "7x", "7d4"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
    }
}
