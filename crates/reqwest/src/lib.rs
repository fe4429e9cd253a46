//! Stands in for reqwest 0.11 under the `postgrest` crate, which only writes requests here: the host
//! sends them. reqwest itself, with `url`, `idna` and a second copy of `http`, is a third of a module.
//!
//! `[patch.crates-io]` in the workspace puts it in reqwest's place. Its names are reqwest's, so that
//! `ironferry` compiles with either; what neither `postgrest` nor `ironferry` calls is not here.
#![forbid(unsafe_code)]

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use http::Method;
use http::header::HeaderMap;

/// Header names and values, those of `http`.
pub mod header {
    pub use http::header::{HeaderMap, HeaderName, HeaderValue, IntoHeaderName};
}

/// What a query may have as it is: all that means nothing in a query string.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'*')
    .remove(b',')
    .remove(b'(')
    .remove(b')')
    .remove(b':');

/// Begins requests.
#[derive(Clone, Debug, Default)]
pub struct Client;

impl Client {
    /// One for all.
    pub fn new() -> Self {
        Self
    }

    /// Begins a request.
    pub fn request(&self, method: Method, url: String) -> RequestBuilder {
        RequestBuilder(Request { method, url: Url(url), headers: HeaderMap::new(), body: Body::default() })
    }
}

/// A request that is being written.
#[derive(Debug)]
pub struct RequestBuilder(Request);

impl RequestBuilder {
    /// Its headers.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers = headers;
        self
    }

    /// Parameters of its query.
    #[must_use]
    pub fn query(mut self, parameters: &[(String, String)]) -> Self {
        let Url(url) = &mut self.0.url;
        for (place, (name, value)) in parameters.iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.extend(utf8_percent_encode(name, PLAIN));
            url.push('=');
            url.extend(utf8_percent_encode(value, PLAIN));
        }
        self
    }

    /// Its body.
    #[must_use]
    pub fn body(mut self, body: String) -> Self {
        self.0.body = Body(body);
        self
    }

    /// The request.
    ///
    /// # Errors
    /// None: whoever sends it finds out whether its URL is one.
    pub fn build(self) -> Result<Request, Error> {
        Ok(self.0)
    }

    /// Nothing is sent from here.
    ///
    /// # Errors
    /// Always: the host sends what [`RequestBuilder::build`] gives.
    pub async fn send(self) -> Result<Response, Error> {
        std::future::ready(Err(Error)).await
    }
}

/// A request as `postgrest` wrote it.
#[derive(Debug)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Body,
}

impl Request {
    /// Its method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Its URL with its query.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its body.
    pub fn body(&self) -> Option<&Body> {
        Some(&self.body)
    }
}

/// A URL, unread.
#[derive(Debug)]
pub struct Url(String);

impl Url {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A body.
#[derive(Debug, Default)]
pub struct Body(String);

impl Body {
    /// As bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        Some(self.0.as_bytes())
    }
}

/// There is no response without sending.
#[derive(Debug)]
pub enum Response {}

/// The request was not sent.
#[derive(Debug)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is the host that sends requests")
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_written_so_that_nothing_in_it_is_taken_for_syntax() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let parameters = [
            pair("name", "eq.Smith & Söhne + 1=2?"),
            pair("id", "in.(\"a,b\",c)"),
            pair("select", "*,users(id)"),
        ];
        let request = Client::new()
            .request(Method::GET, "http://db/rest/v1/t".into())
            .query(&parameters)
            .build()
            .unwrap();
        assert_eq!(
            request.url().as_str(),
            "http://db/rest/v1/t?name=eq.Smith%20%26%20S%C3%B6hne%20%2B%201%3D2%3F&id=in.(%22a,b%22,c)&select=*,users(id)"
        );
    }
}
