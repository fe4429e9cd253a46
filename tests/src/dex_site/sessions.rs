//! Sessions as Laravel keeps them: a cookie, a CSRF token, and perhaps an account.

use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Sessions {
    made: u64,
    by_cookie: HashMap<String, Session>,
}

#[derive(Clone, Default)]
pub(super) struct Session {
    pub(super) csrf: String,
    pub(super) account: Option<String>,
    /// Requests since the login.
    pub(super) uses: u64,
}

impl Sessions {
    /// A new session: its cookie.
    pub(super) fn begin(&mut self, account: Option<String>) -> (String, Session) {
        self.made += 1;
        // Base64 of Laravel ends in `%3D` in a cookie.
        let cookie = format!("session-{}%3D", self.made);
        let session = Session { csrf: format!("csrf{:032}", self.made), account, uses: 0 };
        self.by_cookie.insert(cookie.clone(), session.clone());
        (cookie, session)
    }

    pub(super) fn find(&mut self, cookie: &str) -> Option<&mut Session> {
        self.by_cookie.get_mut(cookie)
    }

    pub(super) fn end(&mut self, cookie: &str) {
        self.by_cookie.remove(cookie);
    }
}
