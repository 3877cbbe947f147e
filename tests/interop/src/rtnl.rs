//! A watcher of rtnetlink: which gateways lead to one prefix, and the moment at which that changed.
//!
//! It follows routes and nexthop objects as the kernel announces them, so that it does not matter whether a daemon
//! changes the route, the group behind it, or a member.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket,
    sockopt::RcvBufForce,
};
use socket2::{SockFilter, SockRef};

use crate::namespace::Namespace;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWNEIGH: u16 = 28;
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;
/// Multicast groups of links (RTNLGRP 1), neighbours (RTNLGRP 3), IPv6 routes (RTNLGRP 11) and nexthop objects (RTNLGRP 32).
const GROUPS: u32 = 1 | (1 << 2) | (1 << 10) | (1 << 31);
/// Octets of notifications that may wait.
const RECEIVE_BUFFER: usize = 64 << 20;
/// `IFF_LOWER_UP`: the link has carrier and is up.
const LOWER_UP: u32 = 1 << 16;
/// `NUD_FAILED`: the neighbour has not answered.
const FAILED: u16 = 0x20;
/// `AF_INET6`.
const INET6: u8 = 10;
const RTA_DST: u16 = 1;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
const RTA_NH_ID: u16 = 30;
const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_GATEWAY: u16 = 6;

/// The gateways to the prefix from this moment on.
#[derive(Clone, Debug)]
pub struct Change {
    /// When the notification was read.
    pub at: Instant,
    /// The gateways; empty without a route.
    pub gateways: BTreeSet<Ipv6Addr>,
}

/// Watches one host route of a namespace.
#[derive(Debug)]
pub struct Watcher {
    changes: Receiver<Change>,
    downs: Receiver<Instant>,
    failures: Receiver<Instant>,
}

impl Watcher {
    /// Opens the socket inside the namespace and starts to follow.
    pub fn start(namespace: &Namespace, host: Ipv6Addr) -> Result<Self> {
        let fd = namespace.inside(|| -> nix::Result<_> {
            let fd = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkRoute,
            )?;
            // What others do to thousands of routes meanwhile must not push out what is waited for.
            SockRef::from(&fd).attach_filter(&only_route_to(host)).map_err(errno)?;
            setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER)?;
            bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
            Ok(fd)
        })??;
        let (sender, changes) = channel();
        let (lost, downs) = channel();
        let (failed, failures) = channel();
        thread::spawn(move || {
            let mut state = State { host, ..State::default() };
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length) = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                let (at, octets) = (Instant::now(), buffer.get(..length).unwrap_or_default());
                let reported =
                    [(&lost, any(octets, is_lost_link)), (&failed, any(octets, is_failed_neighbor))];
                let told = reported.iter().all(|(whom, so)| !so || whom.send(at).is_ok());
                if !told || state.take(octets, at, &sender).is_none() {
                    break;
                }
            }
        });
        Ok(Self { changes, downs, failures })
    }

    /// When the first link was reported without carrier since the last [`Watcher::forget`].
    pub fn link_lost(&self) -> Option<Instant> {
        self.downs.try_recv().ok()
    }

    /// When the first neighbour was reported not to answer (IPv6) since the last [`Watcher::forget`].
    pub fn neighbor_failed(&self) -> Option<Instant> {
        self.failures.try_recv().ok()
    }

    /// Forgets what came until now.
    pub fn forget(&self) {
        while self.changes.try_recv().is_ok() {}
        while self.downs.try_recv().is_ok() {}
        while self.failures.try_recv().is_ok() {}
    }

    /// Waits until exactly these gateways lead to the prefix, and returns when that was.
    pub fn wait_for(&self, wanted: &BTreeSet<Ipv6Addr>, limit: Duration) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let change = match self.changes.recv_timeout(left) {
                Ok(change) => change,
                Err(error) => bail!("the kernel's gateways are not {wanted:?} but {last:?}: {error}"),
            };
            if change.gateways == *wanted {
                return Ok(change.at);
            }
            last = Some(change.gateways);
        }
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// Classic BPF over the message: drops changes of routes whose destination, the second attribute that the kernel writes,
/// differs from `host` in its first or its last four octets.
fn only_route_to(host: Ipv6Addr) -> [SockFilter; 9] {
    const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const KIND: u32 = 4;
    /// Behind `struct nlmsghdr`, `struct rtmsg`, RTA_TABLE and the header of RTA_DST.
    const DESTINATION: u32 = 16 + 12 + 8 + 4;
    // Loads are in network byte order, netlink fields in that of the host.
    let kind = |kind: u16| u32::from(kind.to_be());
    let bits = host.to_bits();
    let (first, last) = ((bits >> 96) as u32, bits as u32);
    [
        SockFilter::new(LOAD_HALF, 0, 0, KIND),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, kind(RTM_NEWROUTE)),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, kind(RTM_DELROUTE)),
        SockFilter::new(LOAD_WORD, 0, 0, DESTINATION),
        SockFilter::new(JUMP_IF_EQUAL, 0, 3, first),
        SockFilter::new(LOAD_WORD, 0, 0, DESTINATION + 12),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, last),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Whether a datagram has such a message.
