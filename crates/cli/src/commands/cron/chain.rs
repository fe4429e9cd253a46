//! Judges the chain: scheduled → fired → answered → run, and says in plain words where it broke.

use serde::Serialize;

use super::facts::{Call, Facts, Job, Run, Tick};
use super::schedule::Schedule;
use crate::commands::inspect::duration;

/// A tick comes late when the server starts its job: so late it did not come.
const LATE_SECONDS: f64 = 90.0;
/// A request leaves the queue within seconds; the worker's slowest batch takes longer.
const QUEUED_SECONDS: f64 = 60.0;
/// A function's worker lives 400 s at the most, and so does its run.
const RUN_SECONDS: f64 = 600.0;

/// Which link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Link {
    Scheduled,
    Fired,
    Answered,
    Run,
}

/// Where a chain broke, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Break {
    pub(super) link: Link,
    pub(super) reason: String,
    /// A later tick made the call again, with success.
    pub(super) mended: bool,
}

impl Break {
    fn new(link: Link, reason: impl Into<String>) -> Self {
        Self { link, reason: reason.into(), mended: false }
    }
}

/// A job as a whole: whether ticks come at all.
pub(super) fn job(job: &Job, facts: &Facts) -> Option<Break> {
    let now = facts.now;
    if !job.active {
        return Some(Break::new(
            Link::Scheduled,
            "the job is switched off: select cron.alter_job(jobid, active := true)",
        ));
    }
    if facts.scheduler_gone {
        return Some(Break::new(
            Link::Fired,
            "pg_cron does not run: no tick comes until the database starts it",
        ));
    }
    let due = Schedule::parse(&job.schedule)?.last_due(now - LATE_SECONDS)?;
    let ago = duration(now - due);
    match job.ticks.iter().find_map(|tick| tick.at) {
        None if job.ticks.is_empty() => {
            // One that was made after it was last due has nothing to show yet.
            let was_there = job.known_since.is_some_and(|since| since < due);
            was_there.then(|| {
                Break::new(
                    Link::Fired,
                    format!("a tick was due {ago} ago, and none is recorded: is pg_cron running?"),
                )
            })
        }
        // A second's schedule slips; two of its ticks missing is a break.
        Some(last) if last + LATE_SECONDS < due => Some(Break::new(
            Link::Fired,
            format!("a tick was due {ago} ago and did not come: is pg_cron running?"),
        )),
        _ => None,
    }
}

/// One tick, with the calls that it made.
pub(super) fn tick(job: &Job, tick: &Tick, facts: &Facts) -> Option<Break> {
    match tick.status.as_deref() {
        Some("failed") => {
            let message = tick.message.as_deref().unwrap_or("no message").trim();
            return Some(Break::new(Link::Fired, format!("its SQL failed: {message}")));
        }
        Some("succeeded") => {}
        Some("running") => return None,
        _ => {
            let waits = tick.at.map_or_else(String::new, |at| format!(" for {}", duration(facts.now - at)));
            return Some(Break::new(
                Link::Fired,
                format!("pg_cron has not begun it{waits}: too many jobs at once?"),
            ));
        }
    }
    // Ticks from before the ledger was made have no calls in it.
    let is_known = facts.has_ledger && tick.at >= facts.ledger_since;
    if is_known && tick.calls.is_empty() && calls_functions(job) {
        return Some(Break::new(Link::Answered, "its SQL succeeded and queued no request"));
    }
    // The first call that broke, and of those one that nobody made good.
    let broken: Vec<Break> = tick.calls.iter().filter_map(|one| call(one, facts)).collect();
    broken.iter().find(|one| !one.mended).or(broken.first()).cloned()
}

/// Other jobs are SQL alone: for them the chain ends with the tick.
pub(super) fn calls_functions(job: &Job) -> bool {
    job.command.contains("call_function")
        || job.ticks.iter().any(|tick| tick.calls.iter().any(|call| !call.is_retry))
}

