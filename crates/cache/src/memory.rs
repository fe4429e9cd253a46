//! The fastest layer: what this instance holds. The least recently used goes first.

use ironferry::Context;

use crate::entry::{Entry, Key};
use crate::instance;
use crate::settings::Settings;

#[derive(Default)]
pub(crate) struct Memory {
    /// A few hundred at the most: looking through them is faster than hashing a name.
    slots: Vec<Slot>,
    bytes: usize,
    uses: u64,
}

struct Slot {
    key: Key,
    entry: Entry,
    until: f64,
    used: u64,
}

/// An entry that is believed; past its time it is only a copy to fall back on, see [`peek`].
pub(crate) fn get(key: &Key, now: f64) -> Option<Entry> {
    instance::with(|instance| {
        let memory = &mut instance.memory;
        memory.uses += 1;
        let uses = memory.uses;
        let slot = memory.slots.iter_mut().find(|slot| slot.key == *key)?;
        slot.used = uses;
        (now < slot.until).then(|| slot.entry.clone())
    })
}

/// Whatever is there.
pub(crate) fn peek(key: &Key) -> Option<Entry> {
    instance::with(|instance| {
        instance.memory.slots.iter().find(|slot| slot.key == *key).map(|slot| slot.entry.clone())
    })
}

/// Holds an entry and believes it for so many milliseconds.
pub(crate) fn put(cx: &Context, settings: &Settings, key: &Key, entry: &Entry, believed_ms: f64) {
    evict(key);
    if entry.body.len() > settings.memory_bytes {
        return;
    }
    let until = cx.elapsed_ms() + believed_ms;
    instance::with(|instance| {
        let memory = &mut instance.memory;
        while memory.bytes + entry.body.len() > settings.memory_bytes {
            let Some(oldest) = (0..memory.slots.len()).min_by_key(|slot| memory.slots[*slot].used) else {
                break;
            };
            memory.bytes -= memory.slots.swap_remove(oldest).entry.body.len();
        }
        memory.uses += 1;
        memory.bytes += entry.body.len();
        let slot = Slot { key: key.clone(), entry: entry.clone(), until, used: memory.uses };
        memory.slots.push(slot);
    });
}

/// Forgets.
pub(crate) fn evict(key: &Key) {
    instance::with(|instance| {
        let memory = &mut instance.memory;
        if let Some(at) = memory.slots.iter().position(|slot| slot.key == *key) {
            memory.bytes -= memory.slots.swap_remove(at).entry.body.len();
        }
    });
}
