//! The store itself: it refuses what the real one refuses.

use anyhow::Result;

use super::S3;
use crate::http::Client;

const SIGNED: [(&str, &str); 3] = [
    (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=simulated/20261121/eu/s3/aws4_request, SignedHeaders=host, Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    ),
    ("x-amz-date", "20261121T120000Z"),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
];

#[tokio::test]
async fn an_unsigned_request_is_refused() -> Result<()> {
    let s3 = S3::start(false).await?;
    let client = Client::new(&s3.url());
    assert_eq!(client.send("PUT", "/bucket/a", &[], "text").await?.status, 403);
    assert_eq!(client.send("PUT", "/bucket/a", &SIGNED, "text").await?.status, 200);
    assert_eq!(client.send("GET", "/bucket/a", &SIGNED, "").await?.body, "text");
    assert_eq!((s3.stats().unsigned, s3.keys()), (1, vec!["a".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn a_list_has_pages_and_a_part_that_is_too_small_is_refused() -> Result<()> {
    let s3 = S3::start(false).await?;
    let client = Client::new(&s3.url());
    for number in 0..6 {
        client.send("PUT", &format!("/bucket/a/{number}"), &SIGNED, "x").await?;
    }
    let page = client.send("GET", "/bucket?list-type=2&prefix=a/", &SIGNED, "").await?;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    assert!(
        page.contains("<IsTruncated>true</IsTruncated>") && page.contains("<NextContinuationToken>a/3<"),
        "{page}"
    );

    client.send("POST", "/bucket/b?uploads", &SIGNED, "").await?;
    for part in 1..=2 {
        client.send("PUT", &format!("/bucket/b?partNumber={part}&uploadId=upload-1"), &SIGNED, "x").await?;
    }
    let named = "<Part><PartNumber>1</PartNumber></Part><Part><PartNumber>2</PartNumber></Part>";
    let done = client.send("POST", "/bucket/b?uploadId=upload-1", &SIGNED, named).await?;
    assert_eq!(done.status, 400);
    Ok(())
}
