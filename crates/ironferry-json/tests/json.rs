//! `from_json` and `to_json` against `serde_json`: the same texts are read and refused, to the same
//! values, and the same values are written alike.
// To be the same is what is tested.
#![allow(clippy::float_cmp, clippy::cast_possible_truncation, clippy::zero_sized_map_values)]

use std::collections::BTreeMap;

use ironferry_json::{Raw, from_json, to_json};
use proptest::prelude::*;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One of each that serde knows.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    letter: char,
    is_on: bool,
    small: u8,
    signed: i16,
    long: u64,
    longer: i128,
    ratio: f64,
    half: f32,
    #[serde(default)]
    maybe: Option<Box<Sample>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    list: Vec<Kind>,
    pair: (u8, String),
    by_name: BTreeMap<String, Kind>,
    by_number: BTreeMap<i32, bool>,
    by_kind: BTreeMap<Plain, ()>,
    tagged: Tagged,
    either: Either,
    wrapped: Wrapped,
    anything: Value,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Kind {
    Unit,
    New(u8),
    Two(u8, String),
    Fields { at: i64, of: Option<bool> },
}

#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
enum Plain {
    OneThing,
    #[serde(alias = "other")]
    Another,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(tag = "kind")]
enum Tagged {
    A { x: f64 },
    B,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
enum Either {
    Number(i64),
    Text(String),
    List(Vec<Either>),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Wrapped(u32);

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(rename = "a-b")]
    ab: u8,
    unit: (),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Rest {
    strict: Strict,
    more: Option<u8>,
}

fn sample() -> Sample {
    Sample {
        name: "a \"quoted\" \\ text\n\t\u{8}\u{c}\r\u{1}\u{1f}\u{7f} é 💡 /".into(),
        letter: 'ß',
        is_on: true,
        small: 255,
        signed: -32_768,
        long: u64::MAX,
        longer: i128::MIN,
        ratio: -1.5e-9,
        half: 0.1,
        maybe: None,
        list: vec![
            Kind::Unit,
            Kind::New(0),
            Kind::Two(1, String::new()),
            Kind::Fields { at: i64::MIN, of: Some(false) },
        ],
        pair: (7, "seven".into()),
        by_name: [("a\u{0}b".into(), Kind::Unit), (String::new(), Kind::New(9))].into(),
        by_number: [(-1, true), (20, false)].into(),
        by_kind: [(Plain::OneThing, ()), (Plain::Another, ())].into(),
        tagged: Tagged::A { x: 1.0 },
        either: Either::List(vec![Either::Number(-3), Either::Text("x".into()), Either::List(vec![])]),
        wrapped: Wrapped(1),
        anything: json!({ "a": [null, true, 1, -1, 1.25, 1e300, "b", {}, []], "": { "c": "d" } }),
        rest: Rest { strict: Strict { ab: 1, unit: () }, more: None },
    }
}

/// Valid texts and all kinds of broken ones.
#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "", " ", "null", "nul", "nulll", "true", "false", "tru", "0", "-0", "-", "01", "-01", "1.", ".5", "+1",
    "1.e1", "1e", "1e+", "1E-5", "0e9", "-0.0", "00", "0x1", "1_000", "NaN", "Infinity",
    "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "1e308",
    "1e309", "-1e999", "1e-400", "123456789012345678901234567890.5e-12", "0.1", "2.2250738585072011e-308",
    "5e-324", "2.4703282292062328e-324", "\"\"", "\"", "\"a", "\"\\\"", "\"\\", "\"\\u", "\"\\u12",
    "\"\\u00e9\"", "\"\\uD83D\\uDCA1\"", "\"\\ud83d\"", "\"\\udca1\"", "\"\\ud83d\\u0041\"", "\"\\ud83dx\"",
    "\"\\ud83d\\n\"", "\"\\x\"", "\"\\/\\b\\f\\n\\r\\t\"", "\"\t\"", "\"\u{0}\"",
    "\"\u{7f}\u{e9}\u{1f4a1}\"", "\"12345678\\n\"", "\"1234567\u{1f}\"", "'a'", "[", "]", "[]", "[,]",
    "[1,]", "[1 2]", "[1,2", "[1]]", "[[[]]]", "{", "}", "{}", "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}",
    "{\"a\":1 \"b\":2}", "{a:1}", "{1:1}", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":[1,{\"c\":null}]}}",
    " \t\r\n[ 1 , { \"a\" : 2 } ] \n", "[1]\u{0}", "\u{feff}[]", "\u{0}", "\u{a0}1", "1 1", "[1}",
    "{\"a\":1]", "// x\n1", "\"Unit\"", "{\"Unit\":null}", "{\"New\":3}", "{\"New\":3,\"x\":1}",
    "{\"Two\":[1,\"b\"]}", "{\"Two\":[1]}", "{\"Two\":[1,\"b\",2]}", "{\"Fields\":{\"at\":1}}", "\"New\"",
    "{\"Unit\":1}", "\"Nope\"", "{\"kind\":\"A\",\"x\":1}", "{\"x\":1,\"kind\":\"A\"}", "{\"kind\":\"B\"}",
    "{\"kind\":\"C\"}", "{\"a-b\":1,\"unit\":null}", "{\"a-b\":1,\"unit\":null,\"c\":1}",
    "{\"a\\u002db\":1,\"unit\":null}", "{\"1\":true,\"-2\":false}", "{\"1.5\":true}",
    "{\"one_thing\":1,\"other\":2}", "{\" 1\":true}", "{\"\":true}", "{\"true\":1}",
];

