//! Collects DEX captures of one company: log in, list, download, parse, store.
