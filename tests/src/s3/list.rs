//! `ListObjectsV2`.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::objects::Objects;

/// A thousand on the real one; few, so that a list has pages.
const PAGE: usize = 4;

/// The XML of a page. The continuation token is the last key of the page before.
pub(super) fn page(bucket: &str, query: &HashMap<String, String>, objects: &Objects) -> String {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let (prefix, after) = (text("prefix"), text("continuation-token"));
    let found = objects.after(prefix, after);
    let is_truncated = found.len() > PAGE;
    let shown = &found[..found.len().min(PAGE)];
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{PAGE}</MaxKeys><IsTruncated>{is_truncated}</IsTruncated>",
        shown.len()
    );
    for (key, size) in shown {
        let _ = write!(
            xml,
            "<Contents><Key>{key}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    if let Some((last, _)) = shown.last().filter(|_| is_truncated) {
        let _ = write!(xml, "<NextContinuationToken>{last}</NextContinuationToken>");
    }
    xml + "</ListBucketResult>"
}