fn texts() -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    texts.push(serde_json::to_vec(&sample()).unwrap());
    texts.push(serde_json::to_vec_pretty(&sample()).unwrap());
    for depth in [126, 127, 128, 129] {
        texts.push(["[".repeat(depth), "]".repeat(depth)].concat().into());
        texts.push(["{\"a\":".repeat(depth), "1".into(), "}".repeat(depth)].concat().into());
    }
    texts
}

fn same<T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &[u8]) {
    let (ours, theirs) = (from_json::<T>(text), serde_json::from_slice::<T>(text));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(text)),
        (Err(_), Err(_)) => {}
        _ => panic!("{}: {ours:?}, serde_json {theirs:?}", String::from_utf8_lossy(text)),
    }
}

/// Read as each of several types, and skipped.
fn compare(text: &[u8]) {
    same::<Value>(text);
    same::<String>(text);
    same::<Option<u64>>(text);
    same::<i8>(text);
    same::<u128>(text);
    same::<f64>(text);
    same::<char>(text);
    same::<()>(text);
    same::<bool>(text);
    same::<Vec<Value>>(text);
    same::<[u8; 2]>(text);
    same::<BTreeMap<String, Value>>(text);
    same::<BTreeMap<i32, bool>>(text);
    same::<BTreeMap<bool, u8>>(text);
    same::<BTreeMap<Plain, u8>>(text);
    same::<Kind>(text);
    same::<Plain>(text);
    same::<Wrapped>(text);
    if !text.trim_ascii_start().starts_with(b"[") {
        same::<Tagged>(text);
        same::<Strict>(text);
    }
    same::<Either>(text);
    let Ok(utf8) = std::str::from_utf8(text) else { return };
    assert_eq!(
        from_json::<IgnoredAny>(text).is_ok(),
        serde_json::from_str::<IgnoredAny>(utf8).is_ok(),
        "{utf8}"
    );
    let raw = from_json::<Raw<&str>>(text).ok();
    let theirs = serde_json::from_str::<&RawValue>(utf8).ok();
    assert_eq!(raw.as_ref().map(Raw::get), theirs.map(RawValue::get), "{utf8}");
}

#[test]
fn each_text_is_read_or_refused_as_serde_json_does() {
    for text in texts() {
        compare(&text);
    }
}

