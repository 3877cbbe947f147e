//! IPv4-mapped next hops, `::ffff:a.b.c.d` (RFC 4291 section 2.5.5.2), and the IPv6 address of the same node.
//!
//! GoBGP sends such a next hop for IPv6 routes over an IPv4 session; no kernel takes it as a gateway. The node's IPv4
//! neighbour entry names its link and MAC; an IPv6 address is accepted only when the kernel's own neighbour entry on
//! that link holds the same MAC for good. Where no such entry exists yet, likely addresses are asked for: derived from
//! the MAC (RFC 4291 appendix A) and, as container networks number their nodes, from the IPv4 host part. Nothing is used
//! on the strength of a guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use bgp_wire::Prefix;

use crate::kernel::Mac;
use crate::tracking::facts::{Facts, NeighborKey};
use crate::tracking::failed::Failed;
use crate::tracking::probe::Pace;
use crate::tracking::resolve::{Way, ipv4_link};
use crate::view::Via;

/// How long a link-local address waits for a global one: the same node may be in the set by its global address, and ECMP
/// must count it once.
const GLOBAL_FIRST: Duration = Duration::from_millis(300);

/// What is known about the node so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) link: Option<u32>,
    pub(crate) mac: Option<Mac>,
    pub(crate) in_use: Option<Ipv6Addr>,
    asked_at: Option<Instant>,
}

/// What one look at the facts came to.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) way: Result<Way, String>,
    pub(crate) needs: Vec<(NeighborKey, Pace)>,
    pub(crate) wake: Option<Instant>,
    /// Questions are out that may still be answered: no news yet.
    pub(crate) searching: bool,
}

impl Look {
    fn failed(why: String) -> Self {
        Self { way: Err(why), needs: Vec::new(), wake: None, searching: false }
    }

    fn need(mut self, key: NeighborKey, pace: Pace) -> Self {
        self.needs.push((key, pace));
        self
    }
}

impl Mapped {
    /// Looks for the node's IPv6 address.
    pub(crate) fn look(&mut self, facts: &Facts, failed: &Failed, v4: Ipv4Addr, now: Instant) -> Look {
        let probe_from = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let link =
            ipv4_link(facts, v4.into()).and_then(|link| facts.link_usable(link, probe_from).map(|()| link));
        let link = match link {
            Ok(link) => link,
            Err(why) => {
                *self = Self::default();
                return Look::failed(why);
            }
        };
        if self.link != Some(link) {
            *self = Self { link: Some(link), ..Self::default() };
        }
        let key = (link, IpAddr::V4(v4));
        let held = facts.neighbors.get(&key).filter(|neighbor| neighbor.state.is_valid());
        if let Some(mac) = held.and_then(|neighbor| neighbor.mac)
            && self.mac != Some(mac)
        {
            *self = Self { link: Some(link), mac: Some(mac), ..Self::default() };
        }
        let Some(mac) = self.mac else {
            let name = facts.link_name(link);
            let silent = failed.contains(&key);
            let why = if silent { "does not answer" } else { "is being asked for" };
            let look = Look::failed(format!("{v4} {why} at {name}")).need(key, Pace::Seek);
            return Look { searching: !silent, ..look };
        };
        let pace = if held.is_some() { Pace::Recheck } else { Pace::Seek };
        self.choose(&Node { facts, failed, link, mac, v4 }, now).need(key, pace)
    }

    fn choose(&mut self, node: &Node<'_>, now: Instant) -> Look {
        match node.best(self.in_use) {
            Some(best) if !best.is_unicast_link_local() => {
                self.in_use = Some(best);
                node.use_it(best)
            }
            Some(best) => self.prefer_global(node, best, now),
            None => {
                self.in_use = None;
                node.search()
            }
        }
    }

    fn prefer_global(&mut self, node: &Node<'_>, best: Ipv6Addr, now: Instant) -> Look {
        let asked_at = *self.asked_at.get_or_insert(now);
        let ready =
            self.in_use.is_some() || node.derived().next().is_none() || now >= asked_at + GLOBAL_FIRST;
        let mut look = if ready {
            self.in_use = Some(best);
            node.use_it(best)
        } else {
            let mut look = Look::failed(format!("global IPv6 address is being asked for at {}", node.name()));
            look.wake = Some(asked_at + GLOBAL_FIRST);
            Look { searching: true, ..look }
        };
        look.needs.extend(node.derived().map(|address| ((node.link, address.into()), Pace::Seek)));
        look
    }
}

