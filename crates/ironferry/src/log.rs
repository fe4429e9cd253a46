//! Structured logs: one JSON object a line, the event's name first.

use serde_json::Value;

use ironferry_json::append;

/// How much it matters. The setting `LOG_LEVEL` (default `info`) hides what is below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever debugs the function.
    Debug,
    /// What happened, for whoever runs it.
    #[default]
    Info,
    /// Something to look at; the work went on.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// Reads the setting; what is not a level is `info`.
    pub(crate) fn from_setting(text: Option<&str>) -> Self {
        match text {
            Some("debug") => Level::Debug,
            Some("warn") => Level::Warn,
            Some("error") => Level::Error,
            _ => Level::Info,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// The platform cuts messages at 10,000 characters; a cut JSON line is none.
const LONGEST_FIELD: usize = 2_000;

/// `{"event":"…","level":"…","request_id":"…",…fields}`
pub(crate) fn line(level: Level, event: &str, request_id: &str, fields: Value) -> String {
    let mut line = String::with_capacity(256);
    line.push_str(r#"{"event":"#);
    append(&mut line, event);
    line.extend([r#","level":""#, level.name(), r#"","request_id":"#]);
    append(&mut line, request_id);
    if let Value::Object(fields) = fields {
        for (name, value) in fields {
            line.push(',');
            append(&mut line, &name);
            line.push(':');
            let start = line.len();
            append(&mut line, &value);
            if line.len() - start > LONGEST_FIELD {
                let end = line.floor_char_boundary(start + LONGEST_FIELD);
                let cut = [&line[start..end], "…"].concat();
                line.truncate(start);
                append(&mut line, &cut);
            }
        }
    }
    line.push('}');
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_one_json_object_with_the_event_first() {
        let text = line(Level::Warn, "collect_dex.failed", "r\"1", json!({"company": "c", "n": 3}));
        assert!(text.starts_with(r#"{"event":"collect_dex.failed","level":"warn""#));
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["request_id"], "r\"1");
        assert_eq!(parsed["n"], 3);
    }

    #[test]
    fn a_long_field_is_cut_and_still_json() {
        let text = line(Level::Info, "e", "r", json!({"body": "ü".repeat(5_000)}));
        assert!(text.len() < 3_000);
        serde_json::from_str::<Value>(&text).unwrap();
    }
}
