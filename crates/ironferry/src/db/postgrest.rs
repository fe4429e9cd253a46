//! Queries that are written with the `postgrest` crate (postgrest-rs), for those who know it. The crate writes
//! the request; the host sends it, with the keys of the role.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{Database, read};
use crate::{Error, Result};

impl Database {
    /// A client of `postgrest` for this project and schema. Its builders go to [`Database::fetch`]; their own
    /// `execute` has no keys, and nothing that could send in a module.
    pub fn postgrest(&self) -> postgrest::Postgrest {
        let client = postgrest::Postgrest::new([self.base().trim_end_matches('/'), "/rest/v1"].concat());
        match &self.schema {
            Some(schema) => client.schema(schema),
            None => client,
        }
    }

    /// Sends a query of `postgrest` and reads its rows.
    ///
    /// ```no_run
    /// # #[derive(serde::Deserialize)] struct Machine { case_serial: String }
    /// # async fn run(cx: ironferry::Context) -> ironferry::Result<()> {
    /// let db = cx.db();
    /// let query = db.postgrest().from("machines").select("case_serial").eq("status", "active");
    /// let active: Vec<Machine> = db.fetch(query).await?;
    /// # Ok(()) }
    /// ```
    pub async fn fetch<T: DeserializeOwned>(&self, query: postgrest::Builder) -> Result<T> {
        let unfit = |problem: String| Error::internal("the query could not be written").source(problem);
        let written = query.build().build().map_err(|error| unfit(error.to_string()))?;
        let body = written.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let mut request =
            http::Request::builder().method(written.method().as_str()).uri(written.url().as_str());
        for (name, value) in written.headers() {
            request = request.header(name.as_str(), value.as_bytes());
        }
        let request = request.body(Bytes::copy_from_slice(body)).map_err(|error| unfit(error.to_string()))?;
        read(self.send(request, false).await?.body())
    }
}
