//! Lists as they are asked for: pages that are put together while routes change, and who waits for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::once;
use std::time::Instant;

use bgp_api::{ErrorReply, FibRoute, FibState, Route, RoutesReply};
use bgp_fib::{Destination, Fib, FibConfig};
use bgp_netlink::{Kernel, KernelConfig};
use bgp_policy::Policy;
use bgp_rib::{PeerId, PeerSettings, Reachability, Rib, RibConfig, WhichRib};
use bgp_wire::{
    Announcement, Asn, Family, NextHop, Nlri, PathAttributes, PeerKind, PerFamily, Prefix, RouterId,
    ScopedNextHop, Update,
};
use bytes::BytesMut;
use proptest::prelude::*;
use tokio::sync::{mpsc, oneshot};

use super::Views;
use super::fib::KernelRoutes;
use super::listing::{Listing, Page, Source};
use super::lists::{List, Lists};
use super::routes::Routes;
use super::selection::Bounds;
use crate::routing::{Inputs, Query, Wake};

const US: Asn = Asn(64513);
/// Announces, and is told what we originate.
const NODE: PeerId = PeerId(1);
/// Is told everything.
const ROUTER: PeerId = PeerId(2);

/// A change of routes.
#[derive(Clone, Copy, Debug)]
enum Change {
    Originate(u8),
    WithdrawOrigin(u8),
    Announce(u8),
    Withdraw(u8),
    /// The session of the node ends, and another one begins.
    Reset,
}

struct World {
    rib: Rib,
    fib: Fib,
}

fn router_id() -> RouterId {
    RouterId::new(0xAC32_0001).unwrap()
}

fn hop() -> ScopedNextHop {
    ScopedNextHop { next_hop: NextHop::V6("2001:3200:3200::2".parse().unwrap()), interface: None }
}

/// Of both families, some inside of others, in an order that is not theirs.
fn prefix(number: u8) -> Prefix {
    let mixed = number.wrapping_mul(77);
    let text = match number % 3 {
        0 => format!("10.{mixed}.0.0/16"),
        1 => format!("10.{}.{mixed}.0/24", mixed % 8),
        _ => format!("2004::{mixed:x}/128"),
    };
    text.parse().unwrap()
}

fn nlri(prefix: Prefix) -> Nlri {
    Nlri::from_entries(prefix.family(), false, once(prefix.into()))
}

fn settings(peer: PeerId) -> PeerSettings {
    let (kind, asn, address) = match peer {
        NODE => (PeerKind::Internal, US, "2001:3200:3200::2"),
        _ => (PeerKind::External, Asn(64512), "2001:3200:3200::3"),
    };
    let (address, local) = (address.parse().unwrap(), "2001:3200:3200::1".parse().unwrap());
    let mut settings = PeerSettings::new(kind, asn, router_id(), address, local);
    (settings.import, settings.export) = (Some(Policy::All), Some(Policy::All));
    settings.families = PerFamily { ipv4: true, ipv6: true };
    settings.encode.extended_next_hop = PerFamily { ipv4: true, ipv6: true };
    settings
}

impl World {
    fn new(changes: &[Change]) -> Self {
        let mut rib = Rib::new(RibConfig {
            local_asn: US,
            router_id: router_id(),
            maximum_paths: 64,
            multipath_relax: true,
            backups: true,
            hash_seed: 1,
        });
        rib.add_peer(NODE, settings(NODE));
        rib.add_peer(ROUTER, settings(ROUTER));
        let mut world = Self { rib, fib: Fib::new(FibConfig::default(), Instant::now()) };
        changes.iter().for_each(|change| world.change(*change));
        world
    }

