//! Sessions as Laravel keeps them: a cookie, a CSRF token, and perhaps an account.

use std::collections::HashMap;

#[derive(Default)]
pub(super) struct Sessions {
    made: u64,
    by_cookie: HashMap<String, Session>,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The cookie's value.
    pub(super) cookie: String,
    pub(super) csrf: String,
    pub(super) account: Option<String>,
    /// Requests so far.
    uses: u64,
}

impl Sessions {
    /// A new session, of a guest or of an account.
    pub(super) fn begin(&mut self, account: Option<String>) -> Session {
        self.made += 1;
        let session = Session {
            // Laravel's cookies are base64, whose padding is escaped in a cookie.
            cookie: format!("eyJzaW11bGF0ZWQiOn{:020}%3D", self.made),
            csrf: format!("SimulatedCsrfToken{:022}", self.made),
            account,
            uses: 0,
        };
        self.by_cookie.insert(session.cookie.clone(), session.clone());
        session
    }

    /// The session of a cookie, counted as used once more. One that was used up is ended here.
    pub(super) fn use_one(
        &mut self,
        cookie: &str,
        limit: impl Fn(Option<&str>) -> Option<u64>,
    ) -> Option<Session> {
        let session = self.by_cookie.get_mut(cookie)?;
        session.uses += 1;
        let limit = limit(session.account.as_deref());
        if session.account.is_some() && limit.is_some_and(|limit| session.uses > limit) {
            self.end(cookie);
            return None;
        }
        self.by_cookie.get(cookie).cloned()
    }

    pub(super) fn end(&mut self, cookie: &str) {
        self.by_cookie.remove(cookie);
    }

    /// Ends all sessions, or those of one account.
    pub(super) fn end_all(&mut self, only: Option<&str>) {
        self.by_cookie
            .retain(|_, session| only.is_some_and(|email| session.account.as_deref() != Some(email)));
    }
}
