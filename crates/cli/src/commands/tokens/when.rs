//! Times for people.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `2026-11-21 14:45:00 UTC`; what is no time stays as it is.
pub(super) fn at(text: &str) -> String {
    match OffsetDateTime::parse(text, &Rfc3339) {
        Err(_) => text.to_owned(),
        Ok(time) => {
            let time = time.to_offset(time::UtcOffset::UTC);
            format!("{} {:02}:{:02}:{:02} UTC", time.date(), time.hour(), time.minute(), time.second())
        }
    }
}

/// `in 14 min`, `2 h ago`.
pub(super) fn from_now(text: &str, now: OffsetDateTime) -> String {
    let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) else { return String::new() };
    let seconds = (time - now).whole_seconds();
    let far = match seconds.unsigned_abs() {
        few @ 0..120 => format!("{few} s"),
        some @ 120..7_200 => format!("{} min", some / 60),
        many @ 7_200..172_800 => format!("{} h", many / 3_600),
        most => format!("{} days", most / 86_400),
    };
    if seconds < 0 { format!("{far} ago") } else { format!("in {far}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc_and_from_now() {
        let now = OffsetDateTime::parse("2026-11-21T12:00:00Z", &Rfc3339).expect("a time");
        assert_eq!(at("2026-11-21T14:45:00.25+01:00"), "2026-11-21 13:45:00 UTC");
        assert_eq!(at("infinity"), "infinity");
        for (text, told) in [
            ("2026-11-21T12:01:59Z", "in 119 s"),
            ("2026-11-21T12:15:30Z", "in 15 min"),
            ("2026-11-21T09:00:00Z", "3 h ago"),
            ("2026-12-21T12:00:00Z", "in 30 days"),
            ("never", ""),
        ] {
            assert_eq!(from_now(text, now), told);
        }
    }
}
