//! The RIB as its users see it: scenarios, laws that hold whatever happens, and what must be given back.

mod advertise;
mod backups;
mod first_paths;
mod handover;
mod holders;
mod impact;
mod interleavings;
mod laws;
mod limits;
mod long_lived;
mod oracle;
mod passing_on;
mod portions;
mod refresh;
mod scenarios;
mod topology;
mod weights;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;

use bgp_wire::attribute::{AsPath, Segment};
use bgp_wire::message::Message;
use bgp_wire::route_refresh::RouteRefresh;
use bgp_wire::{
    Announcement, Asn, DecodeContext, Family, Framer, Next, NextHop, Nlri, PathAttributes, PeerKind, Prefix,
    RouterId, ScopedNextHop, Update,
};
use bytes::BytesMut;
use smallvec::smallvec;

use crate::{PeerId, PeerSettings, Reachability, Rib, RibConfig, Verdict};

/// What the directory beside the repository has of a file of the corpus; nothing, and that is said, where it is absent. See the
/// README of the corpus.
pub(crate) fn shared_corpus(file: &str) -> String {
    let directory = std::env::var_os("BGPD_RS_SHARED")
        .map_or_else(|| "../../../shared".into(), std::path::PathBuf::from)
        .join("corpus");
    if !directory.is_dir() {
        // Past the harness, which shows the words of a test only where it fails.
        let said =
            writeln!(std::io::stderr(), "corpus: NOT RUN, what {} holds of {file}", directory.display());
        said.expect("stderr takes a line");
    }
    let file = directory.join(file);
    if file.is_file() { std::fs::read_to_string(file).unwrap() } else { String::new() }
}

const US: Asn = Asn(64513);

fn config() -> RibConfig {
    RibConfig {
        local_asn: US,
        router_id: router_id(),
        maximum_paths: 64,
        multipath_relax: true,
        backups: true,
        hash_seed: 0x5eed,
    }
}

/// Everybody has the same identifier, as in a cluster that annotates all nodes alike.
fn router_id() -> RouterId {
    RouterId::new(0xAC32_0001).unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn external(asn: u32, address: &str) -> PeerSettings {
    let address: IpAddr = address.parse().unwrap();
    let local = if address.is_ipv4() { "172.50.0.1" } else { "2001:3200:3200::1" };
    let mut settings =
        PeerSettings::new(PeerKind::External, Asn(asn), router_id(), address, local.parse().unwrap());
    settings.import = Some(bgp_policy::Policy::All);
    settings
}

fn internal(address: &str) -> PeerSettings {
    PeerSettings { kind: PeerKind::Internal, asn: US, ..external(US.0, address) }
}

fn path(asns: &[u32]) -> PathAttributes {
    let segments = if asns.is_empty() {
        Vec::new()
    } else {
        vec![Segment::Sequence(asns.iter().map(|asn| Asn(*asn)).collect())]
    };
    PathAttributes { as_path: AsPath { segments }, ..PathAttributes::default() }
}

fn next_hop(text: &str) -> NextHop {
    text.parse::<IpAddr>().unwrap().into()
}

fn scoped(text: &str) -> ScopedNextHop {
    ScopedNextHop { next_hop: next_hop(text), interface: None }
}

fn nlri(prefixes: &[Prefix]) -> Nlri {
    Nlri::from_entries(prefixes[0].family(), false, prefixes.iter().map(|prefix| (*prefix).into()))
}

fn announce(attributes: &PathAttributes, hop: &str, prefixes: &[&str]) -> Update {
    let prefixes: Vec<_> = prefixes.iter().map(|text| prefix(text)).collect();
    Update {
        announced: smallvec![Announcement { nlri: nlri(&prefixes), next_hop: next_hop(hop) }],
        attributes: Some(attributes.to_bytes()),
        ..Update::default()
    }
}

fn withdraw(prefixes: &[&str]) -> Update {
    let prefixes: Vec<_> = prefixes.iter().map(|text| prefix(text)).collect();
    Update { withdrawn: smallvec![nlri(&prefixes)], ..Update::default() }
}

fn end_of_rib(family: Family) -> Update {
    Update { end_of_rib: Some(family), ..Update::default() }
}

fn reachable(rib: &mut Rib, hops: &[&str]) {
    for hop in hops {
        rib.set_reachability(scoped(hop), Reachability::Reachable { metric: 0 });
    }
}

fn settle(rib: &mut Rib) {
    while rib.decide(10) {}
}

/// Each path of a prefix: its peer and the verdict in words.
fn paths(rib: &Rib, text: &str) -> Vec<(u32, String)> {
    rib.routes(prefix(text)).into_iter().map(|route| (route.peer.0, route.verdict.to_string())).collect()
}

/// What the kernel side would hold: next hops with their shares, and backups.
#[derive(Default, Debug)]
struct Kernel(BTreeMap<String, Vec<(String, u16)>>, BTreeMap<String, String>);

/// Which of several paths is the backup depends on what came first.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Kernel {
    /// Pulls everything; the prefixes that changed.
    fn pull(&mut self, rib: &mut Rib) -> Vec<String> {
        let mut changed: Vec<_> = std::iter::from_fn(|| self.pull_one(rib)).collect();
        changed.sort_unstable();
        changed
    }

    /// Pulls one change; its prefix.
    fn pull_one(&mut self, rib: &mut Rib) -> Option<String> {
        let (prefix, forwarding) = rib.next_forwarding_change()?;
        match forwarding.as_ref().and_then(|forwarding| forwarding.backup) {
            Some(backup) => self.1.insert(prefix.to_string(), backup.next_hop.to_string()),
            None => self.1.remove(&prefix.to_string()),
        };
        match forwarding {
            Some(forwarding) => {
                let hops =
                    forwarding.shares().map(|(hop, share)| (hop.next_hop.to_string(), share)).collect();
                self.0.insert(prefix.to_string(), hops);
            }
            None => assert!(self.0.remove(&prefix.to_string()).is_some(), "removed what was not there"),
        }
        Some(prefix.to_string())
    }

    /// Where new flows go: paths that will go, with a share of 0, keep those that they have.
    fn hops(&self, prefix: &str) -> Vec<&str> {
        let hops = self.0.get(prefix).into_iter().flatten();
        hops.filter(|(_, share)| *share > 0).map(|(hop, _)| hop.as_str()).collect()
    }

    fn backup(&self, prefix: &str) -> Option<&str> {
        self.1.get(prefix).map(String::as_str)
    }

    /// With those that only keep flows.
    fn every_hop(&self, prefix: &str) -> Vec<&str> {
        self.0.get(prefix).into_iter().flatten().map(|(hop, _)| hop.as_str()).collect()
    }
}

