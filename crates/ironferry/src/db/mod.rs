//! Typed access to Postgres through PostgREST.

mod filter;
#[cfg(feature = "postgrest")]
mod postgrest;
mod query;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_RANGE, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::filter::Filters;
pub use self::query::{Count, Query};
use crate::auth::APIKEY;
use crate::{Context, Error, FetchOptions, Kind, Result, Secret, from_json, to_json};

/// A statement that takes longer is a problem of its own; the platform cuts requests at 150 s.
const TIMEOUT: Duration = Duration::from_secs(30);
/// 1,000 rows (PostgREST's cap) of 32 kB.
const MAX_BODY: usize = 32_000_000;
/// Rows that [`Query::fetch_all`] asks for at once: `max_rows` as projects have it by default.
const PAGE: usize = 1_000;

/// Whom the database takes us for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The service role.
    Service,
    /// The caller, by the JWT of the request.
    Caller,
}

/// The database, seen as one role. From [`Context::db`] or [`Context::db_as_user`].
#[derive(Clone)]
pub struct Database {
    cx: Context,
    role: Role,
    schema: Option<String>,
}

impl Database {
    pub(crate) fn new(cx: Context, role: Role) -> Self {
        Self { cx, role, schema: None }
    }

    /// The same with another schema, one of those that the project exposes.
    #[must_use]
    pub fn schema(mut self, name: &str) -> Self {
        self.schema = Some(name.to_owned());
        self
    }

    /// A query on a table or view.
    ///
    /// ```no_run
    /// # #[derive(serde::Deserialize)] struct Machine { case_serial: String }
    /// # async fn run(cx: ironferry::Context) -> ironferry::Result<()> {
    /// let active: Vec<Machine> =
    ///     cx.db().from("machines").select("case_serial").eq("status", "active").fetch().await?;
    /// # Ok(()) }
    /// ```
    pub fn from(&self, table: &str) -> Query {
        let query = Query::new(self.clone(), table);
        match &self.schema {
            Some(schema) => query.schema(schema),
            None => query,
        }
    }

    /// A call of a database function, its arguments by name.
    pub fn rpc(&self, function: &str, arguments: &impl Serialize) -> Query {
        // Compiled for each type of arguments: no more than this.
        self.from("").call(function, to_json(arguments))
    }

    fn base(&self) -> &str {
        self.cx.secret("SUPABASE_URL").map_or("", Secret::expose)
    }

    async fn send(
        &self,
        mut request: http::Request<Bytes>,
        with_headers: bool,
    ) -> Result<http::Response<Bytes>> {
        authorize(&self.cx, self.role, request.headers_mut())?;
        let options = FetchOptions {
            timeout: TIMEOUT,
            max_body: MAX_BODY,
            follow_redirects: false,
            reply_headers: with_headers,
        };
        let reply = self.cx.fetch_with(request, options).await.map_err(|error| {
            Error::unavailable("the database cannot be reached").code("DATABASE_UNAVAILABLE").source(error)
        })?;
        if reply.status().is_success() { Ok(reply) } else { Err(refusal(&reply)) }
    }
}

/// Rows with the number of those that the query would give without its limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// How many there are in all, where [`Query::count`] asked for it.
    pub total: Option<u64>,
}