#[test]
fn broken_anywhere_a_text_is_refused_where_serde_json_refuses_it() {
    let whole = serde_json::to_vec(&sample()).unwrap();
    for at in 0..whole.len() {
        same::<Sample>(&whole[..at]);
        same::<Value>(&whole[..at]);
        for other in *b"\"\\{}[]:,0-e.nu \n\x01\x80" {
            let mut broken = whole.clone();
            broken[at] = other;
            same::<Sample>(&broken);
            same::<Value>(&broken);
        }
        let mut less = whole.clone();
        less.remove(at);
        same::<Sample>(&less);
    }
}

#[test]
fn a_sample_of_everything_comes_back_and_is_written_alike() {
    let mut deep = sample();
    deep.maybe = Some(Box::new(sample()));
    let text = to_json(&deep).unwrap();
    assert_eq!(text, serde_json::to_string(&deep).unwrap());
    assert_eq!(from_json::<Sample>(text.as_bytes()).unwrap(), deep);
    assert_eq!(from_json::<Sample>(&serde_json::to_vec_pretty(&deep).unwrap()).unwrap(), deep);
    assert_eq!(to_json(&f64::NAN).unwrap(), "null");
    assert_eq!(to_json(b"\x00\xff").unwrap(), "[0,255]");
    assert!(to_json(&BTreeMap::from([(vec![1], 1)])).unwrap_err().contains("key must be a string"));
    assert!(to_json(&BTreeMap::from([(None::<u8>, 1)])).is_err());
    assert_eq!(
        to_json(&BTreeMap::from([((), 1)])).is_err(),
        serde_json::to_string(&BTreeMap::from([((), 1)])).is_err()
    );
}

/// What is stricter here: nobody sends a struct as a list of its fields.
#[test]
fn a_struct_is_an_object() {
    assert!(serde_json::from_str::<Strict>("[1,null]").is_ok());
    let problem = from_json::<Strict>(b"[1,null]").unwrap_err();
    assert!(problem.starts_with("invalid type: sequence, expected struct Strict"), "{problem}");
}

