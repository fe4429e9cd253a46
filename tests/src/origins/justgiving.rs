//! The JustGiving API: a page, and its donations page by page. Amounts are texts, dates are
//! `/Date(ms+0000)/`, a hidden amount is null.

use serde_json::{Value, json};

use super::{Asked, Reply, json_reply};

/// A fundraising page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the URL.
    pub short_name: String,
    /// What `x-api-key` must be.
    pub api_key: String,
    /// How many donations of 10 it has.
    pub donations: usize,
}

impl Page {
    pub(super) fn answer(&self, asked: &Asked) -> Reply {
        if asked.headers.get("x-api-key").and_then(|key| key.to_str().ok()) != Some(&self.api_key) {
            return json_reply(401, &json!([{ "id": "AppIdNotFound", "desc": "Valid API key required" }]));
        }
        let base = format!("/v1/fundraising/pages/{}", self.short_name);
        match asked.path.strip_prefix(&base) {
            Some("") => json_reply(200, &self.about()),
            Some("/donations") => json_reply(200, &self.donations(asked)),
            _ => json_reply(404, &json!([{ "id": "FundraisingPageNotFound" }])),
        }
    }

    fn about(&self) -> Value {
        json!({
            "pageId": "12345", "pageShortName": self.short_name, "title": "A long run", "currencySymbol": "£",
            "currencyCode": "GBP", "fundraisingTarget": "5,000.00",
            "grandTotalRaisedExcludingGiftAid": format!("{}.00", self.donations * 10),
            "totalRaisedOnline": format!("{}.00", self.donations * 10), "totalRaisedOffline": "0.00",
            "totalEstimatedGiftAid": "0.00", "status": "Active",
        })
    }

    fn donations(&self, asked: &Asked) -> Value {
        let number =
            |name: &str, default| asked.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (page, size): (usize, usize) = (number("pageNum", 1), number("pageSize", 25).clamp(1, 150));
        let shown: Vec<Value> = (0..self.donations)
            .skip((page.max(1) - 1) * size)
            .take(size)
            .map(|index| {
                json!({
                    "id": 1_000 + index,
                    "amount": (index % 7 != 3).then_some("10.00"),
                    "donationDate": "/Date(1747900800000+0000)/",
                    "donorDisplayName": if index % 5 == 0 { "Anonymous".to_owned() } else { format!("Donor {index}") },
                    "message": "Well done; it's \"great\"",
                })
            })
            .collect();
        json!({
            "donations": shown, "id": self.short_name,
            "pagination": {
                "pageNumber": page, "pageSizeReturned": shown.len(), "pageSizeRequested": size,
                "totalPages": self.donations.div_ceil(size), "totalResults": self.donations,
            },
        })
    }
}
