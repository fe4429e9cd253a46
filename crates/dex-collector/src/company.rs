//! The collection of one company: log in, list, download what is new, store.

use std::time::Duration;

use ironferry::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::capture::Capture;
use crate::cpu::Share;
use crate::store::Stored;
use crate::vendor::{Listed, Session, Window};
use crate::{Budget, CPU_BUDGET_SPENT, Claim, sales, store};

/// A capture that is older and still fails may do so by itself, and does not make its company fail.
const RECENT: Duration = Duration::from_hours(48);
/// A device's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_hours(24);
/// Captures stored by one call: what a crash loses at the most, and downloads again.
const STORED_AT_ONCE: usize = 20;

/// Which part of the list to collect. The list does not shrink while it is collected: an offset
/// counts listed captures, not new ones. A limit counts new ones: what is known costs next to nothing, and
/// who begins at the front again gets further each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch {
    /// How many new captures to download; all of them when absent.
    pub limit: Option<usize>,
    /// How many listed ones to pass over.
    pub offset: usize,
}

/// What a collection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// New captures stored.
    pub records: usize,
    /// Machines they came from.
    pub machines: usize,
    /// Captures that could not be downloaded or stored; the next tick tries them again.
    pub errors: Vec<CaptureError>,
    /// When the oldest of them was made: the next collection lists from there.
    pub failed_from: Option<OffsetDateTime>,
    /// Whether it saw the list from its beginning to its end. Only then is what it did not see not there.
    pub is_whole: bool,
    /// Captures that the site listed.
    pub available: usize,
    /// Where the next batch begins, when there is one.
    pub next_offset: Option<usize>,
}

impl Collected {
    /// A collection that ended before its list was complete.
    fn cut_off(batch: Batch) -> Self {
        Self { next_offset: Some(batch.offset), ..Self::default() }
    }
}

/// A capture that was not collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureError {
    /// The site's number.
    pub dex_id: i64,
    /// Why.
    pub error: String,
}

/// Collects a company whose lease the run holds. Ends early, and says where, when the budget is spent.
pub async fn collect(cx: &Context, budget: &Budget, claim: &Claim, batch: Batch) -> Result<Collected> {
    let share = budget.share();
    let login = claim.login()?.open(cx, &claim.company_id)?;
    let site = claim.site_url.as_deref().unwrap_or_default();
    let mut session = Session::login(cx, budget, site, &login).await?;

    let now = cx.now();
    let listed = match session.list(Window { from: claim.collect_from()?, to: now + AHEAD }).await {
        Err(error) if error.as_code() == CPU_BUDGET_SPENT => return Ok(Collected::cut_off(batch)),
        listed => listed?,
    };
    let mut new = only_new(cx, budget, claim, listed.get(batch.offset..).unwrap_or_default()).await?;
    let left_out = batch.limit.and_then(|limit| new.get(limit)).copied();
    let next = left_out.and_then(|first| listed.iter().position(|row| std::ptr::eq(row, first)));
    new.truncate(batch.limit.unwrap_or(usize::MAX));
    share.expect(new.len());

    let mut work =
        Download { cx, budget, share, claim, session, collected: Collected::default(), machines: Vec::new() };
    let complete = work.run(&new).await?;
    let errors = &work.collected.errors;
    let failed_from = new
        .iter()
        .find(|row| errors.iter().any(|failed| failed.dex_id == row.dex_id))
        .map(|row| row.captured_at);
    let collected = Collected {
        failed_from,
        is_whole: complete && batch.offset == 0 && next.is_none(),
        available: listed.len(),
        // What is stored is not listed as new again, so that an early end repeats its own batch.
        next_offset: if complete { next } else { Some(batch.offset) },
        machines: work.machines.len(),
        ..work.collected
    };
    let is_recent = new.last().is_some_and(|newest| newest.captured_at > now - RECENT);
    let all_failed = collected.records == 0 && collected.errors.len() == new.len();
    match collected.errors.first() {
        Some(first) if all_failed && is_recent => Err(Error::bad_gateway(format!(
            "none of {} captures could be collected: {}",
            new.len(),
            first.error
        ))
        .code("CAPTURES_FAILED")),
        _ => Ok(collected),
    }
}

