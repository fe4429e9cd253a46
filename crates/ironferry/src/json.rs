//! Reads JSON and names the place of what does not fit.
//!
//! `serde_path_to_error` does the same by wrapping the deserializer, which compiles each type a
//! second time: 20 kB gzipped in `collect-dex`. `serde_json` knows the line and column of an error,
//! and a walk to that place gives the path, once for all types.
//!
//! Bytes are checked to be text once and then read as a `str`. `serde_json` has another reader for
//! bytes, and with it another copy of the code of each type that is read; its `Value` needs that of
//! `str` in any case.

use serde::Deserialize;

/// Reads JSON; the error begins with the path of what does not fit, e.g.
/// `items[3].price: invalid type: string "x", expected u32`.
pub fn from_json<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 from byte {}", error.valid_up_to()))?;
    serde_json::from_str(text).map_err(|error| describe(bytes, &error))
}

fn describe(bytes: &[u8], error: &serde_json::Error) -> String {
    let path = path_at(bytes, offset(bytes, error.line(), error.column()));
    if path.is_empty() || error.is_syntax() || error.is_eof() {
        error.to_string()
    } else {
        format!("{path}: {error}")
    }
}

/// The byte that line and column, both counted from 1, point at.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let lines_before = bytes.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    lines_before.map(<[u8]>::len).sum::<usize>() + column
}

enum Step {
    Key(String),
    Index(usize),
}

/// The path of the value that ends at or holds the offset. The text is known to be JSON up to there.
fn path_at(bytes: &[u8], end: usize) -> String {
    let mut steps: Vec<Step> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).filter(|_| at < end) {
        match byte {
            b'{' => steps.push(Step::Key(String::new())),
            b'[' => steps.push(Step::Index(0)),
            // The last value of a container that closes before the end is not where the error is.
            b'}' | b']' => drop(steps.pop()),
            b',' => {
                if let Some(Step::Index(index)) = steps.last_mut() {
                    *index += 1;
                }
            }
            b'"' => {
                let close = string_end(bytes, at);
                let is_key = bytes[close..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
                if let (true, Some(Step::Key(key))) = (is_key, steps.last_mut()) {
                    *key = String::from_utf8_lossy(&bytes[at + 1..close - 1]).into_owned();
                }
                at = close - 1;
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for step in &steps {
        match step {
            Step::Index(index) => path.extend(["[", &index.to_string(), "]"]),
            Step::Key(key) if key.is_empty() => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
        }
    }
    path
}

/// The place behind the closing quote of the string that opens here.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[allow(dead_code)]
    struct Order {
        items: Vec<Item>,
        #[serde(default)]
        note: String,
    }

    #[derive(serde::Deserialize, Debug)]
    #[allow(dead_code)]
    struct Item {
        price: u8,
    }

    #[test]
    fn an_error_names_the_path_of_what_does_not_fit() {
        for (text, begins) in [
            (r#"{"items":[{"price":1},{"price":"two"}]}"#, "items[1].price: invalid type: string"),
            (
                "{\n \"items\": [\n  {\"price\": 1},\n  {\"price\": 300}\n ]\n}",
                "items[1].price: invalid value",
            ),
            (r#"{"items":[{"prize":1}]}"#, "items[0]"),
            (r#"{"note":"a \"{[,","items":7}"#, "items: invalid type"),
            (r#"{"items":[]} trailing"#, "trailing characters"),
            (r#"{"items":[1"#, "items[0]: invalid type"),
            (r#"{"items":["#, "EOF while parsing"),
            ("", "EOF while parsing"),
            ("[1]", "[0]: invalid type"),
        ] {
            let error = from_json::<Order>(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(begins), "{text}: {error}");
        }
        assert_eq!(from_json::<Order>(b"{\"note\":\"\xff\"}").unwrap_err(), "not UTF-8 from byte 9");
        assert!(from_json::<Item>(br#"{"price":7}"#).is_ok());
    }

    #[test]
    fn any_text_gets_an_error_and_no_panic() {
        let text = br#"{"items":[{"price":1,"\u00e9\\":"\""}],"note":[[{}]]}"#;
        for end in 0..text.len() {
            for flip in [0, 1, 0x40] {
                let mut broken = text[..end].to_vec();
                if let Some(last) = broken.last_mut() {
                    *last ^= flip;
                }
                let _ = from_json::<Order>(&broken);
            }
        }
    }
}
