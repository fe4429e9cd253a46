//! The request a handler receives.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;

use crate::{Error, Result, from_json};

/// An `http::Request<Bytes>` with what a handler reaches for. The path is the one the
/// platform hands over: it begins with the function's name, `/collect-dex/status`.
#[derive(Clone, Debug)]
pub struct Request(http::Request<Bytes>);

impl Request {
    /// The method.
    pub fn method(&self) -> &Method {
        self.0.method()
    }

    /// The whole URI.
    pub fn uri(&self) -> &Uri {
        self.0.uri()
    }

    /// The path without a trailing slash, percent-encoding untouched.
    pub fn path(&self) -> &str {
        path(self.0.uri())
    }

    /// The path below the function's name: `/collect-dex/runs/7` gives `/runs/7`, and
    /// `/collect-dex` gives `/`.
    pub fn route(&self) -> &str {
        let path = self.path();
        path[1..].find('/').map_or("/", |slash| &path[slash + 1..])
    }

    /// The headers that the shim was asked to hand over.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// A header as text; `None` when absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// A query parameter, decoded. The first one wins.
    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.0.uri().query()?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// A query parameter that must parse, or its default when absent.
    pub fn query_or<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.query(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                Error::bad_request(format!("query parameter `{name}` does not accept `{text}`"))
                    .code("INVALID_QUERY")
            }),
        }
    }

    /// The body as it came.
    pub fn body(&self) -> &Bytes {
        self.0.body()
    }

    /// 415 when the body is said to be something else than JSON; one that says nothing is taken for it.
    pub fn require_json(&self) -> Result<()> {
        match self.header("content-type") {
            Some(kind) if !kind.split(';').next().unwrap_or("").trim().ends_with("json") => {
                Err(Error::unsupported_media_type("send application/json"))
            }
            _ => Ok(()),
        }
    }

    /// The body read as JSON. 400 with the path of the field that does not fit,
    /// 415 for a `Content-Type` that is not JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.require_json()?;
        from_json(self.body()).map_err(|problem| {
            Error::bad_request(format!("the body is not what is expected: {problem}")).code("INVALID_JSON")
        })
    }

    /// The plain request of the `http` crate.
    pub fn into_http(self) -> http::Request<Bytes> {
        self.0
    }
}

pub(crate) fn path(uri: &Uri) -> &str {
    match uri.path().trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

impl From<http::Request<Bytes>> for Request {
    fn from(request: http::Request<Bytes>) -> Self {
        Self(request)
    }
}

/// Percent- and plus-decoding as forms do it; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(uri: &str) -> Request {
        http::Request::builder().uri(uri).body(Bytes::new()).unwrap().into()
    }

    #[test]
    fn the_route_is_the_path_below_the_functions_name() {
        assert_eq!(get("http://x/collect-dex").route(), "/");
        assert_eq!(get("http://x/collect-dex/").route(), "/");
        assert_eq!(get("http://x/collect-dex/runs/7/").route(), "/runs/7");
        assert_eq!(get("http://x/").route(), "/");
    }

    #[test]
    fn query_parameters_are_decoded() {
        let request = get("http://x/f?wait=true&name=M%C3%BCller+%26+Co&broken=%zz&flag");
        assert_eq!(request.query("wait").as_deref(), Some("true"));
        assert_eq!(request.query("name").as_deref(), Some("Müller & Co"));
        assert_eq!(request.query("broken").as_deref(), Some("%zz"));
        assert_eq!(request.query("flag").as_deref(), Some(""));
        assert_eq!(request.query("absent"), None);
        assert_eq!(request.query_or("limit", 15).unwrap(), 15);
        assert_eq!(request.query_or("wait", 1).unwrap_err().as_code(), "INVALID_QUERY");
    }
}