fn call(call: &Call, facts: &Facts) -> Option<Break> {
    let age = facts.now - call.at;
    let name = &call.function;
    let answered = |reason: String| {
        let mut broken = Break::new(Link::Answered, reason);
        if let Some(again) = &call.retry {
            let outcome = match (again.status, again.answered) {
                (Some(status), _) => status.to_string(),
                (None, true) => again.error.clone().unwrap_or_else(|| "no answer".to_owned()),
                (None, false) => "no answer yet".to_owned(),
            };
            broken.mended = again.status.is_some_and(|status| status < 400);
            let later = duration(again.at - call.at);
            broken.reason = format!("{}; called again {later} later: {outcome}", broken.reason);
        }
        Some(broken)
    };
    if !call.answered {
        return match call.queued {
            true if age > QUEUED_SECONDS => answered(format!(
                "the call of {name} has been in pg_net's queue for {}: is its worker running? select net.check_worker_is_up()",
                duration(age)
            )),
            false if age > QUEUED_SECONDS => answered(format!(
                "the call of {name} is neither queued nor answered: a crash of the database lost it"
            )),
            _ => None,
        };
    }
    let error = call.error.as_deref().map_or_else(String::new, |error| format!(" ({error})"));
    match call.status {
        None => answered(format!("{name} gave no answer{error}")),
        Some(status @ (401 | 403)) => answered(format!(
            "{name} answered {status}{error}: does the Vault's service_api_key fit SERVICE_API_KEY?"
        )),
        Some(404) => answered(format!(
            "{name} answered 404{error}: is it deployed, and project_url of the Vault right?"
        )),
        Some(status) if status >= 400 => answered(format!("{name} answered {status}{error}")),
        Some(_) => run(call, facts, age),
    }
}

