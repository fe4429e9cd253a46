//! What can go wrong with a site.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use super::{Shared, lock};

/// How an account's requests fail.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Every answer takes so long.
    pub latency_ms: u64,
    /// What becomes of the pages: the login form and the one with the table.
    pub page: Option<Fault>,
    /// What becomes of logins.
    pub login: Option<Fault>,
    /// What becomes of the list.
    pub list: Option<Fault>,
    /// What becomes of downloads.
    pub download: Option<Fault>,
    /// What becomes of single downloads, by dex id; wins over `download`.
    pub captures: HashMap<i64, Fault>,
    /// So many answers fail, then all is well; none: all of them, for ever.
    pub times: Option<u32>,
    /// A session ends after so many requests.
    pub session_requests: Option<u64>,
    /// So many new captures appear with each page of the list.
    pub grows_by: u32,
    /// A page of the list has no more rows than this, whatever was asked for.
    pub page_rows: Option<usize>,
}

impl Faults {
    /// Slow, and nothing else.
    #[must_use]
    pub fn slow(latency: Duration) -> Self {
        Self { latency_ms: u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), ..Self::default() }
    }
}

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// An error status with Laravel's error page.
    Status(u16),
    /// 429 with `Retry-After`.
    TooMany,
    /// 200 with a page of HTML.
    Html,
    /// 200 with bytes that mean nothing.
    Garbage,
    /// No answer at all.
    Hang,
    /// The connection is cut in the middle of the body.
    CutOff,
    /// Half of the body, as if it were all.
    Truncated,
    /// The body comes 100 bytes at a time, so many milliseconds apart.
    Drip(u64),
    /// A body without an end.
    Endless,
}

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Page,
    Login,
    List,
    Download(i64),
}

impl Faults {
    /// The fault of this part, counted when there is one.
    fn take(&mut self, part: Part) -> Option<Fault> {
        let fault = match part {
            Part::Page => self.page,
            Part::Login => self.login,
            Part::List => self.list,
            Part::Download(dex_id) => self.captures.get(&dex_id).copied().or(self.download),
        }?;
        match &mut self.times {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        Some(fault)
    }
}

impl Shared {
    /// An account's faults, else those of all.
    pub(super) fn with_faults<T>(&self, account: Option<&str>, look: impl FnOnce(&mut Faults) -> T) -> T {
        let mut faults = lock(&self.faults);
        let own = account.filter(|account| faults.contains_key(*account));
        match faults.get_mut(own.unwrap_or("*")) {
            Some(faults) => look(faults),
            None => look(&mut Faults::default()),
        }
    }

    pub(super) fn take_fault(&self, account: Option<&str>, part: Part) -> Option<Fault> {
        self.with_faults(account, |faults| faults.take(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_with_a_number_of_times_ends_after_them() {
        let mut faults: Faults =
            serde_json::from_str(r#"{"list": {"status": 500}, "captures": {"7": "hang"}, "times": 2}"#)
                .unwrap();
        assert_eq!(faults.take(Part::Download(8)), None);
        assert_eq!(faults.take(Part::List), Some(Fault::Status(500)));
        assert_eq!(faults.take(Part::Download(7)), Some(Fault::Hang));
        assert_eq!(faults.take(Part::List), None);
    }
}
