//! The Strava API: tokens whose refresh token is used up by its use, activities page by page, and the
//! headers of the read limits.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{Asked, Reply, json_reply, pairs};

/// An athlete, and the application that may read them.
#[derive(Clone, Debug)]
pub struct Athlete {
    /// The refresh token that is taken; the others are used up.
    pub refresh_token: String,
    /// The access token that is taken.
    pub access_token: String,
    /// How long a new access token is good for.
    pub token_seconds: i64,
    /// How many activities there are, a day apart, the newest an hour old; every third is a ride.
    pub activities: usize,
    /// Requests of this quarter of an hour.
    pub used: u64,
    /// How many it may have.
    pub limit: u64,
    grants: usize,
}

impl Default for Athlete {
    fn default() -> Self {
        Self {
            refresh_token: "refresh-0".to_owned(),
            access_token: String::new(),
            token_seconds: 21_600,
            activities: 0,
            used: 0,
            limit: 100,
            grants: 0,
        }
    }
}

impl Athlete {
    pub(super) fn grant(&mut self, asked: &Asked) -> Reply {
        let form = pairs(&String::from_utf8_lossy(&asked.body));
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if field("client_id") != "client" || field("client_secret") != "the-client-secret" {
            return json_reply(401, &json!({ "message": "Authorization Error" }));
        }
        if field("grant_type") != "refresh_token" || field("refresh_token") != self.refresh_token {
            return json_reply(
                400,
                &json!({ "message": "Bad Request", "errors": [{ "field": "refresh_token", "code": "invalid" }] }),
            );
        }
        self.grants += 1;
        self.refresh_token = format!("refresh-{}", self.grants);
        self.access_token = format!("access-{}", self.grants);
        let expires = OffsetDateTime::now_utc().unix_timestamp() + self.token_seconds;
        json_reply(
            200,
            &json!({
                "token_type": "Bearer", "access_token": self.access_token, "expires_at": expires,
                "expires_in": self.token_seconds, "refresh_token": self.refresh_token,
            }),
        )
    }

    pub(super) fn answer(&mut self, asked: &Asked) -> Reply {
        let shown = asked.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
        if self.access_token.is_empty() || shown != format!("Bearer {}", self.access_token) {
            return json_reply(401, &json!({ "message": "Authorization Error" }));
        }
        self.used += 1;
        let mut reply = if self.used > self.limit {
            json_reply(429, &json!({ "message": "Rate Limit Exceeded" }))
        } else {
            match asked.path.strip_prefix("/api/v3").unwrap_or("") {
                "/athlete/activities" => json_reply(200, &self.page(asked)),
                path if path.ends_with("/comments") => {
                    json_reply(200, &json!([{ "id": 1, "text": "Nice one" }]))
                }
                path if path.ends_with("/photos") => json_reply(200, &json!([{ "unique_id": "p-1" }])),
                _ => json_reply(404, &json!({ "message": "Record Not Found" })),
            }
        };
        let headers = reply.headers_mut();
        for (name, value) in [
            ("x-ratelimit-limit", "200,2000".to_owned()),
            ("x-ratelimit-usage", format!("{},{}", self.used, self.used)),
            ("x-readratelimit-limit", format!("{},1000", self.limit)),
            ("x-readratelimit-usage", format!("{},{}", self.used, self.used)),
        ] {
            headers.insert(name, value.parse().expect("a header value"));
        }
        reply
    }

    fn page(&self, asked: &Asked) -> Value {
        let number =
            |name: &str, default| asked.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let (page, size, after) = (number("page", 1), number("per_page", 30).min(200), number("after", 0));
        let now = OffsetDateTime::now_utc();
        let begun = |index: i64| now - Duration::hours(1) - Duration::days(index);
        let all = (0..i64::try_from(self.activities).unwrap_or(0))
            .filter(|index| begun(*index).unix_timestamp() > after);
        let from = usize::try_from((page - 1) * size).unwrap_or(0);
        all.skip(from)
            .take(usize::try_from(size).unwrap_or(0))
            .map(|index| {
                let at = begun(index).replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
                json!({
                    "id": 9_000 + index, "name": format!("Run {index}"), "distance": 5_012.3, "moving_time": 1_800,
                    "elapsed_time": 1_900, "total_elevation_gain": 40.0,
                    "type": if index % 3 == 2 { "Ride" } else { "Run" }, "start_date": at, "start_date_local": at,
                    "map": { "summary_polyline": "_p~iF~ps|U_ulLnnqC'\\;" }, "total_photo_count": 1,
                })
            })
            .collect()
    }
}