/// A peer that reads what it is sent.
#[derive(Default, Debug)]
struct Receiver {
    routes: BTreeMap<Prefix, (PathAttributes, NextHop)>,
    ends: Vec<Family>,
    messages: usize,
    /// Brackets of refreshes, each with how many announcements and ends had come before it.
    brackets: Vec<(RouteRefresh, usize)>,
    taken: usize,
}

impl Receiver {
    /// Pulls everything, at most about `limit` octets at a time.
    fn pull(&mut self, rib: &mut Rib, id: PeerId, limit: usize) {
        loop {
            let mut out = BytesMut::new();
            let more = rib.next_update(id, &mut out, limit);
            self.read(&mut out);
            if !more {
                break;
            }
        }
        assert!(!rib.has_update(id));
    }

    /// [`Receiver::pull`], with the decisions in between that a refresh waits for.
    fn pull_all(&mut self, rib: &mut Rib, id: PeerId, limit: usize) {
        self.pull(rib, id, limit);
        while rib.has_work() {
            settle(rib);
            self.pull(rib, id, limit);
        }
    }

    fn read(&mut self, octets: &mut BytesMut) {
        let framer = Framer::new();
        // Takes LOCAL_PREF too, and an external peer must not get it.
        let internal = DecodeContext { peer: PeerKind::Internal, ..DecodeContext::default() };
        loop {
            match framer.next(octets) {
                Next::Wait => break assert!(octets.is_empty(), "half a message"),
                Next::Fault(fault) => panic!("{fault:?}"),
                Next::Message(frame) => {
                    self.messages += 1;
                    match bgp_wire::message::decode(&frame, &internal).unwrap() {
                        Message::Update(update) => self.take(&update),
                        Message::RouteRefresh(bracket) => self.brackets.push((bracket, self.taken)),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    fn take(&mut self, update: &Update) {
        assert!(update.faults.is_empty(), "{:?}", update.faults);
        self.ends.extend(update.end_of_rib);
        self.taken += update.announced.len() + usize::from(update.end_of_rib.is_some());
        for entry in update.withdrawn.iter().flat_map(Nlri::iter) {
            assert!(
                self.routes.remove(&entry.prefix).is_some(),
                "withdrawn what was not there: {}",
                entry.prefix
            );
        }
        for announcement in &update.announced {
            let attributes = update.attributes.as_ref().unwrap().parse();
            for entry in announcement.nlri.iter() {
                self.routes.insert(entry.prefix, (attributes.clone(), announcement.next_hop));
            }
        }
    }

    fn prefixes(&self) -> Vec<String> {
        self.routes.keys().map(ToString::to_string).collect()
    }
}

/// Whether a path is in use.
fn in_use(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Best(_) | Verdict::Multipath)
}
