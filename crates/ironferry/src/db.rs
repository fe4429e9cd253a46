//! Typed access to Postgres through PostgREST, built on the `postgrest` crate: it writes the
//! requests, the host sends them.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::auth::APIKEY;
use crate::{Context, Error, FetchOptions, Result, Secret, from_json};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A statement that takes longer is a problem of its own; the platform cuts requests at 150 s.
const TIMEOUT: Duration = Duration::from_secs(30);
/// 1,000 rows (PostgREST's cap) of 32 kB.
const MAX_BODY: usize = 32_000_000;

thread_local! {
    // `postgrest` wants one; it only writes requests here, so one for all will do.
    static CLIENT: reqwest::Client = reqwest::Client::new();
}

/// Whom the database takes us for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The service role.
    Service,
    /// The caller, by the JWT of the request.
    Caller,
}

/// The database, seen as one role. From [`Context::db`] or [`Context::db_as_user`].
pub struct Database {
    cx: Context,
    role: Role,
}

impl Database {
    pub(crate) fn new(cx: Context, role: Role) -> Self {
        Self { cx, role }
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
        self.query(table, |builder| builder)
    }

    /// A call of a database function, its arguments by name.
    pub fn rpc(&self, function: &str, arguments: &impl Serialize) -> Query {
        // Compiled for each type of arguments: no more than this.
        self.call(function, crate::to_json(arguments))
    }

    fn call(&self, function: &str, arguments: std::result::Result<String, String>) -> Query {
        let failure = arguments.as_ref().err().cloned();
        let mut query =
            self.query(&format!("rpc/{function}"), |builder| builder.rpc(arguments.unwrap_or_default()));
        query.failure = failure;
        query
    }

    fn query(&self, path: &str, prepare: impl FnOnce(postgrest::Builder) -> postgrest::Builder) -> Query {
        let base = self.cx.secret("SUPABASE_URL").map_or("", Secret::expose).trim_end_matches('/');
        let url = format!("{base}/rest/v1/{path}");
        let client = CLIENT.with(Clone::clone);
        let builder = postgrest::Builder::new(url, None, reqwest::header::HeaderMap::new(), client);
        Query { cx: self.cx.clone(), role: self.role, builder: prepare(builder), prefer: None, failure: None }
    }
}

/// A query that is being written. The filters are PostgREST's.
#[must_use = "a query does nothing until it is fetched or executed"]
pub struct Query {
    cx: Context,
    role: Role,
    builder: postgrest::Builder,
    prefer: Option<&'static str>,
    failure: Option<String>,
}

macro_rules! filters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        impl Query {
            $($(#[$doc])* pub fn $name(self, column: &str, value: impl ToString) -> Self {
                self.with(|builder| builder.$name(column, value.to_string()))
            })*
        }
    };
}

filters! {
    /// `column = value`
    eq,
    /// `column <> value`
    neq,
    /// `column > value`
    gt,
    /// `column >= value`
    gte,
    /// `column < value`
    lt,
    /// `column <= value`
    lte,
    /// `column like value`, with `*` for `%`
    like,
    /// `column ilike value`, with `*` for `%`
    ilike,
    /// `column is null`, `true`, `false` or `unknown`
    is,
}