#[test]
fn raw_json_passes_through_both_and_through_serde_json() {
    #[derive(Serialize, Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        seen: Raw<&'a str>,
        kept: Raw,
        theirs: Box<RawValue>,
        #[serde(default)]
        none: Option<Raw>,
    }
    let text = r#"{"seen":{ "a": 1.50 },"kept":[1,  2],"theirs":"\ud83d","none":null}"#;
    let read = from_json::<Envelope<'_>>(text.as_bytes()).unwrap();
    assert_eq!(read.seen.get(), r#"{ "a": 1.50 }"#);
    assert_eq!(to_json(&read).unwrap(), text);
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    let read = serde_json::from_str::<Envelope<'_>>(text).unwrap();
    assert_eq!(to_json(&read).unwrap(), text);
    assert_eq!(Raw::of(&json!({ "a": [1] })).unwrap().get(), r#"{"a":[1]}"#);
}

#[test]
fn numbers_at_the_edges_are_read_and_written_exactly() {
    let mut values = vec![
        0.0,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::EPSILON,
        5e-324,
        0.1 + 0.2,
        1e15,
        1e16,
        1e17,
        1e21,
        1e22,
        1e23,
    ];
    for power in -330..310 {
        values.extend([
            format!("1e{power}").parse::<f64>().unwrap(),
            format!("9.999e{power}").parse().unwrap(),
        ]);
    }
    values.extend((0..2046).map(|power| f64::from_bits(power << 52)));
    for value in values.clone() {
        values.extend([
            f64::from_bits(value.to_bits() + 1),
            f64::from_bits(value.to_bits().saturating_sub(1)),
            -value,
        ]);
    }
    for (at, value) in values.into_iter().filter(|value| value.is_finite()).enumerate() {
        float(value);
        if at % 11 > 0 {
            continue;
        }
        // The middle of two neighbours, and a little beside it: 770 digits and more.
        let above = f64::from_bits(value.abs().to_bits() + 1);
        let exact = format!("{:.1100}", value.abs());
        for text in [exact.clone(), format!("{exact}0001"), format!("{}1e-30", exact.trim_end_matches('0'))] {
            assert_eq!(from_json::<f64>(text.as_bytes()).unwrap(), text.parse::<f64>().unwrap(), "{text}");
        }
        let middle = middle(value.abs(), above);
        for text in [format!("{middle}1"), middle.clone(), format!("{middle}{}1", "0".repeat(900))] {
            let expected: f64 = text.parse().unwrap();
            assert_eq!(
                from_json::<f64>(text.as_bytes()).ok(),
                expected.is_finite().then_some(expected),
                "{text}"
            );
        }
    }
}

/// The decimal text half way between two neighbours: the sum of their exact texts, halved.
fn middle(low: f64, high: f64) -> String {
    if !high.is_finite() {
        return "1.0".into();
    }
    let digits = |value: f64| format!("{value:.1100}").replace('.', "");
    let (low, high) = (digits(low), digits(high));
    let width = low.len().max(high.len());
    let (low, high) = (format!("{low:0>width$}"), format!("{high:0>width$}"));
    let mut sum = Vec::new();
    let mut carry = 0;
    for (one, two) in low.bytes().rev().zip(high.bytes().rev()) {
        let digit = one - b'0' + two - b'0' + carry;
        sum.push(digit % 10);
        carry = digit / 10;
    }
    sum.push(carry);
    let mut rest = 0;
    let mut half = String::new();
    for digit in sum.into_iter().rev() {
        let digit = rest * 10 + digit;
        half.push(char::from(b'0' + digit / 2));
        rest = digit % 2;
    }
    half.push(if rest == 1 { '5' } else { '0' });
    let point = half.len() - 1101;
    let text = format!("{}.{}", half[..point].trim_start_matches('0'), &half[point..]);
    if text.starts_with('.') { format!("0{text}") } else { text }
}

fn float(value: f64) {
    // Read by way of the longer kind.
    let short = value as f32;
    if short.is_finite() {
        let text = to_json(&short).unwrap();
        assert_eq!(text, serde_json::to_string(&short).unwrap());
        assert_eq!(from_json::<f32>(text.as_bytes()).unwrap().to_bits(), short.to_bits(), "{text}");
    }
    let text = to_json(&value).unwrap();
    assert_eq!(text, serde_json::to_string(&value).unwrap());
    assert_eq!(from_json::<f64>(text.as_bytes()).unwrap().to_bits(), value.to_bits(), "{text}");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,12}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_written_alike_and_comes_back(value in any_value()) {
        let text = to_json(&value).unwrap();
        prop_assert_eq!(&text, &serde_json::to_string(&value).unwrap());
        prop_assert_eq!(from_json::<Value>(text.as_bytes()).unwrap(), value);
    }

    #[test]
    fn any_text_that_was_broken_is_refused_alike(
        value in any_value(), at in any::<prop::sample::Index>(), other in any::<u8>(), cut in any::<bool>()
    ) {
        let mut text = serde_json::to_vec_pretty(&value).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = other }
        compare(&text);
    }

    #[test]
    fn any_bits_are_a_number_that_comes_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        if value.is_finite() { float(value) }
    }

    #[test]
    fn any_short_decimal_is_read_and_written_alike(digits in 0_u64..10_000_000_000_000_000, exponent in -40..40) {
        let text = format!("{digits}e{exponent}");
        let value: f64 = text.parse().unwrap();
        prop_assert_eq!(from_json::<f64>(text.as_bytes()).unwrap(), value);
        float(value);
    }

    #[test]
    fn any_number_is_read_or_refused_alike(text in "-?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{0,4})?") {
        same::<Value>(text.as_bytes());
    }
}
