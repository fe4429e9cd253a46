//! Walks over the keys that hold tokens, page after page, with values and lives: as much as fits a
//! batch is in memory, however many keys there are.

use bytes::Bytes;
use ironferry::{Context, Result};

use crate::redis::{Answer, Command, Redis, command, refused};

/// Patterns of keys, comma-separated, unless `TOKEN_REDIS_PATTERNS` names others.
const PATTERNS: &str = "token:*,auth:*";
/// Keys that Redis looks at for one page.
const PAGE: &str = "1000";
/// A batch is full when it has so many keys.
const BATCH: usize = 2_000;

/// A key and what was found under it.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) held: Held,
}

pub(crate) enum Held {
    /// A string, and its life in milliseconds: -1 for ever.
    Value(Vec<u8>, i64),
    /// Something that is passed over.
    Other(&'static str),
}

pub(crate) struct Scan {
    redis: Redis,
    patterns: Vec<String>,
    /// Where the first of the patterns stands; `None` before its first page.
    cursor: Option<Vec<u8>>,
    /// Keys of the last page, to be read with the next one: one round trip a page.
    keys: Vec<Vec<u8>>,
}

impl Scan {
    pub(crate) fn of(cx: &Context) -> Result<Self> {
        let patterns: String = cx.setting("TOKEN_REDIS_PATTERNS", PATTERNS.to_owned())?;
        let mut patterns: Vec<String> =
            patterns.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
        // The first one is taken from the end.
        patterns.reverse();
        Ok(Self { redis: Redis::of(cx)?, patterns, cursor: None, keys: Vec::new() })
    }

    /// The next batch; none when all has been seen. SCAN may give a key twice.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let mut entries = Vec::new();
        while entries.len() < BATCH && !(self.patterns.is_empty() && self.keys.is_empty()) {
            self.page(&mut entries).await?;
        }
        Ok((!entries.is_empty()).then_some(entries))
    }

    /// Reads the values of the last page's keys, and the keys of the next page.
    async fn page(&mut self, entries: &mut Vec<Entry>) -> Result<()> {
        let mut commands: Vec<Command> = Vec::with_capacity(self.keys.len() * 2 + 1);
        for key in &self.keys {
            let key = Bytes::copy_from_slice(key);
            commands.push(vec![Bytes::from_static(b"GET"), key.clone()]);
            commands.push(vec![Bytes::from_static(b"PTTL"), key]);
        }
        if let Some(pattern) = self.patterns.last() {
            let cursor = self.cursor.as_deref().unwrap_or(b"0");
            let mut scan = command(["SCAN", "", "MATCH", pattern, "COUNT", PAGE]);
            scan[1] = Bytes::copy_from_slice(cursor);
            commands.push(scan);
        }
        let mut answers = self.redis.pipeline(&commands).await?.into_iter();
        for key in std::mem::take(&mut self.keys) {
            let (value, life) = (answers.next(), answers.next());
            entries.extend(entry(key, value, life)?);
        }
        if let Some(found) = answers.next() {
            self.turn(found)?;
        }
        Ok(())
    }

    /// Takes a page of keys, and goes on to the next page or pattern.
    fn turn(&mut self, found: Answer) -> Result<()> {
        let Answer::List(parts) = found else {
            return Err(refused(&words(Some(found))));
        };
        let mut parts = parts.into_iter();
        let (Some(Answer::Text(cursor)), Some(Answer::List(keys))) = (parts.next(), parts.next()) else {
            return Err(refused("SCAN gave no cursor and keys"));
        };
        self.keys = keys
            .into_iter()
            .filter_map(|key| if let Answer::Text(key) = key { Some(key) } else { None })
            .collect();
        if cursor == b"0" {
            self.patterns.pop();
            self.cursor = None;
        } else {
            self.cursor = Some(cursor);
        }
        Ok(())
    }
}

/// Nothing for a key that went away meanwhile.
fn entry(key: Vec<u8>, value: Option<Answer>, life: Option<Answer>) -> Result<Option<Entry>> {
    let held = match (value, life) {
        (Some(Answer::Text(_)), Some(Answer::Int(-2))) | (Some(Answer::Nil), _) => return Ok(None),
        (Some(Answer::Text(value)), Some(Answer::Int(life))) => Held::Value(value, life),
        (Some(Answer::Failed(words)), _) if words.starts_with("WRONGTYPE") => {
            Held::Other("the value is not a string")
        }
        (Some(Answer::Text(_)), life) => return Err(refused(&words(life))),
        (value, _) => return Err(refused(&words(value))),
    };
    Ok(Some(match String::from_utf8(key) {
        Ok(key) => Entry { key, held },
        Err(error) => {
            let key = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Entry { key, held: Held::Other("the key is not text") }
        }
    }))
}

/// Redis' own words, where it has any. Never a value.
fn words(answer: Option<Answer>) -> String {
    match answer {
        Some(Answer::Failed(words)) => words,
        _ => "an answer of another kind".to_owned(),
    }
}
