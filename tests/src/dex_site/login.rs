//! The login form, and the pages behind it that only matter for their CSRF token.

use super::answer::{Reply, html, redirect};
use super::asked::Asked;
use super::sessions::Session;
use super::{Shared, lock};

pub(super) fn form(session: &Session) -> Reply {
    let form = format!(
        "<form method=\"POST\" action=\"/login\"><input type=\"hidden\" name=\"_token\" value=\"{}\">\
         <input type=\"email\" name=\"email\"><input type=\"password\" name=\"password\"></form>",
        session.csrf
    );
    html(200, document(session, &form))
}

pub(super) fn page(session: &Session) -> Reply {
    html(200, document(session, "<table id=\"dex\"></table>"))
}

fn document(session: &Session, content: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\n\
         <meta name=\"csrf-token\" content=\"{}\">\n<title>Simulated dashboard</title></head>\n\
         <body>{content}</body></html>\n",
        session.csrf
    )
}

/// A right login goes on in a fresh session with a fresh token, so that one fixed before is worth
/// nothing. A wrong one goes back to the form.
pub(super) fn log_in(shared: &Shared, asked: &Asked, session: &mut Session) -> Reply {
    let email = asked.field("email");
    let is_right =
        lock(&shared.accounts).get(email).is_some_and(|account| account.password == asked.field("password"));
    let mut stats = lock(&shared.stats);
    let counted = if is_right { &mut stats.logins } else { &mut stats.refused };
    *counted.entry(email.to_owned()).or_default() += 1;
    drop(stats);
    if !is_right {
        return redirect("/login");
    }
    let mut sessions = lock(&shared.sessions);
    sessions.end(&session.cookie);
    *session = sessions.begin(Some(email.to_owned()));
    redirect("/dashboard")
}
