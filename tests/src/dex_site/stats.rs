//! What the site was asked, for tests to look at.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Shared, lock};

/// Counters since the start, or since they were reset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Logins that succeeded, by account.
    pub logins: BTreeMap<String, u64>,
    /// Logins that were refused, by what was given as e-mail.
    pub refused: BTreeMap<String, u64>,
    /// Pages of the list, by account.
    pub lists: BTreeMap<String, u64>,
    /// Downloads, by dex id; those that a fault spoiled count too.
    pub downloads: BTreeMap<i64, u64>,
    /// Requests with a session that was over, or a CSRF token of another one.
    pub expired: u64,
    /// All requests, but those to `/__control`.
    pub requests: u64,
    /// Requests under way now.
    pub under_way: u64,
    /// The most at once.
    pub most_at_once: u64,
}

impl Stats {
    /// All logins that succeeded.
    #[must_use]
    pub fn all_logins(&self) -> u64 {
        self.logins.values().sum()
    }

    /// The captures that were downloaded more than once.
    #[must_use]
    pub fn downloaded_again(&self) -> Vec<i64> {
        let again = self.downloads.iter().filter(|(_, times)| **times > 1);
        again.map(|(dex_id, _)| *dex_id).collect()
    }

    pub(super) fn reset(&mut self) {
        *self = Self { under_way: self.under_way, ..Self::default() };
    }
}

/// Counts a request as long as it lives, which is until it was answered or the client went away.
pub(super) struct UnderWay(Arc<Shared>);

impl UnderWay {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let mut stats = lock(&shared.stats);
        stats.requests += 1;
        stats.under_way += 1;
        stats.most_at_once = stats.most_at_once.max(stats.under_way);
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0.stats).under_way -= 1;
    }
}