fn any(mut octets: &[u8], is_so: impl Fn(u16, &[u8]) -> bool) -> bool {
    while let Some((kind, body, rest)) = message(octets) {
        if is_so(kind, body) {
            return true;
        }
        octets = rest;
    }
    false
}

/// A link without carrier: in `struct ifinfomsg` the flags are at octet 8.
fn is_lost_link(kind: u16, body: &[u8]) -> bool {
    let flags = body.get(8..12).and_then(number);
    kind == RTM_NEWLINK && flags.is_some_and(|flags| flags & LOWER_UP == 0)
}

/// A neighbour that does not answer: in `struct ndmsg` the family is at octet 0, the state at octet 8.
fn is_failed_neighbor(kind: u16, body: &[u8]) -> bool {
    let state = body.get(8..10).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    kind == RTM_NEWNEIGH && body.first() == Some(&INET6) && state.is_some_and(|state| state & FAILED != 0)
}

#[derive(Debug)]
enum Nexthop {
    Single(Option<Ipv6Addr>),
    Group(Vec<u32>),
}

#[derive(Debug)]
enum Target {
    Object(u32),
    Direct(BTreeSet<Ipv6Addr>),
}

#[derive(Debug)]
struct State {
    host: Ipv6Addr,
    nexthops: BTreeMap<u32, Nexthop>,
    target: Option<Target>,
    last: BTreeSet<Ipv6Addr>,
}

impl Default for State {
    fn default() -> Self {
        let (nexthops, last) = (BTreeMap::new(), BTreeSet::new());
        Self { host: Ipv6Addr::UNSPECIFIED, nexthops, target: None, last }
    }
}

impl State {
    /// Works off one datagram; `None` once nobody wants to know any more.
    fn take(&mut self, mut octets: &[u8], at: Instant, sender: &Sender<Change>) -> Option<()> {
        while let Some((kind, body, rest)) = message(octets) {
            self.apply(kind, body);
            octets = rest;
            let gateways = self.gateways();
            if gateways != self.last {
                self.last.clone_from(&gateways);
                sender.send(Change { at, gateways }).ok()?;
            }
        }
        Some(())
    }

    fn apply(&mut self, kind: u16, body: &[u8]) {
        match kind {
            RTM_NEWROUTE => {
                if let Some(target) = self.route(body) {
                    self.target = Some(target);
                }
            }
            RTM_DELROUTE if self.route(body).is_some() => self.target = None,
            RTM_NEWNEXTHOP => self.nexthop(body),
            RTM_DELNEXTHOP => {
                if let Some(id) =
                    attributes(body, 8).find(|(kind, _)| *kind == NHA_ID).and_then(|(_, v)| number(v))
                {
                    self.nexthops.remove(&id);
                }
            }
            _ => {}
        }
    }

    /// Where the route leads, if it is the one that is watched: `struct rtmsg` has 12 octets, the second is the length.
    fn route(&self, body: &[u8]) -> Option<Target> {
        let all: BTreeMap<_, _> = attributes(body, 12).collect();
        let watched = body.get(1) == Some(&128) && address(all.get(&RTA_DST)?) == Some(self.host);
        if !watched {
            return None;
        }
        if let Some(id) = all.get(&RTA_NH_ID).and_then(|value| number(value)) {
            return Some(Target::Object(id));
        }
        let single = all.get(&RTA_GATEWAY).and_then(|value| address(value));
        let several = all.get(&RTA_MULTIPATH).map(|value| legs(value)).unwrap_or_default();
        Some(Target::Direct(single.into_iter().chain(several).collect()))
    }

    fn nexthop(&mut self, body: &[u8]) {
        let all: BTreeMap<_, _> = attributes(body, 8).collect();
        let Some(id) = all.get(&NHA_ID).and_then(|value| number(value)) else { return };
        let nexthop = match all.get(&NHA_GROUP) {
            Some(members) => Nexthop::Group(members.chunks_exact(8).filter_map(number).collect()),
            None => Nexthop::Single(all.get(&NHA_GATEWAY).and_then(|value| address(value))),
        };
        self.nexthops.insert(id, nexthop);
    }

    fn gateways(&self) -> BTreeSet<Ipv6Addr> {
        match &self.target {
            None => BTreeSet::new(),
            Some(Target::Direct(gateways)) => gateways.clone(),
            Some(Target::Object(id)) => self.of_object(*id),
        }
    }

    fn of_object(&self, id: u32) -> BTreeSet<Ipv6Addr> {
        match self.nexthops.get(&id) {
            None => BTreeSet::new(),
            Some(Nexthop::Single(gateway)) => gateway.iter().copied().collect(),
            Some(Nexthop::Group(members)) => {
                members.iter().flat_map(|member| self.of_object(*member)).collect()
            }
        }
    }
}

