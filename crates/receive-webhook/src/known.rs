//! Webhooks as they were read last. The database says with each alert whether one has changed since, so
//! that an alert takes one query and not two.

use std::cell::RefCell;

use crate::config::Config;

/// As many as an instance is likely to serve; the one that was read longest ago goes first.
const MOST: usize = 200;

thread_local! {
    static KNOWN: RefCell<Vec<Config>> = const { RefCell::new(Vec::new()) };
}

/// The webhook with this id, as it was.
pub(crate) fn get(id: &str) -> Option<Config> {
    KNOWN.with_borrow(|known| known.iter().find(|config| config.id.eq_ignore_ascii_case(id)).cloned())
}

/// Keeps a webhook.
pub(crate) fn put(config: &Config) {
    evict(&config.id);
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push(config.clone());
    });
}

/// Forgets a webhook.
pub(crate) fn evict(id: &str) {
    KNOWN.with_borrow_mut(|known| known.retain(|config| !config.id.eq_ignore_ascii_case(id)));
}

/// Forgets all.
pub(crate) fn forget() {
    KNOWN.with_borrow_mut(Vec::clear);
}
