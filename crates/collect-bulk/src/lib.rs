//! The collection of one company as an endpoint of its own.
