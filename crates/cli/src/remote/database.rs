//! The database over PostgREST, as the service role. Queries are written as in a function, and sent by the same
//! client as all other requests.

use ironferry::db::Query;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Key, Remote, RemoteError, Reply, keys};

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
        self.ask(&Query::function(name, arguments), name).await?.read()
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
        self.pages(Query::function(name, arguments), limit, name).await
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
        query: impl FnOnce(Query<()>) -> Query<()>,
    ) -> Result<Vec<T>, RemoteError> {
        self.pages(query(Query::table(table)), limit, table).await
    }

    async fn pages<T: DeserializeOwned>(
        &self,
        query: Query<()>,
        limit: usize,
        who: &str,
    ) -> Result<Vec<T>, RemoteError> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            let page = PAGE.min(limit - rows.len());
            let (from, to) = (rows.len(), rows.len() + page - 1);
            let reply = self.ask(&query.clone().range(from, to), who).await?;
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

    async fn ask(&self, query: &Query<()>, who: &str) -> Result<Reply, RemoteError> {
        let key: &Key = self.secret.as_ref().ok_or_else(keys::none)?;
        let unfit =
            |what: String| RemoteError::Setting(format!("the query of {who} cannot be written: {what}"));
        let mut request = query.request(self.url.as_str()).map_err(unfit)?;
        key.put_for_database(request.headers_mut())?;
        let request = reqwest::Request::try_from(request).map_err(|error| unfit(error.to_string()))?;
        self.send(reqwest::RequestBuilder::from_parts(self.client.clone(), request), key, who).await
    }
}
