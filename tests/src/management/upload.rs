//! An uploaded function: `multipart/form-data` with a part `metadata` and a part `file` for each source.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::Value;

/// What a deployment brought.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// `verify_jwt`, `entrypoint_path`, `import_map_path`, …
    pub metadata: Value,
    /// By path: `supabase/functions/collect-dex/index.ts`.
    pub files: BTreeMap<String, Bytes>,
}

pub(super) fn read(content_type: &str, body: &Bytes) -> Result<Upload> {
    let boundary = content_type.split_once("boundary=").context("there is no boundary")?.1;
    let mut upload = Upload::default();
    for part in parts(body, &format!("--{}", boundary.trim_matches('"'))) {
        let end = find(&part, b"\r\n\r\n").context("a part has no head")?;
        let head = std::str::from_utf8(&part[..end]).context("a head is no text")?;
        let content = part.slice(end + 4..);
        match quoted(head, " name=").as_deref() {
            Some("metadata") => upload.metadata = serde_json::from_slice(&content).context("the metadata")?,
            Some("file") => {
                let name = quoted(head, "filename=").context("a file has no name")?;
                upload.files.insert(name, content);
            }
            other => anyhow::bail!("there is no part {other:?}"),
        }
    }
    let entrypoint = upload.metadata["entrypoint_path"].as_str().context("there is no entrypoint_path")?;
    ensure!(upload.files.contains_key(entrypoint), "the entrypoint {entrypoint} was not uploaded");
    Ok(upload)
}

/// What lies between the boundaries, without the line breaks that belong to these.
fn parts(body: &Bytes, boundary: &str) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut rest = body.clone();
    while let Some(at) = find(&rest, boundary.as_bytes()) {
        let before = rest.split_to(at);
        if before.len() > 4 {
            parts.push(before.slice(2..before.len() - 2));
        }
        let _ = rest.split_to(boundary.len());
    }
    parts
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = text.get(from..)?.iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

fn quoted(head: &str, name: &str) -> Option<String> {
    let (_, rest) = head.split_once(&format!("{name}\""))?;
    Some(rest.split('"').next()?.to_owned())
}
