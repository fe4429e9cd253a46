//! Lists the active machines of the caller, with a query that the `postgrest` crate (postgrest-rs) writes.
//!
//! `GET /with-postgrest` answers `[{"id":1,"case_serial":"A1"}]`: the rows that row-level security leaves the
//! user whose JWT the request brings, or `anon`.

use ironferry::{Context, Request, Response, Result};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Machine {
    id: i64,
    case_serial: String,
}

/// Handles a request.
pub async fn handle(_request: Request, cx: Context) -> Result<Response> {
    let db = cx.db_as_user();
    let query =
        db.postgrest().from("machines").select("id,case_serial").eq("status", "active").order("case_serial");
    let machines: Vec<Machine> = db.fetch(query).await?;
    Response::json(200, &machines)
}

ironferry::export!(handle);