impl Query {
    fn with(mut self, change: impl FnOnce(postgrest::Builder) -> postgrest::Builder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// The columns, with PostgREST's syntax for embedding.
    pub fn select(self, columns: &str) -> Self {
        self.with(|builder| builder.select(columns))
    }

    /// `column in (values)`
    pub fn any_of<I>(self, column: &str, values: I) -> Self
    where
        I: IntoIterator<Item: ToString>,
    {
        self.with(|builder| builder.in_(column, values.into_iter().map(|value| value.to_string())))
    }

    /// The order, e.g. `created_at.desc,id`.
    pub fn order(self, columns: &str) -> Self {
        self.with(|builder| builder.order(columns))
    }

    /// Rows `from` to `to`, both included, counted from 0. PostgREST gives 1,000 at the most.
    pub fn range(self, from: usize, to: usize) -> Self {
        self.with(|builder| builder.range(from, to.max(from)))
    }

    /// Inserts one row or an array of them.
    pub fn insert(self, rows: &impl Serialize) -> Self {
        self.write(rows, "return=minimal", postgrest::Builder::insert)
    }

    /// Inserts rows, or updates those whose `conflict` columns exist.
    pub fn upsert(self, rows: &impl Serialize, conflict: &str) -> Self {
        self.write(rows, "return=minimal,resolution=merge-duplicates", |builder, body| {
            builder.upsert(body).on_conflict(conflict)
        })
    }

    /// Updates the rows that the filters leave.
    pub fn update(self, changes: &impl Serialize) -> Self {
        self.write(changes, "return=minimal", postgrest::Builder::update)
    }

    /// Deletes the rows that the filters leave.
    pub fn delete(mut self) -> Self {
        self.prefer = Some("return=minimal");
        self.with(postgrest::Builder::delete)
    }

    fn write(
        mut self,
        body: &impl Serialize,
        prefer: &'static str,
        apply: impl FnOnce(postgrest::Builder, String) -> postgrest::Builder,
    ) -> Self {
        self.prefer = Some(prefer);
        match crate::to_json(body) {
            Ok(body) => self.with(|builder| apply(builder, body)),
            Err(error) => {
                self.failure = Some(error);
                self
            }
        }
    }

    /// Sends the query and reads its rows (or the value that a function returned).
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        let body = self.send(None).await?;
        from_json(&body).map_err(|problem| {
            Error::internal("the database answered with rows of another shape")
                .code("DATABASE_ERROR")
                .source(problem)
        })
    }

    /// Sends the query and gives its rows as they came, a JSON array: for a reply that passes them on.
    pub async fn fetch_text(self) -> Result<Bytes> {
        self.send(None).await
    }

    /// Sends the query and reads its only row; 404 when there is none.
    pub async fn fetch_one<T: DeserializeOwned>(self) -> Result<T> {
        self.fetch_optional().await?.ok_or_else(|| Error::new(crate::Kind::NotFound, "there is no such row"))
    }

    /// Sends the query and reads its first row, if there is one.
    pub async fn fetch_optional<T: DeserializeOwned>(self) -> Result<Option<T>> {
        Ok(self.range(0, 0).fetch::<Vec<T>>().await?.into_iter().next())
    }

    /// Sends a query whose answer does not matter.
    pub async fn execute(self) -> Result<()> {
        let prefer = self.prefer.unwrap_or("return=minimal");
        self.send(Some(prefer)).await.map(drop)
    }

    async fn send(self, prefer: Option<&'static str>) -> Result<Bytes> {
        if let Some(problem) = self.failure {
            return Err(Error::internal("the query could not be written").source(problem));
        }
        let request = self.builder.build().build().map_err(|error| {
            Error::internal("SUPABASE_URL is not a URL").code("INVALID_SETTING").source(error)
        })?;
        let mut request = convert(&request)?;
        authorize(&self.cx, self.role, request.headers_mut())?;
        if let Some(prefer) = prefer {
            request.headers_mut().insert(PREFER, HeaderValue::from_static(prefer));
        }
        let options = FetchOptions {
            timeout: TIMEOUT,
            max_body: MAX_BODY,
            follow_redirects: false,
            reply_headers: false,
        };
        let reply = self.cx.fetch_with(request, options).await.map_err(|error| {
            Error::unavailable("the database cannot be reached").code("DATABASE_UNAVAILABLE").source(error)
        })?;
        if reply.status().is_success() { Ok(reply.into_body()) } else { Err(refusal(&reply)) }
    }
}

/// From reqwest's request, in the types of http 0.2, to ours.
fn convert(request: &reqwest::Request) -> Result<http::Request<Bytes>> {
    let mut converted =
        http::Request::builder().method(request.method().as_str()).uri(request.url().as_str());
    for (name, value) in request.headers() {
        converted = converted.header(name.as_str(), value.as_bytes());
    }
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    converted
        .body(Bytes::copy_from_slice(body))
        .map_err(|error| Error::internal("the query could not be written").source(error))
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
