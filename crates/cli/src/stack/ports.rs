//! Which port each part gets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};

/// How ports are chosen. All are on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The usual ones (gateway 54321, Postgres 54322, REST 54323, Redis 54379, functions from
    /// 54330), and the next free one where another program has it.
    Usual,
    /// Any free ones, so that several stacks run side by side.
    Any,
}

pub(crate) const GATEWAY: u16 = 54321;
pub(crate) const POSTGRES: u16 = 54322;
pub(crate) const REST: u16 = 54323;
pub(crate) const REDIS: u16 = 54379;
pub(crate) const FUNCTIONS: u16 = 54330;

/// Hands out ports, none twice.
pub(crate) struct Chooser {
    ports: Ports,
    given: BTreeSet<u16>,
}

/// Kept for the parts whose own they are, so that these are the same at each start.
const OWN: [u16; 4] = [GATEWAY, POSTGRES, REST, REDIS];

impl Chooser {
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports, given: BTreeSet::new() }
    }

    /// A free port, bound: nobody else gets it while the listener lives. A program that binds it
    /// itself is started right after the listener is dropped.
    pub(crate) fn bind(&mut self, usual: u16) -> Result<TcpListener> {
        let candidates = match self.ports {
            Ports::Any => 0..=0,
            Ports::Usual => usual..=u16::MAX,
        };
        let listener = candidates
            .filter(|port| !self.given.contains(port) && (*port == usual || !OWN.contains(port)))
            .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .context("no port of 127.0.0.1 is free")?;
        self.given.insert(listener.local_addr()?.port());
        Ok(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_stepped_over_and_a_reserved_one_left_to_its_part() {
        let mut chooser = Chooser::new(Ports::Usual);
        let first = chooser.bind(REST).expect("a port");
        let second = chooser.bind(REST).expect("another port");
        let [first, second] = [first, second].map(|listener| listener.local_addr().expect("bound").port());
        assert!(first >= REST && second > first, "{first} {second}");
        assert_ne!(second, REDIS);
    }

    #[test]
    fn functions_never_share_a_port() {
        let mut chooser = Chooser::new(Ports::Usual);
        let first = chooser.bind(FUNCTIONS).expect("a port").local_addr().expect("bound");
        let second = chooser.bind(FUNCTIONS).expect("a port").local_addr().expect("bound");
        assert_ne!(first, second);
    }
}
