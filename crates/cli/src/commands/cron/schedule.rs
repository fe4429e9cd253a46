//! When a job was due: pg_cron's five fields, in UTC, or `30 seconds`.

/// A schedule that we understand.
pub(super) enum Schedule {
    /// One bit per minute, hour, day of the month, month and day of the week.
    Fields { minutes: u64, hours: u64, days: u64, months: u64, weekdays: u64, either_day: bool },
    /// That many seconds apart.
    Every(f64),
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// How far back is looked: a job of once a year is not for us.
const MINUTES_BACK: i64 = 32 * 24 * 60;

impl Schedule {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            other => other,
        };
        if let Some((count, "second" | "seconds")) = text.split_once(' ') {
            return Some(Self::Every(count.parse().ok()?));
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = *fields else { return None };
        let weekdays = bits(weekday, 0, 7, &WEEKDAYS)?;
        Some(Self::Fields {
            minutes: bits(minute, 0, 59, &[])?,
            hours: bits(hour, 0, 23, &[])?,
            days: bits(day, 1, 31, &[])?,
            months: bits(month, 1, 12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: weekdays | (weekdays >> 7 & 1),
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    /// The last moment, in seconds since 1970, at which it was due before `now`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds of our age")]
    pub(super) fn last_due(&self, now: f64) -> Option<f64> {
        match self {
            Self::Every(seconds) => Some(now - seconds),
            Self::Fields { .. } => {
                let minute = (now / 60.0).floor() as i64;
                let found =
                    (0..MINUTES_BACK).map(|back| minute - back).find(|minute| self.is_due(minute * 60))?;
                Some((found * 60) as f64)
            }
        }
    }

    fn is_due(&self, at: i64) -> bool {
        let Self::Fields { minutes, hours, days, months, weekdays, either_day } = self else { return false };
        let Ok(at) = time::OffsetDateTime::from_unix_timestamp(at) else { return false };
        let has = |set: &u64, value: u8| set >> value & 1 == 1;
        let day = has(days, at.day());
        let weekday = has(weekdays, at.weekday().number_days_from_sunday());
        has(minutes, at.minute())
            && has(hours, at.hour())
            && has(months, at.month().into())
            && if *either_day { day || weekday } else { day && weekday }
    }
}

/// `*/5`, `1-5`, `0,20,40`, `mon-fri`.
fn bits(field: &str, least: u8, most: u8, names: &[&str]) -> Option<u64> {
    let number = |text: &str| -> Option<u8> {
        let place = names.iter().position(|name| text.to_ascii_lowercase().starts_with(name));
        let first = u8::from(names.len() == 12);
        let by_name = place.and_then(|place| u8::try_from(place).ok());
        by_name
            .map(|place| place + first)
            .or_else(|| text.parse().ok())
            .filter(|value| (least..=most).contains(value))
    };
    let mut set = 0;
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: u8 = step.parse().ok().filter(|step| *step > 0)?;
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None => (number(range)?, number(range)?),
        };
        (from..=to).step_by(step.into()).for_each(|value| set |= 1u64 << value);
    }
    (set != 0).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturday, 2026-11-21 14:33:20 UTC.
    const NOW: f64 = 1_795_271_600.0;

    fn due(schedule: &str) -> Option<String> {
        let at = Schedule::parse(schedule)?.last_due(NOW)?;
        #[expect(clippy::cast_possible_truncation, reason = "seconds")]
        let at = time::OffsetDateTime::from_unix_timestamp(at as i64).expect("a time");
        Some(format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute()))
    }

    #[test]
    fn a_schedule_tells_when_it_was_due() {
        let wanted = [
            ("*/5 * * * *", "2026-11-21 14:30"),
            ("* * * * *", "2026-11-21 14:33"),
            ("0,20,40 * * * *", "2026-11-21 14:20"),
            ("17 3 * * *", "2026-11-21 03:17"),
            ("0 2 * * 1-5", "2026-11-20 02:00"),
            ("0 2 * * mon-fri", "2026-11-20 02:00"),
            ("0 0 * * 7", "2026-11-15 00:00"),
            ("30 4 1 * *", "2026-11-01 04:30"),
            ("0 0 1 * fri", "2026-11-20 00:00"),
            ("@daily", "2026-11-21 00:00"),
            ("0 12 * oct *", "2026-10-31 12:00"),
        ];
        for (schedule, moment) in wanted {
            assert_eq!(due(schedule).as_deref(), Some(moment), "{schedule}");
        }
        assert_eq!(Schedule::parse("30 seconds").and_then(|every| every.last_due(NOW)), Some(NOW - 30.0));
        for unknown in ["", "* * * *", "61 * * * *", "*/0 * * * *", "0 0 $ * *"] {
            assert!(Schedule::parse(unknown).is_none(), "{unknown}");
        }
    }
}
