//! A query as it is written: PostgREST's URLs, headers and bodies.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::filter::{Filter, Filters, list};
use super::{Database, to_json};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const ACCEPT_PROFILE: HeaderName = HeaderName::from_static("accept-profile");
const CONTENT_PROFILE: HeaderName = HeaderName::from_static("content-profile");

/// What stands in a query string as it is: everything that means nothing there.
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

/// How PostgREST counts the rows that a query would give without its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Counts every row.
    Exact,
    /// Takes the planner's estimate.
    Planned,
    /// Counts few rows and estimates many.
    Estimated,
}

/// A query that is being written, with PostgREST's grammar (<https://docs.postgrest.org/en/stable/references/api.html>).
///
/// A query of a [`Database`] is sent by its `fetch` methods. One without, [`Query::table`] or
/// [`Query::function`], is only written: [`Query::request`].
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is sent"]
pub struct Query<To = Database> {
    pub(super) to: To,
    pub(super) method: Method,
    path: String,
    schema: Option<String>,
    /// The query string, encoded.
    parameters: String,
    order: String,
    range: Option<(usize, usize)>,
    prefer: Vec<&'static str>,
    pub(super) accept: &'static str,
    /// The options of `explain`, where the plan is wanted.
    pub(super) plan: Option<String>,
    body: Bytes,
    /// Why the body could not be written.
    failure: Option<String>,
}

impl Query<()> {
    /// Begins a query on a table or view.
    pub fn table(name: &str) -> Self {
        Query::new((), name)
    }

    /// Begins a call of a database function, its arguments by name.
    pub fn function(name: &str, arguments: &impl Serialize) -> Self {
        Query::table("").call(name, to_json(arguments))
    }
}

impl<To> Query<To> {
    pub(super) fn new(to: To, table: &str) -> Self {
        Self {
            to,
            method: Method::GET,
            path: utf8_percent_encode(table, PLAIN).to_string(),
            schema: None,
            parameters: String::new(),
            order: String::new(),
            range: None,
            prefer: Vec::new(),
            accept: "application/json",
            plan: None,
            body: Bytes::new(),
            failure: None,
        }
    }

    pub(super) fn call(mut self, function: &str, arguments: Result<String, String>) -> Self {
        self.path = format!("rpc/{}", utf8_percent_encode(function, PLAIN));
        self.write(Method::POST, arguments)
    }

    /// Names the schema, one of those that the project exposes. Without it, the first of them counts.
    pub fn schema(mut self, name: &str) -> Self {
        self.schema = Some(name.to_owned());
        self
    }

    /// Chooses columns, with PostgREST's syntax for embedding, casts and aggregates:
    /// `id, machines!inner(case_serial)`. Blanks outside quotes are left out.
    pub fn select(self, columns: &str) -> Self {
        let mut quoted = false;
        let kept = columns.chars().filter(|&sign| {
            quoted ^= sign == '"';
            quoted || !sign.is_whitespace()
        });
        let kept: String = kept.collect();
        self.parameter("select", &kept)
    }

    /// The filter `column operator value` of any operator that PostgREST knows, e.g.
    /// `("name", "like(any)", "{A*,B*}")`. `machines.status` filters an embedded table.
    pub fn filter(self, column: &str, operator: &str, value: &str) -> Self {
        self.parameter(column, &[operator, ".", value].concat())
    }

    /// `column in (values)`
    pub fn any_of<I>(self, column: &str, values: I) -> Self
    where
        I: IntoIterator<Item: ToString>,
    {
        let values = list(&mut values.into_iter().map(|value| value.to_string()));
        self.parameter(column, &["in.", &values].concat())
    }

    /// At least one of the filters.
    ///
    /// ```
    /// # use ironferry::db::Query;
    /// let query = Query::table("orders").or(|any| any.eq("status", "open").gt("quantity", 100));
    /// let request = query.request("https://p.supabase.co").unwrap();
    /// assert_eq!(request.uri().query(), Some("or=(status.eq.open,quantity.gt.100)"));
    /// ```
    pub fn or(self, any: impl FnOnce(Filters) -> Filters) -> Self {
        self.parameter("or", &any(Filters::default()).listed())
    }

    /// At least one of the filters, on the rows of an embedded table.
    pub fn or_in(self, table: &str, any: impl FnOnce(Filters) -> Filters) -> Self {
        self.parameter(&[table, ".or"].concat(), &any(Filters::default()).listed())
    }

    /// All of the filters. Filters that follow each other mean the same; this is for use within `or`.
    pub fn and(self, all: impl FnOnce(Filters) -> Filters) -> Self {
        self.parameter("and", &all(Filters::default()).listed())
    }

    /// Not all of the filters: of one filter, its opposite.
    pub fn not(self, all: impl FnOnce(Filters) -> Filters) -> Self {
        let (name, value) = Filter::not(all(Filters::default())).parameter();
        self.parameter(&name, &value)
    }

    /// The order, e.g. `created_at.desc.nullslast,id`. Called again, it orders further.
    pub fn order(mut self, columns: &str) -> Self {
        if !self.order.is_empty() {
            self.order.push(',');
        }
        self.order.push_str(columns);
        self
    }

    /// The order of the rows of an embedded table.
    pub fn order_in(self, table: &str, columns: &str) -> Self {
        self.parameter(&[table, ".order"].concat(), columns)
    }

    /// At most so many rows of an embedded table for each row.
    pub fn limit_in(self, table: &str, rows: usize) -> Self {
        self.parameter(&[table, ".limit"].concat(), &rows.to_string())
    }

