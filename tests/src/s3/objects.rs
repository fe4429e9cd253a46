//! Objects, and those that are still arriving in parts.

use std::collections::BTreeMap;

use bytes::Bytes;

/// S3 refuses smaller parts, but for the last.
const SMALLEST_PART: usize = 5 << 20;

#[derive(Default)]
pub(super) struct Objects {
    whole: BTreeMap<String, Bytes>,
    uploads: BTreeMap<String, (String, BTreeMap<u32, Bytes>)>,
    begun: usize,
}

impl Objects {
    pub(super) fn keys(&self) -> Vec<String> {
        self.whole.keys().cloned().collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Bytes> {
        self.whole.get(key)
    }

    pub(super) fn put(&mut self, key: String, body: Bytes) {
        self.whole.insert(key, body);
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.whole.remove(key);
    }

    pub(super) fn spoil(&mut self, key: &str) {
        if let Some(body) = self.whole.get_mut(key) {
            let mut bytes = body.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            *body = bytes.into();
        }
    }

    /// Keys with this prefix after `after`, with their sizes.
    pub(super) fn after(&self, prefix: &str, after: &str) -> Vec<(String, usize)> {
        let all = self.whole.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        all.map(|(key, body)| (key.clone(), body.len())).collect()
    }

    pub(super) fn begin(&mut self, key: String) -> String {
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), (key, BTreeMap::new()));
        id
    }

    pub(super) fn part(&mut self, upload: &str, number: u32, body: Bytes) -> bool {
        self.uploads.get_mut(upload).map(|(_, parts)| parts.insert(number, body)).is_some()
    }

    pub(super) fn abort(&mut self, upload: &str) {
        self.uploads.remove(upload);
    }

    /// Joins the parts, which must be those that the client names.
    pub(super) fn complete(&mut self, upload: &str, named: &[u32]) -> Result<(), &'static str> {
        let (key, parts) = self.uploads.remove(upload).ok_or("NoSuchUpload")?;
        let there: Vec<u32> = parts.keys().copied().collect();
        if there != named {
            return Err("InvalidPart");
        }
        let last = there.last().copied();
        if parts.iter().any(|(number, part)| Some(*number) != last && part.len() < SMALLEST_PART) {
            return Err("EntityTooSmall");
        }
        let whole: Vec<u8> = parts.into_values().flatten().collect();
        self.whole.insert(key, whole.into());
        Ok(())
    }
}

/// Made up: nobody compares it with anything but itself.
pub(super) fn etag(body: &[u8]) -> String {
    let sum = body.iter().fold(17u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("\"{sum:016x}\"")
}