/// The node as its IPv4 neighbour entry shows it.
struct Node<'a> {
    facts: &'a Facts,
    failed: &'a Failed,
    link: u32,
    mac: Mac,
    v4: Ipv4Addr,
}

impl Node<'_> {
    fn name(&self) -> String {
        self.facts.link_name(self.link)
    }

    /// The best verified address: global before link-local, then the one whose host part is that of the IPv4 address,
    /// then the one in use, then the lowest. An address in use whose entry has gone stays until it is shown to be wrong.
    fn best(&self, in_use: Option<Ipv6Addr>) -> Option<Ipv6Addr> {
        let kept = in_use.filter(|address| self.not_refuted(*address));
        self.facts
            .ipv6_by_mac(self.link, self.mac)
            .chain(kept)
            .filter(|address| !self.failed.contains(&(self.link, (*address).into())))
            .filter(|address| !self.facts.is_own_address((*address).into()))
            .min_by_key(|address| {
                let local = address.is_unicast_link_local();
                (local, !self.same_host(*address), in_use != Some(*address), *address)
            })
    }

    fn not_refuted(&self, address: Ipv6Addr) -> bool {
        match self.facts.neighbors.get(&(self.link, address.into())) {
            Some(neighbor) if neighbor.state.is_valid() => neighbor.mac == Some(self.mac),
            Some(_) | None => true,
        }
    }

    fn use_it(&self, address: Ipv6Addr) -> Look {
        let key = (self.link, IpAddr::V6(address));
        let held = self.facts.neighbors.get(&key).is_some_and(|neighbor| neighbor.state.is_valid());
        let how = format!(
            "{} is {address} (same MAC {} at {})",
            self.v4.to_ipv6_mapped(),
            self.mac,
            self.facts.link_name(self.link)
        );
        let via = Via { gateway: address.into(), ifindex: self.link };
        let way = Ok(Way { via, metric: 0, how });
        let look = Look { way, needs: Vec::new(), wake: None, searching: false };
        look.need(key, if held { Pace::Recheck } else { Pace::Seek })
    }

    /// Asks for every address that the node may have.
    fn search(&self) -> Look {
        let derived = self.derived().chain([eui64_link_local(self.mac)]);
        let keys: Vec<NeighborKey> = derived.map(|address| (self.link, address.into())).collect();
        let unanswered = |key: &NeighborKey| {
            !self.failed.contains(key)
                && self.facts.neighbors.get(key).is_none_or(|neighbor| !neighbor.state.is_valid())
        };
        let searching = keys.iter().any(unanswered);
        let mac = self.mac;
        let name = self.name();
        let why = if searching {
            format!("the IPv6 address of {mac} is being asked for at {name}")
        } else {
            format!("no IPv6 address with MAC {mac} found at {name}")
        };
        let needs = keys.into_iter().map(|key| (key, Pace::Seek)).collect();
        Look { way: Err(why), needs, wake: None, searching }
    }

    /// Global addresses that the node may have.
    fn derived(&self) -> impl Iterator<Item = Ipv6Addr> {
        let host = self.ipv4_host();
        self.facts
            .prefixes_of(self.link)
            .filter_map(|prefix| match prefix {
                Prefix::V6(v6) => Some(v6),
                Prefix::V4(_) => None,
            })
            .flat_map(move |prefix| {
                let numbered = (prefix.len() <= 96 && host != 0).then(|| prefix.bits() | u128::from(host));
                let by_mac = (prefix.len() <= 64).then(|| prefix.bits() | u128::from(eui64(self.mac)));
                [numbered, by_mac]
            })
            .flatten()
            .map(Ipv6Addr::from)
            .filter(|address| !self.facts.is_own_address((*address).into()))
    }

    fn same_host(&self, address: Ipv6Addr) -> bool {
        let bits = u128::from(address);
        self.facts.prefixes_of(self.link).any(|prefix| match prefix {
            Prefix::V6(v6) => {
                prefix.contains(address.into()) && bits == v6.bits() | u128::from(self.ipv4_host())
            }
            Prefix::V4(_) => false,
        })
    }

    /// The host part of the IPv4 address; its lower half where the prefix is not one of ours.
    fn ipv4_host(&self) -> u32 {
        let bits = u32::from(self.v4);
        match self.facts.on_link_by_address(self.v4.into()) {
            Some((Prefix::V4(prefix), _)) => bits ^ prefix.bits(),
            Some((Prefix::V6(_), _)) | None => bits & 0xffff,
        }
    }
}

/// Modified EUI-64, RFC 4291 appendix A.
fn eui64(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

fn eui64_link_local(mac: Mac) -> Ipv6Addr {
    Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(eui64(mac)))
}
