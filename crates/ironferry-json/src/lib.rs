//! JSON, read and written for serde in a fraction of the code.
//!
//! Of what serde derives, each type is compiled against each function of a format that it calls.
//! `serde_json` puts much there: bytes in three ways, structs from lists, places of errors. Here those
//! functions are a few calls of `reader::Reader` and `write::Writer`, which know no types, and floating
//! point needs no tables. That is 20 to 30 kB gzipped of a module. `tests/json.rs` compares both.
//!
//! An error names the place of what does not fit: where the reader stopped is known, and a walk to there
//! gives the path, once for all types. (`serde_path_to_error` wraps the deserializer and compiles each
//! type a second time.)

#![forbid(unsafe_code)]

mod containers;
mod de;
mod decimal;
mod fault;
mod key;
mod number;
mod raw;
mod reader;
mod skip;
mod string;
mod write;

use serde::{Deserialize, Serialize};

use fault::Fault;
pub use raw::Raw;
use reader::Reader;
use write::Writer;

/// Reads JSON as `serde_json` does, but for a struct, which is an object and no list. The error begins with
/// the path of what does not fit, e.g. `items[3].price: invalid type: string "x", expected u32`.
///
/// In a function this is smaller than `serde_json::from_slice`, which brings a second reader along; so does
/// serde_json's feature `raw_value`, for which there is [`Raw`].
pub fn from_json<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    // Compiled for each type: no more than this.
    let mut reader = Reader::new(text(bytes)?);
    match T::deserialize(&mut reader) {
        Ok(value) => match reader.end() {
            Ok(()) => Ok(value),
            Err(fault) => Err(describe(bytes, reader.at, &fault)),
        },
        Err(fault) => Err(describe(bytes, reader.at, &fault)),
    }
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 from byte {}", error.valid_up_to()))
}

/// Writes JSON, byte for byte what `serde_json::to_string` writes, and smaller than it in a function. So is
/// this of a `serde_json::Value`, compared with its `to_string`.
pub fn to_json<T: ?Sized + Serialize>(value: &T) -> Result<String, String> {
    let mut writer = Writer::new(String::with_capacity(128));
    match value.serialize(&mut writer) {
        Ok(()) => Ok(writer.text),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Writes behind a text what cannot fail to be written: texts, and `serde_json::Value`.
pub fn append<T: ?Sized + Serialize>(text: &mut String, value: &T) {
    let mut writer = Writer::new(std::mem::take(text));
    let written = value.serialize(&mut writer);
    debug_assert!(written.is_ok());
    *text = writer.text;
}

#[cold]
fn describe(bytes: &[u8], at: usize, fault: &Fault) -> String {
    let before = &bytes[..at.min(bytes.len())];
    let lines = || before.split(|byte| *byte == b'\n');
    let (line, column) = (lines().count(), lines().next_back().map_or(0, <[u8]>::len));
    let path = if fault.is_syntax() { String::new() } else { path_at(bytes, at) };
    let colon = if path.is_empty() { "" } else { ": " };
    format!("{path}{colon}{fault} at line {line} column {column}")
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
            ("[1]", "invalid type: sequence, expected struct Order"),
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
