//! What may be saved: an object that Postgres takes, below 10 MB there, and of the shape that its
//! type promises.

use std::collections::BTreeMap;

use ironferry::{Error, Raw, Result};

/// `cache_storage_size` in the database, of the text that it makes of the data.
const LIMIT: usize = 10_485_760;
/// Deeper nesting is somebody's attempt at the stack.
const DEEPEST: usize = 64;
/// Digits that `numeric` holds before the point, and behind it.
const DIGITS: [usize; 2] = [131_072, 16_383];

type Fields<'a> = BTreeMap<String, Raw<&'a str>>;

/// Looks at data that is about to be saved under this type.
pub(crate) fn check(cache_type: &str, body: &[u8]) -> Result<()> {
    let fields: Fields<'_> = ironferry::from_json(body)
        .map_err(|problem| invalid(&format!("it is not a JSON object: {problem}")))?;
    if measure(body)? >= LIMIT {
        return Err(Error::too_large("the data is not below 10 MB").code("CACHE_TOO_LARGE"));
    }
    match cache_type {
        "strava" | "activities" => {
            require(&fields, &["activities", "timestamp"])?;
            check_activities(&fields["activities"])
        }
        "fundraising" => {
            require(&fields, &["donations", "total_raised", "timestamp"])?;
            is_array(&fields["donations"]).then_some(()).ok_or_else(|| invalid("`donations` is not an array"))
        }
        _ => Ok(()),
    }
}

fn require(fields: &Fields<'_>, names: &[&str]) -> Result<()> {
    match names.iter().find(|name| !fields.contains_key(**name)) {
        Some(missing) => Err(invalid(&format!("data of this type has a field `{missing}`"))),
        None => Ok(()),
    }
}

fn is_array(value: &Raw<&str>) -> bool {
    value.get().starts_with('[')
}

/// Nine of ten activities say what they are: fewer, and something went wrong on the way.
fn check_activities(activities: &Raw<&str>) -> Result<()> {
    let wrong = |_| invalid("`activities` is not an array of objects");
    let activities: Vec<Fields<'_>> = activities.read().map_err(wrong)?;
    let whole = activities
        .iter()
        .filter(|one| ["id", "name", "type", "start_date_local"].iter().all(|field| one.contains_key(*field)))
        .count();
    if whole * 10 < activities.len() * 9 {
        return Err(invalid("too many activities lack id, name, type or start_date_local"));
    }
    Ok(())
}

/// Bytes of the text that Postgres makes of valid JSON: no white space but one blank after each comma
/// and colon, and an exponent's worth of digits (a few more than there will be). No more are counted
/// than matter. Refuses what `jsonb` does not take: a NUL, half a surrogate pair, deep nesting, an
/// exponent out of range.
fn measure(json: &[u8]) -> Result<usize> {
    let (mut size, mut depth, mut at) = (0, 0_usize, 0);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => continue,
            b',' | b':' => size += 1,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEEPEST {
                    return Err(invalid("it is nested too deeply"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string(&json[at..])?;
                at += end;
                size += end;
            }
            // Only in a number does it follow a digit.
            b'e' | b'E' if json[..at - 1].last().is_some_and(u8::is_ascii_digit) => {
                size += exponent(&json[at..])?;
                if size >= LIMIT {
                    break;
                }
            }
            _ => {}
        }
        size += 1;
    }
    Ok(size)
}

/// The digits that an exponent stands for.
fn exponent(json: &[u8]) -> Result<usize> {
    let digits = json.iter().skip_while(|byte| b"+-".contains(byte)).take_while(|byte| byte.is_ascii_digit());
    let count =
        digits.fold(0_usize, |count, digit| count.saturating_mul(10).saturating_add((digit & 15).into()));
    if count > DIGITS[usize::from(json.first() == Some(&b'-'))] {
        return Err(invalid("a number is out of the range of Postgres"));
    }
    Ok(count)
}

