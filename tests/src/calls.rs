//! What functions ask of the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferry::stack::logs::Listener;

/// Counts the requests that the REST server gets through the gateway, by method and path: calls of
/// functions and reads and writes of tables.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<String, usize>>>);

impl Calls {
    /// For the options of a stack: hears of each request as the gateway logs it.
    #[must_use]
    pub fn listener(&self) -> Listener {
        let calls = Self(Arc::clone(&self.0));
        Arc::new(move |part, text| {
            let mut words = text.split(' ');
            if part == "gateway"
                && let (Some(method), Some(path)) = (words.next(), words.next())
                && let Some(what) = path.strip_prefix("/rest/v1/")
            {
                *calls.lock().entry(format!("{method} {what}")).or_default() += 1;
            }
        })
    }

    /// What was called how often since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
