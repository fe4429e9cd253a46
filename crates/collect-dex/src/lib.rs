//! The scheduled collector of all companies that are due.