impl Query {
    /// Sends the query and reads its rows (or the value that a function returned). What was written is read
    /// back. A project gives 1,000 rows at the most, unless `max_rows` says otherwise: see [`Query::fetch_all`].
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        read(&self.fetch_text().await?)
    }

    /// Sends the query and gives its rows as they came, a JSON array: for a reply that passes them on.
    pub async fn fetch_text(self) -> Result<Bytes> {
        Ok(self.reading_back().send(false).await?.into_body())
    }

    /// Sends the query and reads its rows and how many there are in all.
    pub async fn fetch_page<T: DeserializeOwned>(self) -> Result<Page<T>> {
        let reply = self.reading_back().send(true).await?;
        Ok(Page { rows: read(reply.body())?, total: total(&reply) })
    }

    /// Sends the query as often as it takes to read all rows, whatever `max_rows` of the project is. It should
    /// have an order that no two rows share; rows that change meanwhile may come twice or not at all.
    pub async fn fetch_all<T: DeserializeOwned>(self) -> Result<Vec<T>> {
        let (skip, wanted) = (self.skipped(), self.limited_to().unwrap_or(usize::MAX));
        let mut counted = self.clone();
        if !self.asks_for_a_count() {
            counted = counted.count(Count::Exact);
        }
        let mut rows: Vec<T> = Vec::new();
        let mut end = wanted;
        while rows.len() < end {
            let first = skip + rows.len();
            let query = if rows.is_empty() { counted.clone() } else { self.clone() };
            let page = query.range(first, first + PAGE.min(end - rows.len()) - 1).fetch_page().await?;
            if page.rows.is_empty() {
                break;
            }
            if let Some(total) = page.total {
                end = wanted.min(usize::try_from(total).unwrap_or(usize::MAX).saturating_sub(skip));
            }
            rows.extend(page.rows);
        }
        Ok(rows)
    }

    /// Counts the rows without reading them, exactly unless [`Query::count`] says otherwise.
    pub async fn fetch_count(mut self) -> Result<u64> {
        if !self.asks_for_a_count() {
            self = self.count(Count::Exact);
        }
        self.method = Method::HEAD;
        let reply = self.send(true).await?;
        total(&reply).ok_or_else(|| Error::internal("the database did not count").code("DATABASE_ERROR"))
    }

    /// Sends the query and reads its first row; 404 when there is none.
    pub async fn fetch_one<T: DeserializeOwned>(self) -> Result<T> {
        self.fetch_optional().await?.ok_or_else(no_row)
    }

    /// Sends the query and reads its first row, if there is one.
    pub async fn fetch_optional<T: DeserializeOwned>(self) -> Result<Option<T>> {
        let query = if self.is_write() { self } else { self.limit(1) };
        Ok(query.fetch::<Vec<T>>().await?.into_iter().next())
    }

    /// Sends the query and reads its only row; 404 when there is none, 500 `SEVERAL_ROWS` when there are more.
    /// What would write another number of rows than one writes nothing.
    pub async fn fetch_single<T: DeserializeOwned>(self) -> Result<T> {
        self.fetch_maybe_single().await?.ok_or_else(no_row)
    }

    /// Sends the query and reads its only row, if there is one; 500 `SEVERAL_ROWS` when there are more.
    pub async fn fetch_maybe_single<T: DeserializeOwned>(mut self) -> Result<Option<T>> {
        self.accept = "application/vnd.pgrst.object+json";
        match self.fetch_text().await {
            Ok(row) => read(&row).map(Some),
            Err(error) => match error.database() {
                Some(problem) if problem.code == "PGRST116" && problem.is_about_no_row() => Ok(None),
                Some(problem) if problem.code == "PGRST116" => {
                    Err(Error::internal("there is more than one such row")
                        .code("SEVERAL_ROWS")
                        .source(problem.clone()))
                }
                _ => Err(error),
            },
        }
    }

    /// Sends the query for its plan, as text. The project must permit it (`pgrst.db_plan_enabled`), which is for
    /// development. `options` are those of `explain`, such as `analyze|verbose`, or none.
    pub async fn explain(mut self, options: &str) -> Result<String> {
        self.plan = Some(options.to_owned());
        let plan = self.send(false).await?.into_body();
        Ok(String::from_utf8_lossy(&plan).into_owned())
    }

    /// Sends a query whose answer does not matter.
    pub async fn execute(self) -> Result<()> {
        self.prefer("return=minimal").send(false).await.map(drop)
    }

    fn reading_back(self) -> Self {
        if self.is_write() { self.prefer("return=representation") } else { self }
    }

    async fn send(self, with_headers: bool) -> Result<http::Response<Bytes>> {
        let request = self
            .request(self.to.base())
            .map_err(|problem| Error::internal("the query could not be written").source(problem))?;
        self.to.send(request, with_headers).await
    }
}

