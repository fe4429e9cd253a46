//! The database over PostgREST, as the service role. The `postgrest` crate writes the requests; they
//! are sent by the same client as all others.

use std::sync::LazyLock;

use postgrest::Builder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Key, Method, Remote, RemoteError, Reply, keys};

/// `postgrest` wants one; it sends nothing.
static WRITER: LazyLock<postgrest_http::Client> = LazyLock::new(postgrest_http::Client::new);

/// What PostgREST gives at once, as hosted projects are set.
const PAGE: usize = 1_000;

impl Remote {
    /// Calls a database function that gives one value. Arguments are an object; those that are null
    /// should be left out of it, so that the function's defaults count.
    ///
    /// # Errors
    /// When there is no secret key, no answer, or a refusal; when the value is of another shape.
    pub async fn rpc<T: DeserializeOwned>(
        &self,
        name: &str,
        arguments: &impl Serialize,
    ) -> Result<T, RemoteError> {
        self.ask(self.call(name, arguments)?, name).await?.read()
    }

    /// Calls a database function that gives rows, and reads `limit` of them at the most. It may be
    /// called several times, for page after page: it should change nothing and give them in an order.
    ///
    /// # Errors
    /// As [`Remote::rpc`].
    pub async fn rpc_rows<T: DeserializeOwned>(
        &self,
        name: &str,
        limit: usize,
        arguments: &impl Serialize,
    ) -> Result<Vec<T>, RemoteError> {
        self.pages(&self.call(name, arguments)?, limit, name).await
    }

    /// Reads rows of a table or view, `limit` at the most. The query may be sent several times, for
    /// page after page: it should have an order.
    ///
    /// # Errors
    /// When there is no secret key, no answer, or a refusal; when the rows are of another shape.
    pub async fn select<T: DeserializeOwned>(
        &self,
        table: &str,
        limit: usize,
        query: impl FnOnce(Builder) -> Builder,
    ) -> Result<Vec<T>, RemoteError> {
        self.pages(&query(self.query(table)?), limit, table).await
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        query: &Builder,
        limit: usize,
        who: &str,
    ) -> Result<Vec<T>, RemoteError> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            let page = PAGE.min(limit - rows.len());
            let (from, to) = (rows.len(), rows.len() + page - 1);
            let reply = self.ask(query.clone().range(from, to), who).await?;
            // postrust gives all rows of a function at once, whatever range is asked for.
            if from > 0 && reply.first_row.is_some_and(|first| first != from) {
                break;
            }
            let more: Vec<T> = reply.read()?;
            let is_last = more.len() != page;
            rows.extend(more);
            if is_last {
                break;
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    fn call(&self, name: &str, arguments: &impl Serialize) -> Result<Builder, RemoteError> {
        let arguments = serde_json::to_string(arguments)
            .map_err(|error| RemoteError::Setting(format!("the arguments of {name}: {error}")))?;
        Ok(self.query(&format!("rpc/{name}"))?.rpc(arguments))
    }

    fn query(&self, path: &str) -> Result<Builder, RemoteError> {
        let url = self.address(&format!("rest/v1/{path}"))?;
        Ok(Builder::new(url, None, postgrest_http::header::HeaderMap::new(), WRITER.clone()))
    }

    async fn ask(&self, query: Builder, who: &str) -> Result<Reply, RemoteError> {
        let key: &Key = self.secret.as_ref().ok_or_else(keys::none)?;
        let unfit =
            |what: String| RemoteError::Setting(format!("the query of {who} cannot be written: {what}"));
        let written = query.build().build().map_err(|error| unfit(error.to_string()))?;
        let method = Method::from_bytes(written.method().as_str().as_bytes());
        let method = method.map_err(|error| unfit(error.to_string()))?;
        let mut headers = headers(written.headers()).ok_or_else(|| unfit("a header".to_owned()))?;
        key.put_for_database(&mut headers)?;
        let url = written.url().as_str();
        let body = written.body().and_then(postgrest_http::Body::as_bytes).unwrap_or_default().to_vec();
        self.send(self.client.request(method, url).headers(headers).body(body), key, who).await
    }
}

/// From the types of http 0.2 to those of http 1.
fn headers(old: &postgrest_http::header::HeaderMap) -> Option<HeaderMap> {
    old.iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        })
        .collect()
}
