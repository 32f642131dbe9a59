//! Connections that are no session (yet): a bounded number, and the rule who goes when there is no place. Pure.
//!
//! Whoever comes always gets a place, since those who mean it need it for milliseconds only. The place is taken from the
//! address that has most, and there from its oldest connection: a flood from one address pushes out its own, and behind a
//! proxy, where all have one address, the oldest goes, which is the least likely to mean it. A limit for each address
//! would do no better, and would have to be turned off behind a proxy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Holds a `T` for each connection that is in.
#[derive(Debug)]
pub(super) struct Lobby<T> {
    places: usize,
    taken: usize,
    next: u64,
    peers: HashMap<Peer, BTreeMap<u64, T>>,
    /// How many connections each peer has, to find the one with most.
    counts: BTreeSet<(usize, Peer)>,
}

/// Who is behind an address: with IPv6 everybody has at least 2^64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            v4 => v4,
        })
    }
}

/// Names a connection that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    peer: Peer,
    number: u64,
}

impl<T> Lobby<T> {
    pub(super) fn new(places: usize) -> Self {
        Self { places, taken: 0, next: 0, peers: HashMap::new(), counts: BTreeSet::new() }
    }

    /// Lets a connection in. If that is one too many, the other that has to go for it.
    pub(super) fn enter(&mut self, address: IpAddr, what: T) -> (Ticket, Option<T>) {
        let out = if self.taken >= self.places { self.push_out() } else { None };
        let ticket = Ticket { peer: address.into(), number: self.next };
        self.next += 1;
        self.change(ticket.peer, |connections| connections.insert(ticket.number, what));
        self.taken += 1;
        (ticket, out)
    }

    /// Takes a connection out. None: it was pushed out before.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<T> {
        let what = self.change(ticket.peer, |connections| connections.remove(&ticket.number))?;
        self.taken -= 1;
        Some(what)
    }

    /// Takes out who has to go first. None: nobody is in.
    pub(super) fn push_out(&mut self) -> Option<T> {
        let &(_, peer) = self.counts.last()?;
        let (_, what) = self.change(peer, BTreeMap::pop_first)?;
        self.taken -= 1;
        Some(what)
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }

    fn change<R>(&mut self, peer: Peer, change: impl FnOnce(&mut BTreeMap<u64, T>) -> R) -> R {
        let connections = self.peers.entry(peer).or_default();
        let before = connections.len();
        let result = change(connections);
        let after = connections.len();
        if after == 0 {
            self.peers.remove(&peer);
        }
        if before != after {
            self.counts.remove(&(before, peer));
            if after > 0 {
                self.counts.insert((after, peer));
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_flood_from_one_address_pushes_out_its_own() {
        let mut lobby = Lobby::new(4);
        let (honest, _) = lobby.enter(address("10.0.0.1"), "honest");
        let flood: Vec<_> = (0..1000).map(|_| lobby.enter(address("10.0.0.2"), "flood").1).collect();
        assert_eq!(flood.iter().filter(|out| **out == Some("flood")).count(), 997);
        assert!(!flood.contains(&Some("honest")));
        assert_eq!((lobby.len(), lobby.leave(honest)), (4, Some("honest")));
    }

    #[test]
    fn behind_one_address_the_oldest_goes() {
        let mut lobby = Lobby::new(2);
        let (first, _) = lobby.enter(address("10.0.0.1"), 1);
        lobby.enter(address("10.0.0.1"), 2);
        assert_eq!(lobby.enter(address("10.0.0.1"), 3).1, Some(1));
        assert_eq!(lobby.leave(first), None);
        assert_eq!(lobby.len(), 2);
    }

    #[test]
    fn a_flood_from_one_ipv6_network_is_one_peer() {
        let mut lobby = Lobby::new(3);
        lobby.enter(address("2001:db8::1"), "honest");
        for host in 1..100 {
            let out = lobby.enter(address(&format!("2001:db8:1::{host:x}")), "flood").1;
            assert_ne!(out, Some("honest"));
        }
        assert_eq!(Peer::from(address("::ffff:10.0.0.1")), Peer::from(address("10.0.0.1")));
    }

    #[test]
    fn an_empty_lobby_keeps_nothing() {
        let mut lobby = Lobby::new(8);
        let tickets: Vec<_> = (0..8u8).map(|last| lobby.enter(IpAddr::from([10, 0, 0, last]), last).0).collect();
        for ticket in tickets {
            assert!(lobby.leave(ticket).is_some());
        }
        assert!(lobby.peers.is_empty() && lobby.counts.is_empty() && lobby.len() == 0);
        assert_eq!(lobby.push_out(), None);
    }
}