fn no_row() -> Error {
    Error::new(Kind::NotFound, "there is no such row")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    from_json(body).map_err(|problem| {
        Error::internal("the database answered with rows of another shape")
            .code("DATABASE_ERROR")
            .source(problem)
    })
}

/// The number behind the stroke of `Content-Range: 0-24/3573`.
fn total(reply: &http::Response<Bytes>) -> Option<u64> {
    let range = reply.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.rsplit_once('/')?.1.parse().ok()
}

/// New keys travel in `apikey` alone; a legacy key is a JWT and goes into both headers.
fn authorize(cx: &Context, role: Role, headers: &mut http::HeaderMap) -> Result<()> {
    let secrets = cx.host().secrets();
    let (key, bearer) = match role {
        Role::Service => {
            let key = secrets.service_keys.first();
            let key = key.ok_or_else(|| Error::missing_secret("SUPABASE_SECRET_KEYS"))?;
            let bearer = (!key.expose().starts_with("sb_")).then(|| key.clone());
            (key, bearer)
        }
        Role::Caller => {
            let key = secrets.publishable_keys.first();
            let key = key.ok_or_else(|| Error::missing_secret("SUPABASE_PUBLISHABLE_KEYS"))?;
            (key, cx.credentials().bearer())
        }
    };
    headers.insert(APIKEY, header_value(key.expose())?);
    if let Some(bearer) = bearer {
        headers.insert(AUTHORIZATION, header_value(&format!("Bearer {}", bearer.expose()))?);
    }
    Ok(())
}

fn header_value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| {
        Error::internal("a key holds characters that no header may have").code("INVALID_SETTING")
    })
}

/// What PostgREST says of a query that failed. [`Error::database`] gives it back.
#[derive(thiserror::Error, Clone, Debug, Default, Deserialize)]
#[error("{code} {message} ({details:?}, {hint:?})")]
pub struct DatabaseError {
    /// Postgres' SQLSTATE (`23505`) or PostgREST's own (`PGRST116`).
    #[serde(default)]
    pub code: String,
    /// What went wrong.
    #[serde(default)]
    pub message: String,
    /// More of it, e.g. the key that exists already.
    #[serde(default)]
    pub details: Option<String>,
    /// How to mend it.
    #[serde(default)]
    pub hint: Option<String>,
}

impl DatabaseError {
    /// Whether a refusal to give one row (`PGRST116`) is for want of any: "The result contains 0 rows".
    fn is_about_no_row(&self) -> bool {
        self.details.as_deref().is_some_and(|details| details.contains(" 0 rows"))
    }
}

fn refusal(reply: &http::Response<Bytes>) -> Error {
    let status = reply.status().as_u16();
    let problem: DatabaseError = from_json(reply.body()).unwrap_or_else(|_| DatabaseError {
        code: status.to_string(),
        message: String::from_utf8_lossy(&reply.body()[..reply.body().len().min(200)]).into_owned(),
        ..DatabaseError::default()
    });
    let error = match (status, problem.code.as_str()) {
        (409, _) | (_, "23505") => Error::conflict("it is there already"),
        (500.., _) => Error::unavailable("the database is not available").code("DATABASE_UNAVAILABLE"),
        (_, "42501") => Error::forbidden("the database does not permit this").code("DATABASE_FORBIDDEN"),
        _ => Error::internal("the database refused the query").code("DATABASE_ERROR"),
    };
    error.source(problem)
}

impl Error {
    /// PostgREST's own words, where the error came from the database.
    pub fn database(&self) -> Option<&DatabaseError> {
        std::error::Error::source(self)?.downcast_ref()
    }
}
