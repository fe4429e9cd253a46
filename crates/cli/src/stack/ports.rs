//! Which port each part gets.

use std::hash::{BuildHasher as _, RandomState};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpSocket;

/// How ports are chosen. All are on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The usual ones (gateway 54321, Postgres 54322, REST 54323, Redis 54379, functions from
    /// 54330), and the next free one where another program has it.
    Usual,
    /// Any free ones below those that systems give to outgoing connections (Linux from 32768, macOS
    /// from 49152), so that several stacks run side by side.
    Any,
}

pub(crate) const GATEWAY: u16 = 54321;
pub(crate) const POSTGRES: u16 = 54322;
pub(crate) const REST: u16 = 54323;
pub(crate) const REDIS: u16 = 54379;
pub(crate) const FUNCTIONS: u16 = 54330;

/// Kept for the parts whose own they are, so that these are the same at each start.
const OWN: [u16; 4] = [GATEWAY, POSTGRES, REST, REDIS];
const ANY: RangeInclusive<u16> = 10_000..=32_000;

impl Ports {
    /// A free port, claimed.
    pub(crate) fn claim(self, usual: u16) -> Result<Claim> {
        let (first, all) = match self {
            Self::Usual => (usual, usual..=u16::MAX),
            Self::Any => (somewhere(&ANY), ANY),
        };
        (first..=*all.end())
            .chain(*all.start()..first)
            .filter(|port| *port == usual || !OWN.contains(port))
            .find_map(Claim::take)
            .context("no port of 127.0.0.1 is free")
    }
}

fn somewhere(range: &RangeInclusive<u16>) -> u16 {
    let random = RandomState::new().hash_one(()) % u64::from(range.end() - range.start());
    range.start() + u16::try_from(random).unwrap_or_default()
}

/// A port of 127.0.0.1 that no other claim gets while this one lives, in any process: also while the
/// program that listens on it has not started yet, or starts again.
#[derive(Debug)]
pub struct Claim {
    port: u16,
    /// Of the same number: who claims a port binds this first, and it goes with the process.
    _mark: UdpSocket,
    /// On Linux; elsewhere an address that is bound is nobody else's, listening or not.
    _hold: Option<TcpSocket>,
}

impl Claim {
    /// Of any port.
    ///
    /// # Errors
    /// When all are taken.
    pub fn any() -> Result<Self> {
        Ports::Any.claim(0)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn take(port: u16) -> Option<Self> {
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        let hold = hold(port).ok()?;
        // Asked, not tried by listening: what another thread is just starting has a copy of each open file
        // until its program begins, and with the listener the port.
        let asked =
            TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWERS_WITHIN);
        let is_free = asked.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        let hold = cfg!(target_os = "linux").then_some(hold);
        is_free.then_some(Self { port, _mark: mark, _hold: hold })
    }
}

/// Keeps a port from outgoing connections until its program listens: bound and never listening, which lets
/// the program bind it too. Fails where an outgoing connection has the port.
fn hold(port: u16) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_taken_port_is_stepped_over_and_a_reserved_one_left_to_its_part() {
        let first = Ports::Usual.claim(REST).expect("a port");
        let second = Ports::Usual.claim(REST).expect("another port");
        assert!(first.port() >= REST && second.port() > first.port(), "{first:?} {second:?}");
        assert_ne!(second.port(), REDIS);
    }

    #[test]
    fn a_claimed_port_is_nobody_elses_until_the_claim_ends() {
        let claim = Claim::any().expect("a port");
        let port = claim.port();
        assert!(Claim::take(port).is_none());
        drop(claim);
        // What another thread is just starting has a copy of each open file for a moment.
        let start = Instant::now();
        while Claim::take(port).is_none() {
            assert!(start.elapsed() < Duration::from_secs(30), "{port} stays claimed");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_port_that_a_program_listens_on_is_not_claimed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        assert!(Claim::take(listener.local_addr().expect("bound").port()).is_none());
    }

    #[test]
    fn a_port_that_an_outgoing_connection_has_is_not_claimed() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let outgoing = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        assert!(Claim::take(outgoing.local_addr().expect("connected").port()).is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_claimed_port_is_its_programs_and_no_outgoing_connections() {
        let claim = Claim::any().expect("a port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, claim.port()));
        let outgoing = TcpSocket::new_v4().expect("a socket");
        assert_eq!(outgoing.bind(address).map_err(|error| error.kind()), Err(ErrorKind::AddrInUse));
        assert!(TcpListener::bind(address).is_ok());
    }

    #[test]
    fn any_port_is_one_that_no_outgoing_connection_gets() {
        for _ in 0..100 {
            assert!(ANY.contains(&Claim::any().expect("a port").port()));
        }
    }
}
