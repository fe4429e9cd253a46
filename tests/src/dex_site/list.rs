//! The list of captures, in the words of DataTables' server side.

use std::cmp::Ordering;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::answer::{Reply, json};
use super::asked::Asked;
use super::sessions::Session;
use super::{Shared, lock};
use crate::captures::Capture;

pub(super) fn page(shared: &Shared, asked: &Asked, session: &Session) -> Reply {
    let email = session.account.as_deref().unwrap_or_default();
    *lock(&shared.stats).lists.entry(email.to_owned()).or_default() += 1;
    let (grows_by, page_rows) = shared.with_faults(Some(email), |faults| (faults.grows_by, faults.page_rows));

    let mut accounts = lock(&shared.accounts);
    let Some(account) = accounts.get_mut(email) else {
        return json(200, &empty(asked));
    };
    // Devices report while somebody pages, and their captures move the others down.
    account.grow(grows_by);
    let Some(order) = Order::of(asked) else {
        // A form without columns is no table's form: yajra/laravel-datatables answers 200 and says so.
        let mut said = empty(asked);
        said["error"] = "Exception Message:\n\nUndefined array key \"columns\"\n".into();
        return json(200, &said);
    };
    let (from, to) = (bound(asked, "startDateVal"), bound(asked, "endDateVal"));
    let mut shown: Vec<&Capture> = account
        .captures
        .iter()
        .filter(|one| from.is_none_or(|from| one.created >= from) && to.is_none_or(|to| one.created <= to))
        .collect();
    shown.sort_by(|a, b| order.compare(a, b));
    let start = usize::try_from(asked.number("start").unwrap_or(0)).unwrap_or(0);
    // -1 is DataTables' word for all.
    let length = usize::try_from(asked.number("length").unwrap_or(10)).unwrap_or(usize::MAX);
    let length = length.min(page_rows.unwrap_or(usize::MAX));
    let rows: Vec<Value> = shown.iter().skip(start).take(length).map(|one| row(one)).collect();
    json(
        200,
        &json!({
            "draw": asked.number("draw").unwrap_or(0),
            "recordsTotal": account.captures.len(),
            "recordsFiltered": shown.len(),
            "data": rows,
        }),
    )
}

fn empty(asked: &Asked) -> Value {
    json!({ "draw": asked.number("draw").unwrap_or(0), "recordsTotal": 0, "recordsFiltered": 0, "data": [] })
}

/// `YYYY-MM-DDTHH:MM:SS+HH:MM`, from the page's date picker.
fn bound(asked: &Asked, name: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(asked.field(name), &Rfc3339).ok()
}

struct Order {
    by_serial: bool,
    descending: bool,
}

impl Order {
    /// None when the form does not name the column that it sorts by.
    fn of(asked: &Asked) -> Option<Self> {
        let column = asked.number("order[0][column]").unwrap_or(2);
        let name = asked.field(&format!("columns[{column}][data]"));
        (!name.is_empty()).then(|| Self {
            by_serial: name == "devices.caseSerial",
            descending: asked.field("order[0][dir]") != "asc",
        })
    }

    fn compare(&self, a: &Capture, b: &Capture) -> Ordering {
        let by_time = (a.created, a.dex_id).cmp(&(b.created, b.dex_id));
        let order = if self.by_serial { a.serial.cmp(&b.serial).then(by_time) } else { by_time };
        if self.descending { order.reverse() } else { order }
    }
}

fn row(capture: &Capture) -> Value {
    json!({
        "dexRaw": {
            "id": capture.dex_id,
            "created": created(capture.created),
            "uploadReason": 0,
            "parsed": 1,
            "preprocessed": 1,
            "firmware": "1.8.18.1",
            "VDIUploaded": 1,
            "vdiProviderID": null,
            "dexSource": "Device",
        },
        "devices": { "caseSerial": capture.serial },
        "customers": { "name": "Simulated operator", "is_inventory": 0 },
        "DT_RowId": format!("row_{}", capture.dex_id),
        "vdiToDEX": [{
            "id": 60,
            "vdiPrepend": "SIMULATED",
            "vdiProviderLabel": "Cantaloupe",
            "uploadStatus": 1,
            "vdiSource": 0,
        }],
    })
}

/// `YYYY-MM-DD HH:MM:SS`: UTC, though it does not say so.
fn created(at: OffsetDateTime) -> String {
    let (hour, minute, second) = at.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02}", at.date())
}