    /// Makes a change, and has everybody told.
    fn change(&mut self, change: Change) {
        let rib = &mut self.rib;
        match change {
            Change::Originate(number) => rib.originate(prefix(number)),
            Change::WithdrawOrigin(number) => rib.withdraw_origin(prefix(number)),
            Change::Announce(number) => {
                let announced = Announcement { nlri: nlri(prefix(number)), next_hop: hop().next_hop };
                let attributes = Some(PathAttributes::default().to_bytes());
                let announced = once(announced).collect();
                rib.receive_update(NODE, &Update { announced, attributes, ..Update::default() });
            }
            Change::Withdraw(number) => {
                let withdrawn = once(nlri(prefix(number))).collect();
                rib.receive_update(NODE, &Update { withdrawn, ..Update::default() });
            }
            Change::Reset => {
                rib.remove_peer(NODE);
                rib.add_peer(NODE, settings(NODE));
            }
        }
        rib.set_reachability(hop(), Reachability::Reachable { metric: 0 });
        while rib.decide(1000) {}
        while let Some((prefix, number, forwarding)) = rib.see_forwarding_change() {
            let shares = forwarding.into_iter().flat_map(|forwarding| forwarding.shares());
            self.fib.want_shares(Destination { prefix, number }, shares, None, Instant::now());
        }
        for peer in [NODE, ROUTER] {
            while rib.next_update(peer, &mut BytesMut::new(), 4096) {}
        }
    }

    /// Looks at the world; there are no peers but in the RIB.
    fn look<T>(&self, look: impl FnOnce(&Views<'_>) -> T) -> T {
        look(&Views { rib: &self.rib, fib: &self.fib, peers: &BTreeMap::new() })
    }

    /// Makes a page in portions, with a change after each.
    fn page<S: Source>(
        &mut self,
        source: S,
        bounds: Bounds,
        portion: usize,
        changes: &mut impl Iterator<Item = Change>,
    ) -> Page<S::Line> {
        let mut listing = Listing::search(source, bounds);
        loop {
            if let Some(page) = self.look(|views| listing.work(views, portion)) {
                return page;
            }
            changes.next().into_iter().for_each(|change| self.change(change));
        }
    }

    /// Asks for page after page; the prefixes of all of them, each page checked by itself.
    fn pages<S: Source>(
        &mut self,
        source: impl Fn() -> S,
        name: impl Fn(&S::Line) -> String,
        (limit, portion): (usize, usize),
        mut changes: impl Iterator<Item = Change>,
    ) -> Pages {
        let mut all = Pages::default();
        loop {
            let bounds = Bounds { after: all.prefixes.last().copied(), limit };
            let page = self.page(source(), bounds, portion, &mut changes);
            assert!(page.lines.len() <= limit && (!page.more || !page.lines.is_empty()));
            all.prefixes.extend(page.lines.iter().map(|line| name(line).parse::<Prefix>().unwrap()));
            all.totals.push(page.total);
            all.lengths.push(page.lines.len());
            if !page.more {
                assert!(all.prefixes.is_sorted_by(|a, b| a < b), "in order, and each once");
                return all;
            }
        }
    }

    /// Every list there is, under its name.
    fn lists(&mut self, how: (usize, usize), changes: &[Change]) -> BTreeMap<&'static str, Pages> {
        let changes = || changes.iter().copied();
        let of_route = |route: &Route| route.prefix.clone();
        let of_kernel_route = |route: &FibRoute| route.prefix.clone();
        let mut lists = BTreeMap::new();
        let ribs = [
            ("loc-rib", WhichRib::Loc),
            ("received", WhichRib::AdjIn(NODE)),
            ("advertised", WhichRib::AdjOut(ROUTER)),
        ];
        for (name, rib) in ribs {
            lists.insert(name, self.pages(|| routes(rib), of_route, how, changes()));
        }
        let kernel = || KernelRoutes { state: None };
        lists.insert("fib", self.pages(kernel, of_kernel_route, how, changes()));
        lists
    }

