//! Any bytes as JSON: `ironferry-json` reads and writes what `serde_json` does, and refuses what it refuses.
#![no_main]

use ironferry_json::{Raw, from_json, to_json};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Debug, Deserialize, PartialEq, Serialize)]
enum Shape {
    Nothing,
    One(Box<Shape>),
    Two(i8, String),
    Fields {
        a: Option<f64>,
        #[serde(default)]
        b: Vec<Shape>,
    },
}

fuzz_target!(|bytes: &[u8]| {
    let value = from_json::<Value>(bytes).ok();
    assert_eq!(value, serde_json::from_slice::<Value>(bytes).ok());
    if let Some(value) = value {
        let text = to_json(&value).expect("a value can be written");
        assert_eq!(text, value.to_string());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let raw = from_json::<Raw<&str>>(bytes).ok();
    let theirs = serde_json::from_str::<&RawValue>(text).ok();
    assert_eq!(raw.as_ref().map(Raw::get), theirs.map(RawValue::get));
    // A list for `Fields` is the one thing that serde_json takes and we do not.
    if let Ok(shape) = from_json::<Shape>(bytes) {
        assert_eq!(Some(&shape), serde_json::from_slice(bytes).ok().as_ref());
        let text = to_json(&shape).expect("a shape can be written");
        assert_eq!(text, serde_json::to_string(&shape).expect("a shape can be written"));
    }
});
