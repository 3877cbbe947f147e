//! Networks of several speakers, each with a RIB of its own, exchanging real octets until nobody has more to say.
//!
//! The recorded network is held against what another implementation ended with.

use serde_json::Value;

use super::*;

struct Router {
    rib: Rib,
    kernel: Kernel,
    /// Peer number, its router's number, the number by which that one knows us, and how it reads.
    sessions: Vec<(PeerId, usize, PeerId, DecodeContext)>,
    /// All that it can reach: its peers. No interior protocol carries the links between the others.
    neighbors: Vec<IpAddr>,
}

fn asn(value: &Value) -> Asn {
    Asn(u32::try_from(value["as"].as_u64().unwrap()).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn id(value: &Value) -> RouterId {
    RouterId::try_from(text(&value["router_id"]).parse::<std::net::Ipv4Addr>().unwrap()).unwrap()
}

/// Routers of a recorded network, with sessions up and networks originated. A peer's number is its router's.
fn build(network: &Value) -> Vec<Router> {
    let routers: Vec<&Value> = network["routers"].as_object().unwrap().values().collect();
    let at = |number: usize| PeerId(u32::try_from(number).unwrap());
    let holder = |address: &str| {
        routers.iter().position(|other| {
            other["sessions"].as_object().unwrap().values().any(|session| session["local"] == address)
        })
    };
    let mut built = Vec::new();
    for (number, router) in routers.iter().enumerate() {
        let mut rib = Rib::new(RibConfig { local_asn: asn(router), router_id: id(router), ..config() });
        let mut sessions = Vec::new();
        for neighbor in router["neighbors"].as_array().unwrap() {
            let address = text(&neighbor["addr"]);
            let other = holder(address).unwrap();
            let local = text(&router["sessions"][address]["local"]).parse().unwrap();
            let kind = if asn(neighbor) == asn(router) { PeerKind::Internal } else { PeerKind::External };
            let identifier = id(routers[other]);
            let mut settings =
                PeerSettings::new(kind, asn(neighbor), identifier, address.parse().unwrap(), local);
            settings.import = Some(bgp_policy::Policy::All);
            settings.export = Some(bgp_policy::Policy::All);
            settings.families.ipv6 = false;
            rib.add_peer(at(other), settings);
            let reads = DecodeContext { peer: kind, ..DecodeContext::default() };
            sessions.push((at(other), other, at(number), reads));
        }
        for network in router["originates"].as_array().unwrap() {
            rib.originate(prefix(text(network)));
        }
        let addresses = router["neighbors"].as_array().unwrap().iter();
        let neighbors = addresses.map(|neighbor| text(&neighbor["addr"]).parse().unwrap()).collect();
        built.push(Router { rib, kernel: Kernel::default(), sessions, neighbors });
    }
    built
}

fn converge(routers: &mut [Router]) {
    for _ in 0..50 {
        let mut quiet = true;
        for at in 0..routers.len() {
            settle(&mut routers[at].rib);
            let mut changes = Vec::new();
            routers[at].rib.take_next_hop_changes(&mut changes);
            for (hop, _) in changes {
                let found = match routers[at].neighbors.contains(&hop.next_hop.address()) {
                    true => Reachability::Reachable { metric: 0 },
                    false => Reachability::Unreachable("no route".into()),
                };
                routers[at].rib.set_reachability(hop, found);
            }
            settle(&mut routers[at].rib);
            for (peer, other, us, reads) in routers[at].sessions.clone() {
                let mut out = BytesMut::new();
                while routers[at].rib.next_update(peer, &mut out, 4096) {}
                let framer = Framer::new();
                while let Next::Message(frame) = framer.next(&mut out) {
                    quiet = false;
                    let update = bgp_wire::update::decode(&frame.body, &reads).unwrap();
                    routers[other].rib.receive_update(us, &update);
                }
            }
        }
        if quiet {
            return;
        }
    }
    panic!("does not converge");
}

/// How many prefixes went each way over each session, where that was recorded.
fn compare_sessions(router: &Router, recorded: &Value) {
    let addresses = recorded["neighbors"].as_array().unwrap().iter().map(|neighbor| text(&neighbor["addr"]));
    for (address, (peer, ..)) in addresses.zip(&router.sessions) {
        let (session, ours) = (&recorded["sessions"][address], router.rib.counters(*peer).unwrap().ipv4);
        for (name, count) in [("received", ours.received), ("sent", ours.advertised)] {
            let theirs = session[name].as_u64();
            assert!(
                theirs.is_none_or(|theirs| theirs == count),
                "{address}: {name} {count} instead of {session}"
            );
        }
    }
}

#[test]
fn a_recorded_network_ends_as_it_was_recorded() {
    let ours = include_str!("../../../../tests/corpus/topologies.jsonl");
    let theirs = shared_corpus("topologies.jsonl");
    for line in ours.lines().chain(theirs.lines()).filter(|line| !line.is_empty()) {
        let network: Value = serde_json::from_str(line).unwrap();
        let mut routers = build(&network);
        converge(&mut routers);
        for (router, recorded) in routers.iter_mut().zip(network["routers"].as_object().unwrap().values()) {
            router.kernel.pull(&mut router.rib);
            let routes = recorded["final_routes_last_installed"].as_object().unwrap();
            assert_eq!(router.kernel.0.len(), routes.len(), "{recorded}");
            for (destination, hops) in routes {
                // Where several paths are equally good, the recorded one is among ours.
                let found = router.kernel.hops(destination);
                assert!(found.contains(&text(&hops[0])), "{destination}: {found:?} instead of {hops}");
            }
            compare_sessions(router, recorded);
        }
    }
}

#[test]
fn a_network_that_is_withdrawn_leaves_no_trace() {
    let corpus = include_str!("../../../../tests/corpus/topologies.jsonl");
    let network: Value = serde_json::from_str(corpus.lines().next().unwrap()).unwrap();
    let mut routers = build(&network);
    converge(&mut routers);
    routers[0].rib.withdraw_origin(prefix("1.1.1.1/32"));
    converge(&mut routers);
    for router in &mut routers {
        router.kernel.pull(&mut router.rib);
        assert_eq!(router.kernel.hops("1.1.1.1/32"), [""; 0]);
        assert!(router.rib.routes(prefix("1.1.1.1/32")).is_empty());
        holders::check(&router.rib);
    }
}