fn run(call: &Call, facts: &Facts, age: f64) -> Option<Break> {
    let id = call.run_id.as_deref()?;
    match facts.runs.get(id) {
        // The function writes it a moment after its answer.
        None if age > QUEUED_SECONDS => Some(Break::new(
            Link::Run,
            format!(
                "{} took the call and left no row of run {id}: it died at once, or the row was purged",
                call.function
            ),
        )),
        None => None,
        Some(Run { table, status, error, age }) => {
            let error = error.as_deref().map_or_else(String::new, |error| format!(": {error}"));
            match status.as_deref() {
                Some("failed" | "killed" | "abandoned" | "error") => Some(Break::new(
                    Link::Run,
                    format!("the run in {table} is {}{error}", status.as_deref().unwrap_or_default()),
                )),
                Some("running") if age.is_some_and(|age| age > RUN_SECONDS) => Some(Break::new(
                    Link::Run,
                    format!(
                        "the run in {table} has been going for {}: its worker is gone",
                        duration(age.unwrap_or_default())
                    ),
                )),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Retry;
    use super::*;

    const NOW: f64 = 1_795_271_600.0;

    fn good() -> Call {
        Call {
            function: "collect-dex".into(),
            at: NOW - 200.0,
            status: Some(202),
            answered: true,
            run_id: Some("r".into()),
            ..Call::default()
        }
    }

    fn collector(ticks: Vec<Tick>) -> Job {
        Job {
            name: "collect-dex".into(),
            schedule: "*/5 * * * *".into(),
            command: "select private.collect_dex_tick()".into(),
            active: true,
            known_since: Some(NOW - 9e5),
            ticks,
        }
    }

    fn ticked(calls: Vec<Call>) -> Tick {
        Tick { status: Some("succeeded".into()), message: None, at: Some(NOW - 200.0), calls }
    }

    fn facts(run: Option<(&str, f64)>) -> Facts {
        let run = run.map(|(status, age)| {
            (
                "r".to_owned(),
                Run {
                    table: "public.collection_runs".into(),
                    status: Some(status.into()),
                    error: None,
                    age: Some(age),
                },
            )
        });
        Facts {
            now: NOW,
            jobs: Vec::new(),
            scheduler_gone: false,
            ledger_since: Some(NOW - 9e5),
            has_ledger: true,
            runs: run.into_iter().collect(),
        }
    }

    fn judged(one: Call, run: Option<(&str, f64)>) -> Option<(Link, String, bool)> {
        let ticked = ticked(vec![one]);
        let broken = tick(&collector(vec![ticked.clone()]), &ticked, &facts(run))?;
        Some((broken.link, broken.reason, broken.mended))
    }

    #[test]
    fn an_unbroken_chain_has_nothing_to_say() {
        assert_eq!(judged(good(), Some(("succeeded", 190.0))), None);
        assert_eq!(job(&collector(vec![ticked(vec![good()])]), &facts(None)), None);
    }

    #[test]
    fn each_link_breaks_in_its_own_words() {
        let told = |one, run, link, words: &str| {
            let (at, reason, _) = judged(one, run).expect("it is broken");
            assert_eq!(at, link, "{reason}");
            assert!(reason.contains(words), "{reason}");
        };
        let unanswered = Call { answered: false, status: None, run_id: None, ..good() };
        told(Call { queued: true, ..unanswered.clone() }, None, Link::Answered, "queue for 3 min");
        told(unanswered, None, Link::Answered, "neither queued nor answered");
        let failed = |status, error: &str| Call { status, error: Some(error.into()), run_id: None, ..good() };
        told(failed(None, "Timeout of 10000 ms reached"), None, Link::Answered, "no answer (Timeout");
        told(failed(Some(401), "UNAUTHORIZED"), None, Link::Answered, "service_api_key");
        told(failed(Some(404), "NOT_FOUND"), None, Link::Answered, "deployed");
        told(failed(Some(503), "BOOT_ERROR"), None, Link::Answered, "503 (BOOT_ERROR)");
        told(good(), None, Link::Run, "left no row");
        told(good(), Some(("failed", 100.0)), Link::Run, "is failed");
        told(good(), Some(("killed", 100.0)), Link::Run, "is killed");
        told(good(), Some(("running", 900.0)), Link::Run, "15 min");
        assert_eq!(judged(good(), Some(("running", 100.0))), None);
    }

    #[test]
    fn a_call_made_again_with_success_is_mended() {
        let again = |status| Some(Retry { at: NOW - 10.0, status, answered: true, error: None });
        let failed = Call { status: Some(500), retry: again(Some(202)), ..good() };
        let (_, reason, mended) = judged(failed.clone(), None).expect("it broke once");
        assert!(mended && reason.ends_with("called again 3 min 10 s later: 202"), "{reason}");
        let (_, _, mended) = judged(Call { retry: again(Some(500)), ..failed }, None).expect("broken");
        assert!(!mended);
    }

    #[test]
    fn ticks_that_fail_or_do_not_come_are_told() {
        let failed = Tick {
            status: Some("failed".into()),
            message: Some("ERROR: no Vault secret\n".into()),
            ..ticked(vec![])
        };
        let broken = tick(&collector(vec![]), &failed, &facts(None)).expect("broken");
        assert_eq!(
            (broken.link, broken.reason.as_str()),
            (Link::Fired, "its SQL failed: ERROR: no Vault secret")
        );

        let silent = Job { command: "select private.call_function('a')".into(), ..collector(vec![]) };
        assert_eq!(
            tick(&silent, &ticked(vec![]), &facts(None)).map(|broken| broken.link),
            Some(Link::Answered)
        );
        let sql_only = Job { command: "select private.purge()".into(), ..collector(vec![]) };
        assert_eq!(tick(&sql_only, &ticked(vec![]), &facts(None)), None);

        let of = |one: &Job| job(one, &facts(None)).map(|broken| broken.link);
        assert_eq!(of(&Job { active: false, ..collector(vec![]) }), Some(Link::Scheduled));
        assert_eq!(of(&collector(vec![])), Some(Link::Fired));
        for known_since in [Some(NOW - 60.0), None] {
            let young = Job { known_since, ..collector(vec![]) };
            assert_eq!(of(&young), None, "it may be younger than the moment it was due");
        }
        let dead = Facts { scheduler_gone: true, ..facts(None) };
        assert!(job(&collector(vec![]), &dead).expect("broken").reason.contains("does not run"));
        let old = Tick { at: Some(NOW - 3_600.0), ..ticked(vec![]) };
        assert!(job(&collector(vec![old]), &facts(None)).expect("broken").reason.contains("did not come"));
    }
}