/// The bytes up to and with the closing quote.
fn string(json: &[u8]) -> Result<usize> {
    let mut at = 0;
    loop {
        match json.get(at) {
            None | Some(b'"') => return Ok(at + 1),
            Some(b'\\') if json.get(at + 1) == Some(&b'u') => {
                let unit = |from: usize| {
                    let digits = std::str::from_utf8(json.get(from..from + 4)?).ok()?;
                    u16::from_str_radix(digits, 16).ok()
                };
                match unit(at + 2) {
                    Some(0) => return Err(invalid("a text holds \\u0000, which Postgres cannot keep")),
                    Some(0xd800..0xdc00) => {
                        let low = (json.get(at + 6..at + 8) == Some(b"\\u")).then(|| unit(at + 8)).flatten();
                        if !matches!(low, Some(0xdc00..0xe000)) {
                            return Err(half_a_pair());
                        }
                        at += 12;
                    }
                    Some(0xdc00..0xe000) | None => return Err(half_a_pair()),
                    Some(_) => at += 6,
                }
            }
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn half_a_pair() -> Error {
    invalid("a text holds half a surrogate pair")
}

fn invalid(why: &str) -> Error {
    Error::bad_request(format!("the data is not accepted: {why}")).code("INVALID_DATA")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_the_one_that_postgres_computes() {
        let measured = |text: &str| measure(text.as_bytes()).unwrap();
        assert_eq!(measured(r#"{"a":1,"b":[1,2]}"#), r#"{"a": 1, "b": [1, 2]}"#.len());
        assert_eq!(measured("{ \"a\" :\n 1 }"), r#"{"a": 1}"#.len());
        assert_eq!(measured(r#"{"a, b: \"c": "}"}"#), r#"{"a, b: \"c": "}"}"#.len());
        assert_eq!(measured(r#"{"a": [true, false, "1e9"]}"#), r#"{"a": [true, false, "1e9"]}"#.len());
    }

    #[test]
    fn a_number_is_as_long_as_the_digits_that_postgres_writes_for_it() {
        for (number, written) in
            [("1e131071", 131_072), ("-2.5E+10", 12), ("1e-16383", 16_385), ("12e-3", 5), ("1e0", 1)]
        {
            let measured = measure(format!("{{\"a\":{number}}}").as_bytes()).unwrap();
            let (least, most) = (written + 7, written + 7 + number.len());
            assert!((least..=most).contains(&measured), "{number}: {measured}");
        }
        let many = |number: &str| format!("{{\"a\":[{}]}}", vec![number; 3_000].join(","));
        for number in ["1e131071", "1e-16383", "-7.5E+100000"] {
            assert_eq!(check("custom", many(number).as_bytes()).unwrap_err().as_code(), "CACHE_TOO_LARGE");
        }
        assert!(check("custom", many("1.5e-7").as_bytes()).is_ok());
    }

    #[test]
    fn ten_megabytes_are_refused_and_one_byte_less_is_not() {
        let data = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size - 9));
        assert!(check("custom", data(LIMIT - 1).as_bytes()).is_ok());
        assert_eq!(check("custom", data(LIMIT).as_bytes()).unwrap_err().as_code(), "CACHE_TOO_LARGE");
    }

    #[test]
    fn what_jsonb_does_not_take_is_refused_before() {
        let nested = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        for data in [
            "[]",
            "{",
            "7",
            "",
            r#"{"a":"\u0000"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":1e200000}"#,
            r#"{"a":-1e-20000}"#,
            r#"{"a":1E+99999999999999999999999999}"#,
            nested.as_str(),
        ] {
            assert_eq!(check("custom", data.as_bytes()).unwrap_err().as_code(), "INVALID_DATA", "{data}");
        }
        assert!(check("custom", b"{\"a\":\"\xff\"}").is_err());
        assert!(check("custom", br#"{"a":"\ud83e\udd80 \\u0000 \" 'quotes; and \\slashes'"}"#).is_ok());
    }

    #[test]
    fn known_types_have_their_fields() {
        assert!(check("fundraising", br#"{"donations":[],"total_raised":1,"timestamp":"t"}"#).is_ok());
        assert!(check("fundraising", br#"{"donations":[],"timestamp":"t"}"#).is_err());
        let one = r#"{"id":1,"name":"n","type":"Run","start_date_local":"t"}"#;
        let data = |broken: usize| {
            let mut all = vec![one; 10 - broken];
            all.extend(vec!["{}"; broken]);
            format!("{{\"timestamp\":\"t\",\"activities\":[{}]}}", all.join(","))
        };
        assert!(check("strava", data(1).as_bytes()).is_ok());
        assert!(check("strava", data(2).as_bytes()).is_err());
    }
}
