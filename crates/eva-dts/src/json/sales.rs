//! What was sold.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Object;
use crate::sales::{Flaw, Interval, Key, Sale, Sales};

impl Serialize for Sales<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { intervals, quarantined, duplicates } = self;
        let quarantined: Vec<Quarantined> =
            quarantined.iter().map(|(key, flaw)| Quarantined { key: *key, flaw: *flaw }).collect();
        let mut object = Object::new(to)?;
        object.always("intervals", intervals)?.always("quarantined", &quarantined)?;
        object.always("duplicates", duplicates)?;
        object.0.end()
    }
}

struct Quarantined {
    key: Key,
    flaw: Flaw,
}

impl Serialize for Quarantined {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = Object::new(to)?;
        object.always("key", &self.key)?.always("flaw", self.flaw.name())?;
        object.0.end()
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { captured_at, id } = self;
        let mut object = Object::new(to)?;
        object.always("captured_at", captured_at)?.always("id", id)?;
        object.0.end()
    }
}

impl Serialize for Interval<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { from, to: until, continuity, sales } = self;
        let mut object = Object::new(to)?;
        object.always("from", from)?.always("to", until)?;
        object.always("continuity", continuity.name())?.always("sales", sales)?;
        object.0.end()
    }
}

impl Serialize for Sale<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { selection, counter, sold } = self;
        let mut object = Object::new(to)?;
        object.put("selection", selection)?.always("counter", counter.name())?;
        object.put("count", &sold.count)?.put("value", &sold.value)?;
        object.0.end()
    }
}