    /// What these have to hold, in order.
    fn expected(&self) -> BTreeMap<&'static str, Vec<Prefix>> {
        let sorted = |prefixes: &mut dyn Iterator<Item = Prefix>| {
            prefixes.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        let (rib, families) = (&self.rib, || Family::ALL.into_iter());
        BTreeMap::from([
            ("loc-rib", sorted(&mut families().flat_map(|family| rib.prefixes(family)))),
            (
                "received",
                sorted(
                    &mut families().flat_map(|family| rib.received(NODE, family)).map(|route| route.prefix),
                ),
            ),
            (
                "advertised",
                sorted(
                    &mut families()
                        .flat_map(|family| rib.advertised(ROUTER, family))
                        .map(|route| route.prefix),
                ),
            ),
            ("fib", sorted(&mut self.fib.routes().into_iter().map(|route| route.prefix))),
        ])
    }
}

/// What came of page after page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pages {
    prefixes: Vec<Prefix>,
    lengths: Vec<usize>,
    totals: Vec<u64>,
}

fn routes(rib: WhichRib) -> Routes {
    Routes { rib, told: None, families: Family::ALL.to_vec(), inside: None }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0u8..120).prop_map(Change::Originate),
        2 => (0u8..120).prop_map(Change::WithdrawOrigin),
        8 => (0u8..120).prop_map(Change::Announce),
        4 => (0u8..120).prop_map(Change::Withdraw),
        1 => Just(Change::Reset),
    ]
}

