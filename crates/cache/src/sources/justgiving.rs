//! A JustGiving page: its totals and all donations, by their API.
//!
//! `settings.page` is the page's short name. The key is `JUSTGIVING_API_KEY`.

use http::Method;
use ironferry::{Context, Error, Result};
use serde_json::{Value, json};

use super::{Call, Fetched, MAX_BODY, Source, call, encode, read, stamp};
use crate::entry::timestamp;

/// Of donations.
const PAGE_SIZE: usize = 150;
/// More than a page on JustGiving has ever had.
const MOST_PAGES: usize = 200;

pub(crate) async fn fetch(cx: &Context, source: &Source) -> Result<Fetched> {
    let page = source.settings["page"].as_str().unwrap_or("");
    if page.is_empty() || !page.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Error::bad_request("a justgiving source has settings.page, the page's short name")
            .code("INVALID_SOURCE"));
    }
    let base = [source.url.trim_end_matches('/'), "/v1/fundraising/pages/", page].concat();
    let about: Value = get(cx, source, &base).await?;
    let mut donations = Vec::new();
    for number in 1..=MOST_PAGES {
        let url = format!("{base}/donations?pageNum={number}&pageSize={PAGE_SIZE}");
        let mut more: Value = get(cx, source, &url).await?;
        let Value::Array(found) = more["donations"].take() else {
            return Err(super::protocol(source, "a page of donations has none"));
        };
        let last = more["pagination"]["totalPages"]
            .as_u64()
            .map_or(found.len() < PAGE_SIZE, |pages| number as u64 >= pages);
        donations.extend(found.into_iter().map(|donation| one(cx, donation)));
        if last {
            break;
        }
    }
    let now = stamp(cx);
    let body = json!({
        "timestamp": now,
        "last_updated": now,
        "page": page,
        "title": about["title"],
        "currency": about["currencyCode"],
        "currency_symbol": about["currencySymbol"],
        "target": amount(&about["fundraisingTarget"]),
        "total_raised": amount(&about["grandTotalRaisedExcludingGiftAid"]),
        "total_raised_online": amount(&about["totalRaisedOnline"]),
        "total_raised_offline": amount(&about["totalRaisedOffline"]),
        "estimated_gift_aid": amount(&about["totalEstimatedGiftAid"]),
        "total_donations": donations.len(),
        "donations": donations,
    });
    Ok(Fetched { body: encode(&body), rich_at: None })
}

async fn get(cx: &Context, source: &Source, url: &str) -> Result<Value> {
    let key = cx.require_secret("JUSTGIVING_API_KEY")?;
    let headers = [("x-api-key", key.expose())];
    let body = bytes::Bytes::new();
    let reply =
        call(cx, Call { source, method: Method::GET, url, headers: &headers, body, max_body: MAX_BODY })
            .await?;
    read(source, reply.body())
}

fn one(cx: &Context, mut donation: Value) -> Value {
    let donor = donation["donorDisplayName"].as_str().unwrap_or("Anonymous").to_owned();
    json!({
        "id": donation["id"].take(),
        "donor_name": donor,
        // Donors may hide it.
        "amount": amount(&donation["amount"]),
        "message": donation["message"].as_str().unwrap_or(""),
        "date": date(&donation["donationDate"]),
        "scraped_at": stamp(cx),
    })
}

/// Amounts come as texts, with commas in the thousands: they stay texts, so that no penny is lost.
fn amount(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace(',', "").trim().into(),
        Value::Number(number) => ironferry::to_json(&number).unwrap_or_default().into(),
        _ => Value::Null,
    }
}

/// `/Date(1747900000000+0000)/` in RFC 3339; anything else as it is.
fn date(value: &Value) -> Value {
    let ms = value.as_str().and_then(|text| {
        let inside = text.strip_prefix("/Date(")?;
        let end = inside[1..].find(['+', '-', ')'])? + 1;
        inside[..end].parse().ok()
    });
    ms.map_or_else(|| value.clone(), |ms: i64| timestamp(ms).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_dates_are_what_a_reader_expects() {
        assert_eq!(amount(&json!("1,234.50")), json!("1234.50"));
        assert_eq!(amount(&json!(20.5)), json!("20.5"));
        assert_eq!(amount(&Value::Null), Value::Null);
        assert_eq!(date(&json!("/Date(1747900800000+0000)/")), json!("2025-05-22T08:00:00Z"));
        assert_eq!(date(&json!("2025-05-22T08:00:00Z")), json!("2025-05-22T08:00:00Z"));
    }
}