/// The first message of a datagram: type, body, the rest.
fn message(octets: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(number(octets)?).ok()?;
    let kind = u16::from_ne_bytes(octets.get(4..6)?.try_into().ok()?);
    let next = length.next_multiple_of(4).min(octets.len());
    Some((kind, octets.get(16..length)?, octets.get(next..)?))
}

/// The attributes behind a header of so many octets.
fn attributes(body: &[u8], header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(header..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The gateways inside RTA_MULTIPATH: `struct rtnexthop` has 8 octets, its length first, attributes behind.
fn legs(mut octets: &[u8]) -> Vec<Ipv6Addr> {
    let mut found = Vec::new();
    while let Some(length) = octets.get(..2).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes) {
        let Some(leg) = octets.get(..usize::from(length)).filter(|leg| leg.len() >= 8) else { break };
        found.extend(
            attributes(leg, 8).filter(|(kind, _)| *kind == RTA_GATEWAY).filter_map(|(_, v)| address(v)),
        );
        octets = octets.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn number(octets: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(octets.get(..4)?.try_into().ok()?))
}

fn address(octets: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?))
}

/// An IPv6 address out of text.
pub fn v6(text: &str) -> Result<Ipv6Addr> {
    match text.parse().with_context(|| text.to_owned())? {
        IpAddr::V6(address) => Ok(address),
        IpAddr::V4(_) => bail!("{text} is not IPv6"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
    }

    fn netlink(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + body.len()).unwrap();
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat()
    }

    fn route(host: Ipv6Addr, id: u32) -> Vec<u8> {
        let header = [10, 128, 0, 0, 254, 186, 0, 1, 0, 0, 0, 0];
        [&header[..], &attribute(RTA_DST, &host.octets()), &attribute(RTA_NH_ID, &id.to_ne_bytes())].concat()
    }

    fn single(id: u32, gateway: Ipv6Addr) -> Vec<u8> {
        let attributes = [attribute(NHA_ID, &id.to_ne_bytes()), attribute(NHA_GATEWAY, &gateway.octets())];
        netlink(RTM_NEWNEXTHOP, &[&[0; 8][..], &attributes.concat()].concat())
    }

    fn group(id: u32, members: &[u32]) -> Vec<u8> {
        let legs: Vec<u8> = members.iter().flat_map(|m| [&m.to_ne_bytes()[..], &[0; 4]].concat()).collect();
        let attributes = [attribute(NHA_ID, &id.to_ne_bytes()), attribute(NHA_GROUP, &legs)];
        netlink(RTM_NEWNEXTHOP, &[&[0; 8][..], &attributes.concat()].concat())
    }

    #[test]
    fn a_group_that_changes_in_place_changes_the_route() {
        let [host, one, two] = ["2004::1", "2001:db8::1", "2001:db8::2"].map(|text| v6(text).unwrap());
        let mut state = State { host, ..State::default() };
        let (sender, changes) = channel();
        let mut tell = |octets: &[u8]| {
            state.take(octets, Instant::now(), &sender).unwrap();
            changes.try_iter().map(|change: Change| change.gateways).collect::<Vec<_>>()
        };
        let first = [single(1, one), group(9, &[1]), netlink(RTM_NEWROUTE, &route(host, 9))].concat();
        assert_eq!(tell(&first), [BTreeSet::from([one])]);
        assert_eq!(tell(&[single(2, two), group(9, &[1, 2])].concat()), [BTreeSet::from([one, two])]);
        assert_eq!(tell(&netlink(RTM_NEWROUTE, &route(two, 1))), [], "another prefix");
        assert_eq!(tell(&netlink(RTM_DELROUTE, &route(host, 9))), [BTreeSet::new()]);
    }

    #[test]
    fn what_is_lost_is_told_apart_from_what_is_there() {
        let link = |flags: u32| netlink(RTM_NEWLINK, &[&[0; 8][..], &flags.to_ne_bytes(), &[0; 4]].concat());
        let neighbor = |family: u8, state: u16| {
            netlink(
                RTM_NEWNEIGH,
                &[&[family, 0, 0, 0, 4, 0, 0, 0][..], &state.to_ne_bytes(), &[0; 2]].concat(),
            )
        };
        assert!(any(&[link(LOWER_UP), link(1)].concat(), is_lost_link));
        assert!(!any(&link(LOWER_UP | 1), is_lost_link));
        assert!(any(&neighbor(INET6, FAILED), is_failed_neighbor));
        assert!(!any(&[neighbor(INET6, 2), neighbor(7, FAILED), link(0)].concat(), is_failed_neighbor));
    }

    #[test]
    fn octets_that_are_cut_off_say_nothing() {
        let whole = netlink(RTM_NEWROUTE, &route(v6("2004::1").unwrap(), 9));
        for length in 0..whole.len() {
            assert!(message(&whole[..length]).is_none());
        }
    }
}