async fn only_new<'a>(
    cx: &Context,
    budget: &Budget,
    claim: &Claim,
    listed: &'a [Listed],
) -> Result<Vec<&'a Listed>> {
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    budget.spend();
    let ids: Vec<i64> = listed.iter().map(|row| row.dex_id).collect();
    // Some hundreds of numbers: a table of them is 3 kB of a module and saves microseconds.
    let unseen = store::unseen(cx, &claim.company_id, &ids).await?;
    Ok(listed.iter().filter(|row| unseen.contains(&row.dex_id)).collect())
}

/// Whether the site would answer the next request in the same way.
fn refuses_all(error: &Error) -> bool {
    matches!(error.as_code(), "TOO_MANY_REQUESTS" | "LOGIN_REFUSED" | "SESSION_REFUSED")
}

struct Download<'a> {
    cx: &'a Context,
    budget: &'a Budget,
    share: Share,
    claim: &'a Claim,
    session: Session<'a>,
    collected: Collected,
    /// Their serials, each once.
    machines: Vec<String>,
}

impl Download<'_> {
    /// Downloads and stores; false when the budget ended it. A site that asks for patience, or takes the login
    /// no more, is not asked for the rest; what came until then is stored.
    async fn run(&mut self, new: &[&Listed]) -> Result<bool> {
        let pause = Duration::from_millis(self.cx.setting("COLLECT_PAUSE_MS", 0)?);
        for chunk in new.chunks(STORED_AT_ONCE) {
            let mut captures = Vec::with_capacity(chunk.len());
            let mut open = true;
            let mut refusal = None;
            for row in chunk {
                open = self.budget.may_download(self.cx, &self.share);
                if !open {
                    break;
                }
                if !pause.is_zero() {
                    self.cx.sleep(pause).await;
                }
                match self.session.fetch(row.dex_id).await {
                    Ok(raw) => captures.push(Capture::read(row, &raw)),
                    Err(error) if refuses_all(&error) => {
                        refusal = Some(error);
                        break;
                    }
                    Err(error) => self.failed(row.dex_id, error.to_string()),
                }
            }
            self.record(captures).await?;
            if let Some(error) = refusal {
                return Err(error);
            }
            if !open {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Stores captures. One that the database refuses takes those of its machine behind it along, whose sales
    /// were computed from it: each of them is tried again by itself, from what is stored then.
    async fn record(&mut self, mut captures: Vec<Capture>) -> Result<()> {
        if captures.is_empty() {
            return Ok(());
        }
        for stored in self.store(&mut captures).await? {
            let place = captures.iter_mut().position(|one| one.dex_id == stored.dex_id && one.count_again());
            let refused = match place {
                Some(place) => self.store(&mut captures[place..=place]).await?,
                None => vec![stored],
            };
            for stored in refused {
                self.failed(stored.dex_id, stored.error.unwrap_or_else(|| "the database rejected it".into()));
            }
        }
        Ok(())
    }

    /// Stores captures with their sales, and gives those that the database refuses.
    async fn store(&mut self, captures: &mut [Capture]) -> Result<Vec<Stored>> {
        self.budget.spend();
        let around = store::around(self.cx, &self.claim.company_id, captures).await?;
        sales::add(captures, around);
        self.budget.spend();
        let mut outcomes = store::record(self.cx, &self.claim.company_id, captures).await?;
        outcomes.retain(|stored| match stored.outcome.as_str() {
            "stored" => {
                self.collected.records += 1;
                let machine = captures.iter().find(|capture| capture.dex_id == stored.dex_id);
                if let Some(serial) = machine.map(|capture| &capture.case_serial)
                    && !self.machines.contains(serial)
                {
                    self.machines.push(serial.clone());
                }
                false
            }
            // Another run was faster: it is there, which is what was wanted.
            outcome => outcome != "duplicate",
        });
        Ok(outcomes)
    }

    fn failed(&mut self, dex_id: i64, error: String) {
        let company = &self.claim.company_id;
        self.cx.warn(
            "collect_dex.capture_failed",
            json!({ "company": company, "dex_id": dex_id, "error": error }),
        );
        self.collected.errors.push(CaptureError { dex_id, error });
    }
}
