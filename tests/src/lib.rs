//! Simulated outside services and the tests that run on the local stack.
