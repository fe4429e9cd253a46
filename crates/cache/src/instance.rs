//! All that an instance remembers between requests, in one place, so that it can be forgotten at once.

use std::cell::RefCell;
use std::rc::Rc;

use ironferry::{Context, Result};

use crate::audit::Journal;
use crate::database::Breaker;
use crate::entry::Key;
use crate::flight::Flights;
use crate::gate::Callers;
use crate::memory::Memory;
use crate::pending::Pending;
use crate::settings::Settings;

#[derive(Default)]
pub(crate) struct Instance {
    pub(crate) memory: Memory,
    pub(crate) flights: Flights,
    pub(crate) breaker: Breaker,
    pub(crate) pending: Pending,
    pub(crate) callers: Callers,
    pub(crate) journal: Journal,
    /// Sources that have just failed, and until when they are left alone.
    pub(crate) resting: Vec<(Key, f64)>,
    pub(crate) started: bool,
    /// Writes of files that were started.
    pub(crate) written: u64,
    /// As read at the first request: no worker sees another value of a setting.
    settings: Option<Rc<Settings>>,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// Looks at it or changes it. Never across an await, and not from within another `with`.
pub(crate) fn with<T>(look: impl FnOnce(&mut Instance) -> T) -> T {
    INSTANCE.with(|instance| look(&mut instance.borrow_mut()))
}

pub(crate) fn settings(cx: &Context) -> Result<Rc<Settings>> {
    if let Some(settings) = with(|instance| instance.settings.clone()) {
        return Ok(settings);
    }
    let settings = Rc::new(Settings::of(cx)?);
    with(|instance| instance.settings = Some(settings.clone()));
    Ok(settings)
}

/// Forgets everything but the files, as a restart does.
pub(crate) fn forget() {
    INSTANCE.with(|instance| *instance.borrow_mut() = Instance::default());
}
