//! Answers of the function, for people.

use std::process::ExitCode;

use time::OffsetDateTime;
use token_manager::types::{CleanupReply, ListedToken, RenewReply, RotateReply, StatusReply, SyncReply};

use super::when;
use crate::commands::paint::{self, Tone};
use crate::commands::table::{Cell, Column, Table};

/// Accounts that a list names before it only counts.
const NAMED: usize = 30;

/// Names and values, one a line.
fn facts<const N: usize>(facts: [(&str, Cell); N]) {
    let mut table = Table::new([Column::left(""), Column::left("")]).indent(2).without_headings();
    for (name, value) in facts {
        table.row([name.into(), value]);
    }
    table.print();
}

fn names(heading: &str, accounts: &[String], all: u64) {
    if accounts.is_empty() {
        return;
    }
    paint::line(paint::bold(heading));
    for account in accounts.iter().take(NAMED) {
        paint::line(format!("  {}", paint::harmless(account)));
    }
    let named = accounts.len().min(NAMED) as u64;
    if all > named {
        paint::line(paint::faint(format!("  … and {} more", all - named)));
    }
}

pub(super) fn sync(reply: &SyncReply) -> ExitCode {
    let counts = &reply.counts;
    paint::line(format!("{} {}", paint::good("Sync successful:"), paint::harmless(&reply.message)));
    if counts.superseded {
        paint::line(paint::warn("A sync that began later was done first: this one changed nothing."));
    }
    facts([
        ("Tokens synced", counts.tokens_synced.into()),
        ("  new", counts.created.into()),
        ("  changed", counts.updated.into()),
        ("  back again", counts.reactivated.into()),
        ("  as before", counts.unchanged.into()),
        ("  kept, ours lasts longer", counts.kept.into()),
        ("Gone from Redis", counts.deactivated.into()),
        ("Key mappings", counts.key_mappings.into()),
    ]);
    names("Accounts synced:", &counts.accounts, counts.tokens_synced);
    for skipped in &reply.warnings {
        let text = format!("{}: {}", paint::harmless(&skipped.key), paint::harmless(&skipped.reason));
        paint::line(format!("{} {text}", paint::warn("passed over:")));
    }
    if reply.skipped > reply.warnings.len() as u64 {
        paint::line(paint::warn(format!("{} keys in all were passed over", reply.skipped)));
    }
    ExitCode::SUCCESS
}

pub(super) fn status(reply: &StatusReply) -> ExitCode {
    let StatusReply { status, recent_tokens, .. } = reply;
    let time = |time: Option<&String>| time.map_or_else(|| "never".into(), |time| Cell::from(when::at(time)));
    let (redis, needed) = match (status.redis_tokens, status.sync_needed) {
        (Some(tokens), Some(needed)) => {
            let tone = if needed { Tone::Warn } else { Tone::Good };
            (Cell::from(tokens), Cell::new(&needed).tone(tone))
        }
        _ => (Cell::from("cannot be asked").tone(Tone::Bad), Cell::from("unknown").tone(Tone::Warn)),
    };
    let warn = |count: u64| Cell::from(count).tone(if count > 0 { Tone::Warn } else { Tone::Plain });
    paint::line(paint::bold("Tokens"));
    facts([
        ("Supabase tokens", status.supabase_tokens.into()),
        ("Redis tokens", redis),
        ("Sync needed", needed),
        ("Ending within 15 min", status.expiring_tokens.into()),
        ("Expired, not cleaned up", warn(status.expired_tokens)),
        ("Inactive", status.inactive_tokens.into()),
        ("Last updated", time(status.last_updated.as_ref())),
        ("Last synced", time(status.last_synced.as_ref())),
    ]);
    if let Some(until) = &status.renewal_paused_until {
        paint::line(paint::warn(format!("Tradovate wants no renewals until {}", when::at(until))));
    }
    if let Some(code) = &status.redis_error {
        paint::line(format!("{} {}", paint::bad("Redis:"), paint::harmless(code)));
    }
    if !recent_tokens.is_empty() {
        paint::line(paint::bold("Recent tokens"));
        let mut table = Table::new([Column::left("Account"), Column::left("Expires")]).indent(2);
        for token in recent_tokens {
            let expires = token.expires_at.as_deref().map_or_else(|| "no end known".to_owned(), when::at);
            table.row([token.account_name.as_str().into(), expires.into()]);
        }
        table.print();
    }
    if status.redis_error.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

pub(super) fn list(tokens: &[ListedToken]) {
    let now = OffsetDateTime::now_utc();
    let columns = [
        Column::left("Account"),
        Column::left("Main account"),
        Column::left("Expires"),
        Column::left(""),
        Column::left("From"),
        Column::right("Version"),
        Column::right("Length"),
        Column::left("State").optional(),
    ];
    let mut table = Table::new(columns).empty("No tokens.");
    for token in tokens {
        let end = token.expires_at.as_deref();
        let state = match (token.is_expired, token.is_active) {
            (true, _) => Cell::from("expired").tone(Tone::Bad),
            (false, false) => Cell::from("inactive").tone(Tone::Warn),
            (false, true) => Cell::default(),
        };
        table.row([
            token.account_name.as_str().into(),
            token.main_account.as_str().into(),
            end.map_or_else(|| "no end known".to_owned(), when::at).into(),
            end.map_or_else(String::new, |end| when::from_now(end, now)).into(),
            token.source.as_str().into(),
            u64::from(token.version).into(),
            (token.token_length as u64).into(),
            state,
        ]);
    }
    table.print();
}

pub(super) fn cleanup(reply: &CleanupReply) -> ExitCode {
    paint::line(format!("{}: {}", paint::harmless(&reply.message), reply.cleaned_up));
    ExitCode::SUCCESS
}

pub(super) fn renew(reply: &RenewReply) -> ExitCode {
    paint::line(paint::harmless(&reply.message));
    names("Accounts renewed:", &reply.accounts, reply.accounts.len() as u64);
    for failed in &reply.failed {
        let text = format!("{}: {}", paint::harmless(&failed.account_name), paint::harmless(&failed.reason));
        paint::line(format!("{} {text}", paint::bad("not renewed:")));
    }
    if let Some(until) = &reply.paused_until {
        paint::line(paint::warn(format!("Tradovate wants no calls until {}", when::at(until))));
    }
    if reply.waiting > 0 {
        paint::line(paint::warn(format!("{} wait for their turn", reply.waiting)));
    }
    if reply.failed.is_empty() && reply.paused_until.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

pub(super) fn rotated(reply: &RotateReply) -> ExitCode {
    paint::line(format!("{} tokens sealed under key {}", reply.rotated, paint::harmless(&reply.key_id)));
    names("No key of the ring opens the tokens of:", &reply.unreadable, reply.unreadable.len() as u64);
    if reply.unreadable.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