/// Which number it is about; none for all that a node has announced.
fn number(change: &Change) -> Option<u8> {
    match change {
        Change::Originate(number)
        | Change::WithdrawOrigin(number)
        | Change::Announce(number)
        | Change::Withdraw(number) => Some(*number),
        Change::Reset => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_joined_are_the_whole_list(
        changes in proptest::collection::vec(change(), 0..150),
        limit in 1usize..60,
        portion in 1usize..400,
    ) {
        let mut world = World::new(&changes);
        let expected = world.expected();
        for (name, pages) in world.lists((limit, portion), &[]) {
            let prefixes = &expected[name];
            prop_assert_eq!(&pages.prefixes, prefixes, "{}", name);
            let (last, full) = pages.lengths.split_last().unwrap();
            prop_assert!(full.iter().all(|length| *length == limit) && *last <= limit, "{}", name);
            let total = u64::try_from(prefixes.len()).unwrap();
            prop_assert!(pages.totals.iter().all(|one| *one == total), "{} {:?}", name, pages.totals);
        }
    }

    #[test]
    fn what_stays_is_listed_once_while_the_rest_comes_and_goes(
        before in proptest::collection::vec(change(), 0..150),
        meanwhile in proptest::collection::vec(change(), 0..80),
        limit in 1usize..40,
        portion in 1usize..200,
    ) {
        let touched: BTreeSet<_> = meanwhile.iter().filter_map(number).map(prefix).collect();
        let reset = meanwhile.iter().any(|change| number(change).is_none());
        let mut world = World::new(&before);
        let there = world.expected();
        for (name, pages) in world.lists((limit, portion), &meanwhile) {
            let stays = |prefix: &&Prefix| !touched.contains(prefix) && !reset;
            let missed: Vec<_> =
                there[name].iter().filter(stays).filter(|prefix| !pages.prefixes.contains(prefix)).collect();
            prop_assert!(missed.is_empty(), "{}: {:?}", name, missed);
            let strange = pages.prefixes.iter().find(|prefix| {
                !there[name].contains(prefix) && !touched.contains(prefix)
            });
            prop_assert!(strange.is_none(), "{}: {:?}", name, strange);
        }
    }
}

/// A hundred routes of a node and two networks of our own.
fn table() -> World {
    let routes = (0..100).map(Change::Announce);
    World::new(&routes.chain([Change::Originate(200), Change::Originate(201)]).collect::<Vec<_>>())
}

#[test]
fn a_list_of_the_kernels_routes_has_those_in_the_state_that_is_asked_for() {
    let mut world = table();
    let mut count = |state| {
        let bounds = Bounds { after: None, limit: 1000 };
        world.page(KernelRoutes { state: Some(state) }, bounds, 4096, &mut std::iter::empty()).lines.len()
    };
    // The FIB has not read the kernel yet.
    assert_eq!((count(FibState::Pending), count(FibState::Installed)), (100, 0));
}

type Answer = oneshot::Receiver<Result<RoutesReply, ErrorReply>>;

/// A list that takes many small portions, and where its answer comes.
fn list() -> (List, Answer) {
    let (reply, answer) = oneshot::channel();
    let bounds = Bounds { after: None, limit: 1000 };
    (List::Routes(Listing::search(routes(WhichRib::Loc), bounds), reply), answer)
}

/// Works on the lists until all are done; after how many portions each was answered.
fn work_through(world: &World, lists: &mut Lists, answers: &mut [Answer]) -> Vec<usize> {
    let mut answered = vec![0; answers.len()];
    for portion in 1.. {
        let more = world.look(|views| lists.work(views));
        for (answer, at) in answers.iter_mut().zip(&mut answered) {
            if *at == 0
                && answer.try_recv().is_ok_and(|reply| reply.is_ok_and(|reply| reply.routes.len() == 102))
            {
                *at = portion;
            }
        }
        if !more {
            break;
        }
    }
    answered
}

#[test]
fn some_lists_take_turns_and_the_others_wait() {
    let world = table();
    let mut lists = Lists::default();
    let (one, answer) = list();
    lists.add(one);
    let alone = work_through(&world, &mut lists, &mut [answer])[0];
    assert!(alone > 4, "{alone}");
    let (some, mut answers): (Vec<_>, Vec<_>) = (0..6).map(|_| list()).unzip();
    some.into_iter().for_each(|list| lists.add(list));
    // Four go on side by side, and the next begins when one of them is done.
    let expected = [4 * alone - 3, 4 * alone - 2, 4 * alone - 1, 4 * alone];
    let answered = work_through(&world, &mut lists, &mut answers);
    assert_eq!(answered[..4], expected);
    assert_eq!(answered.iter().max(), Some(&(6 * alone)), "no portion is lost: {answered:?}");
}

#[tokio::test]
async fn a_list_for_which_nobody_waits_costs_nothing() {
    let world = table();
    let mut lists = Lists::default();
    let (given_up, answer) = list();
    let (wanted, wanted_answer) = list();
    lists.add(given_up);
    lists.add(wanted);
    drop(answer);
    let (one, answer) = list();
    let mut alone = Lists::default();
    alone.add(one);
    let portions = work_through(&world, &mut alone, &mut [answer]);
    assert_eq!(work_through(&world, &mut lists, &mut [wanted_answer]), portions);
    let (given_up, _) = list();
    lists.add(given_up);
    assert!(!world.look(|views| lists.work(views)), "that was all");
}

#[tokio::test]
async fn the_watchdog_waits_behind_no_query() {
    let (_inlet, peers) = crate::routing::lanes();
    let (_orders, orders) = mpsc::channel(1);
    let (to_queries, queries) = mpsc::channel(1);
    let (to_pings, pings) = mpsc::channel(1);
    let (_bfd, bfd) = mpsc::channel(1);
    let (_kernel, kernel) = Kernel::start(KernelConfig::default()).unwrap();
    let mut inputs = Inputs { peers, orders, queries, pings, kernel, bfd };
    to_queries.try_send(Query::Summary(oneshot::channel().0)).unwrap();
    to_pings.try_send(oneshot::channel().0).unwrap();
    let first = loop {
        match inputs.next(true, std::future::pending()).await {
            // What it has to say of this host.
            Wake::Kernel(_) => {}
            other => break other,
        }
    };
    assert!(matches!(first, Wake::Ping(_)), "{first:?}");
}

#[test]
fn a_query_for_whose_answer_nobody_waits_is_told_from_others() {
    let (reply, answer) = oneshot::channel();
    let query = Query::Summary(reply);
    assert!(!query.is_given_up());
    drop(answer);
    assert!(query.is_given_up());
}
