//! An answer, and what a refusal says.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RemoteError;

/// An answer of a function or of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body. Text where it is no JSON, null where there is none.
    pub json: Value,
    /// `X-Request-Id`, or the platform's own: what to look for in the logs.
    pub request_id: Option<String>,
    who: String,
    location: Option<String>,
    /// Of `Content-Range: 1000-1999/*`: which row is the first.
    pub(super) first_row: Option<usize>,
}

/// As much as a terminal line should hold of a page that is no JSON.
const QUOTED: usize = 200;

pub(super) async fn read(response: reqwest::Response, who: &str) -> Result<Reply, reqwest::Error> {
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let request_id = header("x-request-id").or_else(|| header("sb-request-id"));
    let (status, location) = (response.status().as_u16(), header("location"));
    let first_row = header("content-range").and_then(|range| range.split_once('-')?.0.parse().ok());
    let body = response.bytes().await?;
    let json = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into())
    };
    Ok(Reply { status, json, request_id, who: who.to_owned(), location, first_row })
}

impl Reply {
    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body of a success.
    ///
    /// # Errors
    /// [`RemoteError::Refused`] when it is none.
    pub fn success(self) -> Result<Value, RemoteError> {
        if self.is_success() { Ok(self.json) } else { Err(self.refusal()) }
    }

    /// The body of a success, as a type.
    ///
    /// # Errors
    /// When it is no success, or of another shape.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, RemoteError> {
        let who = self.who.clone();
        serde_json::from_value(self.success()?)
            .map_err(|error| RemoteError::Shape { who, reason: error.to_string() })
    }

    fn refusal(&self) -> RemoteError {
        let code = self.text(&["code"]).map(str::to_owned);
        RemoteError::Refused { status: self.status, code, problem: self.problem() }
    }

    /// `collect-dex answered 409: it is being collected (COLLECTING, request 1f0c…)`. Functions say
    /// `error`, PostgREST and the gateway `message`, the latter some `msg`.
    pub(crate) fn problem(&self) -> String {
        let mut text = format!("{} answered {}", self.who, self.status);
        if let (300..400, Some(location)) = (self.status, &self.location) {
            return format!("{text}, a redirect to {location}: is the URL right?");
        }
        let message = self.text(&["error", "message", "msg", "error_description"]);
        let message = message.or(self.json.as_str()).map(str::trim).filter(|message| !message.is_empty());
        if let Some(message) = message {
            text += ": ";
            text.extend(message.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }));
        }
        let request = self.text(&["request_id"]).or(self.request_id.as_deref());
        let more = [
            self.text(&["code"]).map(str::to_owned),
            self.text(&["details"]).map(str::to_owned),
            self.text(&["hint"]).map(|hint| format!("hint: {hint}")),
            request.map(|id| format!("request {id}")),
        ];
        let more: Vec<String> = more.into_iter().flatten().collect();
        if more.is_empty() { text } else { format!("{text} ({})", more.join(", ")) }
    }

    fn text(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.json.get(name)?.as_str())
    }
}