    /// At most so many rows, from the first. The project's `max_rows`, 1,000 by default, limits them too.
    pub fn limit(mut self, rows: usize) -> Self {
        self.range = Some((self.range.map_or(0, |(skip, _)| skip), rows));
        self
    }

    /// Rows `from` to `to`, both included, counted from 0. The project's `max_rows`, 1,000 by default, limits
    /// them too.
    pub fn range(mut self, from: usize, to: usize) -> Self {
        self.range = Some((from, to.max(from) - from + 1));
        self
    }

    /// Counts the rows that the query would give without its limit, for [`Query::fetch_page`].
    pub fn count(self, how: Count) -> Self {
        self.prefer(match how {
            Count::Exact => "count=exact",
            Count::Planned => "count=planned",
            Count::Estimated => "count=estimated",
        })
    }

    /// Inserts one row or an array of them.
    pub fn insert(self, rows: &impl Serialize) -> Self {
        self.write(Method::POST, to_json(rows))
    }

    /// Inserts rows, or updates those whose `conflict` columns exist.
    pub fn upsert(self, rows: &impl Serialize, conflict: &str) -> Self {
        self.insert(rows).prefer("resolution=merge-duplicates").parameter("on_conflict", conflict)
    }

    /// Inserts rows, and leaves those alone whose `conflict` columns exist.
    pub fn insert_or_ignore(self, rows: &impl Serialize, conflict: &str) -> Self {
        self.insert(rows).prefer("resolution=ignore-duplicates").parameter("on_conflict", conflict)
    }

    /// Updates the rows that the filters leave. The platform refuses an update without a filter.
    pub fn update(self, changes: &impl Serialize) -> Self {
        self.write(Method::PATCH, to_json(changes))
    }

    /// Deletes the rows that the filters leave. The platform refuses a deletion without a filter.
    pub fn delete(mut self) -> Self {
        self.method = Method::DELETE;
        self
    }

    pub(super) fn prefer(mut self, wish: &'static str) -> Self {
        self.prefer.push(wish);
        self
    }

    /// Whether the query reads a table: a limit of what is written would mean something else.
    pub(super) fn may_be_limited(&self) -> bool {
        self.method == Method::GET || self.path.starts_with("rpc/")
    }

    pub(super) fn is_write(&self) -> bool {
        !self.may_be_limited()
    }

    pub(super) fn skipped(&self) -> usize {
        self.range.map_or(0, |(skip, _)| skip)
    }

    pub(super) fn limited_to(&self) -> Option<usize> {
        self.range.map(|(_, rows)| rows)
    }

    pub(super) fn asks_for_a_count(&self) -> bool {
        self.prefer.iter().any(|wish| wish.starts_with("count="))
    }

    fn accepted(&self) -> Result<HeaderValue, String> {
        let Some(options) = &self.plan else { return Ok(HeaderValue::from_static(self.accept)) };
        let kind = format!("application/vnd.pgrst.plan+text; for=\"{}\"; options={options}", self.accept);
        HeaderValue::from_str(&kind).map_err(|_| format!("`{options}` are no options of explain"))
    }

    fn parameter(mut self, name: &str, value: &str) -> Self {
        add(&mut self.parameters, name, value);
        self
    }

    fn write(mut self, method: Method, body: Result<String, String>) -> Self {
        self.method = method;
        match body {
            Ok(body) => self.body = body.into(),
            Err(problem) => self.failure = Some(problem),
        }
        self
    }

    /// Writes the request for the project at `base`, such as `https://abcdefghijklmnopqrst.supabase.co`, without
    /// keys.
    ///
    /// # Errors
    /// When a body could not be written as JSON, when `base` is no URL, or when a schema's name cannot be a
    /// header.
    pub fn request(&self, base: &str) -> Result<Request<Bytes>, String> {
        if let Some(problem) = &self.failure {
            return Err(problem.clone());
        }
        let mut parameters = self.parameters.clone();
        if !self.order.is_empty() {
            add(&mut parameters, "order", &self.order);
        }
        if let Some((skip, rows)) = self.range {
            if skip > 0 {
                add(&mut parameters, "offset", &skip.to_string());
            }
            add(&mut parameters, "limit", &rows.to_string());
        }
        let mut uri = [base.trim_end_matches('/'), "/rest/v1/", &self.path].concat();
        if !parameters.is_empty() {
            uri.push('?');
            uri.push_str(&parameters);
        }
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        let uri: Option<Uri> = uri.parse().ok();
        let uri = uri.filter(|uri| uri.host().is_some());
        *request.uri_mut() = uri.ok_or_else(|| format!("`{base}` is not a URL"))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, self.accepted()?);
        if !reads {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(schema) = &self.schema {
            let name = HeaderValue::from_str(schema).map_err(|_| format!("{schema} is not a schema"))?;
            headers.insert(if reads { ACCEPT_PROFILE } else { CONTENT_PROFILE }, name);
        }
        if !self.prefer.is_empty() {
            let wishes = HeaderValue::from_str(&self.prefer.join(",")).map_err(|error| error.to_string())?;
            headers.insert(PREFER, wishes);
        }
        Ok(request)
    }
}

fn add(parameters: &mut String, name: &str, value: &str) {
    if !parameters.is_empty() {
        parameters.push('&');
    }
    parameters.extend(utf8_percent_encode(name, PLAIN));
    parameters.push('=');
    parameters.extend(utf8_percent_encode(value, PLAIN));
}
