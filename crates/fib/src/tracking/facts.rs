//! The kernel's facts that next hops are resolved from: links, addresses, neighbours, and routes that are not ours.
//!
//! Rows carry the number of the dump in which they were last seen; the end of a dump sweeps what it has not seen.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use bgp_wire::{PerFamily, Prefix};

use crate::config::MAIN_TABLE;
use crate::event::Seen;
use crate::kernel::{Address, KernelHop, KernelNexthop, KernelRoute, Link, Mac, Neighbor, RouteKind};

/// Interface and network address.
pub(crate) type NeighborKey = (u32, IpAddr);

/// Rows of one kind, with mark and sweep.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    rows: BTreeMap<K, (V, u64)>,
    dump: u64,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), dump: 0 }
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.rows.insert(key, (value, self.dump)).map(|(old, _)| old)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.rows.remove(key).map(|(old, _)| old)
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(|(value, _)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, (value, _))| (key, value))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.rows.iter_mut().map(|(key, (value, _))| (key, value))
    }

    pub(crate) fn begin_dump(&mut self) {
        self.dump += 1;
    }

    /// Takes out the rows that the dump has not shown.
    pub(crate) fn end_dump(&mut self) -> Vec<(K, V)> {
        let dump = self.dump;
        self.rows.extract_if(.., |_, (_, seen)| *seen < dump).map(|(key, (value, _))| (key, value)).collect()
    }
}

/// A route and its readings.
#[derive(Debug)]
struct Row {
    route: KernelRoute,
    /// The dump in which it was last seen.
    seen: u64,
    /// The last dump has not shown it.
    missed: bool,
}

/// Routes that are not ours, of the main table and of the table of our routes.
#[derive(Debug, Default)]
pub(crate) struct ForeignRoutes {
    rows: BTreeMap<Prefix, Vec<Row>>,
    lengths: PerFamily<BTreeMap<u8, usize>>,
    /// How many there are of each table and metric.
    places: BTreeMap<(u32, u32), usize>,
    /// How many of them point to a next-hop object.
    nexthop_users: BTreeMap<u32, usize>,
    dump: u64,
}

impl ForeignRoutes {
    /// Enters a route. A replacement ends what had its place: the same prefix, table and metric. An IPv6 route ends those whose
    /// legs it has.
    pub(crate) fn insert(&mut self, route: KernelRoute, seen: Seen) {
        let prefix = route.prefix;
        if seen == Seen::Replace {
            self.remove_where(prefix, |old| same_metric(old, &route));
        } else if has_legs(&route) {
            self.remove_where(prefix, |old| same_set(old, &route) && !same_route(old, &route));
        }
        let rows = self.rows.entry(prefix).or_default();
        if rows.is_empty() {
            *self.lengths[prefix.family()].entry(prefix.len()).or_default() += 1;
        }
        let known = rows.iter_mut().find(|row| same_route(&row.route, &route));
        if known.is_none() {
            *self.places.entry((route.table, route.metric)).or_default() += 1;
            if let Some(id) = route.nexthop_id {
                *self.nexthop_users.entry(id).or_default() += 1;
            }
        }
        let row = Row { route, seen: self.dump, missed: false };
        match known {
            Some(known) => *known = row,
            None => rows.push(row),
        }
    }

    /// A reading has shown a route that may be no more: where it is known, it has been seen.
    pub(crate) fn show(&mut self, route: &KernelRoute) {
        let rows = self.rows.get_mut(&route.prefix).into_iter().flatten();
        for row in rows.filter(|row| same_route(&row.route, route)) {
            (row.seen, row.missed) = (self.dump, false);
        }
    }

    /// Removes a route: the one with the same hops, else the first of the same table, metric and protocol. Of an IPv6 route
    /// these legs alone go.
    pub(crate) fn remove(&mut self, route: &KernelRoute) {
        if has_legs(route) {
            return self.remove_legs(route);
        }
        let before = self.rows.get(&route.prefix).map_or(0, Vec::len);
        self.remove_where(route.prefix, |old| same_route(old, route));
        if self.rows.get(&route.prefix).map_or(0, Vec::len) == before {
            let mut first = true;
            self.remove_where(route.prefix, |old| same_place(old, route) && std::mem::take(&mut first));
        }
    }

    /// The kernel tells of each leg that goes by itself, and of all of a route that go together.
    fn remove_legs(&mut self, route: &KernelRoute) {
        let rows = self.rows.get_mut(&route.prefix).into_iter().flatten();
        for row in rows.filter(|row| same_set(&row.route, route)) {
            row.route.hops.retain(|leg| !has_leg(route, leg));
        }
        self.remove_where(route.prefix, |old| {
            old.nexthop_id.is_none() && old.hops.is_empty() && same_metric(old, route)
        });
    }

    /// Forgets what stands in the way at this place: the kernel has shown that nothing does.
    pub(crate) fn clear_place(&mut self, prefix: Prefix, table: u32, metric: u32) {
        self.remove_where(prefix, |old| old.table == table && old.metric == metric);
    }

    /// Forgets the routes by a link that was set down: the kernel drops them without a word. Returns their prefixes.
    pub(crate) fn drop_link(&mut self, ifindex: u32) -> Vec<Prefix> {
        self.drop_where(|_, Row { route, .. }| {
            let hops = &route.hops;
            route.nexthop_id.is_none() && !hops.is_empty() && hops.iter().all(|hop| hop.ifindex == ifindex)
        })
    }

    /// Forgets the routes through next-hop objects that are gone. Returns their prefixes.
    pub(crate) fn drop_objects(&mut self, ids: &BTreeSet<u32>) -> Vec<Prefix> {
        if ids.iter().any(|id| self.uses_nexthop(*id)) {
            self.drop_where(|_, row| row.route.nexthop_id.is_some_and(|id| ids.contains(&id)))
        } else {
            Vec::new()
        }
    }

    /// Whether there is any route with this table and metric: nearly always there is none.
    #[inline]
    pub(crate) fn is_crowded(&self, table: u32, metric: u32) -> bool {
        self.places.contains_key(&(table, metric))
    }

    /// The protocol of a route with this table and metric, which would have to give way to ours.
    pub(crate) fn blocker(&self, prefix: Prefix, table: u32, metric: u32) -> Option<u8> {
        let mut routes = self.rows.get(&prefix)?.iter().map(|row| &row.route);
        routes.find(|route| route.table == table && route.metric == metric).map(|route| route.protocol)
    }

    /// The longest prefix of the main table that covers `address`, with its routes by metric.
    pub(crate) fn longest_match(&self, address: IpAddr) -> Option<(Prefix, Vec<&KernelRoute>)> {
        let family = Prefix::host(address).family();
        self.lengths[family].keys().rev().find_map(|len| {
            let prefix = Prefix::new(address, *len)?;
            let mut routes: Vec<&KernelRoute> =
                self.rows.get(&prefix)?.iter().map(|row| &row.route).collect();
            routes.retain(|route| route.table == MAIN_TABLE && route.kind != RouteKind::Other);
            routes.sort_by_key(|route| route.metric);
            (!routes.is_empty()).then_some((prefix, routes))
        })
    }

    /// Whether a route of somebody else points to this next-hop object.
    pub(crate) fn uses_nexthop(&self, id: u32) -> bool {
        self.nexthop_users.contains_key(&id)
    }

    pub(crate) fn begin_dump(&mut self) {
        self.dump += 1;
    }

    /// Sweeps what the dump has not shown; returns the prefixes concerned, and whether there has to be another dump. Others'
    /// removals may have led past IPv6 routes: those go when two dumps, one after the other, have not shown them.
    pub(crate) fn end_dump(&mut self) -> (Vec<Prefix>, bool) {
        let dump = self.dump;
        let gone =
            self.drop_where(|prefix, row| row.seen < dump && (matches!(prefix, Prefix::V4(_)) || row.missed));
        let mut again = false;
        for row in self.rows.values_mut().flatten().filter(|row| row.seen < dump) {
            row.missed = true;
            again = true;
        }
        (gone, again)
    }

    /// The same after a reading at leisure: IPv6 routes that were not shown stay.
    pub(crate) fn end_audit(&mut self) -> Vec<Prefix> {
        let dump = self.dump;
        self.drop_where(|prefix, row| row.seen < dump && matches!(prefix, Prefix::V4(_)))
    }

    /// Forgets the rows for which `gone` holds; returns their prefixes. Walks all.
    fn drop_where(&mut self, gone: impl Fn(&Prefix, &Row) -> bool) -> Vec<Prefix> {
        let rows = self.rows.iter().filter(|(prefix, rows)| rows.iter().any(|row| gone(prefix, row)));
        let hit: Vec<Prefix> = rows.map(|(prefix, _)| *prefix).collect();
        for prefix in &hit {
            self.retain(*prefix, |row| !gone(prefix, row));
        }
        hit
    }

    fn remove_where(&mut self, prefix: Prefix, mut gone: impl FnMut(&KernelRoute) -> bool) {
        self.retain(prefix, |row| !gone(&row.route));
    }

    fn retain(&mut self, prefix: Prefix, mut keep: impl FnMut(&Row) -> bool) {
        let Some(rows) = self.rows.get_mut(&prefix) else { return };
        for Row { route, .. } in rows.extract_if(.., |row| !keep(row)) {
            count_down(&mut self.places, (route.table, route.metric));
            route.nexthop_id.into_iter().for_each(|id| count_down(&mut self.nexthop_users, id));
        }
        if rows.is_empty() {
            self.rows.remove(&prefix);
            count_down(&mut self.lengths[prefix.family()], prefix.len());
        }
    }
}

/// One less of these; what there is none of has no entry.
fn count_down<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

fn same_metric(a: &KernelRoute, b: &KernelRoute) -> bool {
    a.table == b.table && a.metric == b.metric
}

fn same_place(a: &KernelRoute, b: &KernelRoute) -> bool {
    same_metric(a, b) && a.protocol == b.protocol
}

/// An object is shown with the hops that it has at the time.
fn same_route(a: &KernelRoute, b: &KernelRoute) -> bool {
    let gateways = |route: &KernelRoute| -> Vec<_> {
        route.hops.iter().map(|hop| (hop.gateway, hop.ifindex, hop.weight)).collect()
    };
    let same_hops = || a.nexthop_id.is_some() || gateways(a) == gateways(b);
    same_place(a, b) && a.kind == b.kind && a.nexthop_id == b.nexthop_id && same_hops()
}

/// Whether a route is made of legs that come and go one by one, as all of IPv6 are that have no next-hop object. What is added
/// with the metric of another one becomes a leg of that, whatever its protocol, and the kernel then tells of all legs.
fn has_legs(route: &KernelRoute) -> bool {
    matches!(route.prefix, Prefix::V6(_)) && route.nexthop_id.is_none() && !route.hops.is_empty()
}

fn has_leg(route: &KernelRoute, leg: &KernelHop) -> bool {
    route.hops.iter().any(|hop| (hop.gateway, hop.ifindex) == (leg.gateway, leg.ifindex))
}

/// Whether two routes to a prefix are one at different times: a leg is in one alone.
fn same_set(a: &KernelRoute, b: &KernelRoute) -> bool {
    same_metric(a, b) && a.nexthop_id == b.nexthop_id && a.hops.iter().any(|leg| has_leg(b, leg))
}

/// Everything that resolution looks at.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) links: Table<u32, Link>,
    pub(crate) addresses: Table<(u32, IpAddr), Address>,
    pub(crate) neighbors: Table<NeighborKey, Neighbor>,
    pub(crate) routes: ForeignRoutes,
    /// Next-hop objects of others, which their routes may point to.
    pub(crate) nexthops: Table<u32, KernelNexthop>,
}

impl Facts {
    /// The next-hop objects of others that go by a link.
    pub(crate) fn objects_on(&self, ifindex: u32) -> Vec<u32> {
        let on_link = |object: &KernelNexthop| object.members.is_empty() && object.ifindex == Some(ifindex);
        self.nexthops.iter().filter(|(_, object)| on_link(object)).map(|(id, _)| *id).collect()
    }

    /// Takes next-hop objects out, also out of the groups of others; returns them with the groups that are empty now and so
    /// are gone too.
    pub(crate) fn drop_objects(&mut self, ids: &[u32]) -> BTreeSet<u32> {
        let mut gone: BTreeSet<u32> = ids.iter().copied().collect();
        let mut emptied = Vec::new();
        for (id, group) in self.nexthops.iter_mut().filter(|(_, object)| !object.members.is_empty()) {
            group.members.retain(|(member, _)| !gone.contains(member));
            if group.members.is_empty() {
                emptied.push(*id);
            }
        }
        gone.extend(emptied);
        for id in &gone {
            self.nexthops.remove(id);
        }
        gone
    }

    /// The link's name, or its number where it is not known.
    pub(crate) fn link_name(&self, ifindex: u32) -> String {
        self.links.get(&ifindex).map_or_else(|| format!("interface {ifindex}"), |link| link.name.clone())
    }

    /// Whether the link can carry packets to `address`, or why not: IPv6 needs an address that has passed duplicate
    /// address detection, or the kernel has nothing to ask for neighbours with.
    pub(crate) fn link_usable(&self, ifindex: u32, address: IpAddr) -> Result<(), String> {
        let Some(link) = self.links.get(&ifindex) else {
            return Err(format!("interface {ifindex} does not exist"));
        };
        let name = &link.name;
        if !link.admin_up {
            return Err(format!("{name} is down"));
        }
        if !link.carrier {
            return Err(format!("{name} has no carrier"));
        }
        if link.loopback {
            return Err(format!("{name} is the loopback"));
        }
        let usable = |row: &Address| row.ifindex == ifindex && row.address.is_ipv6() && !row.tentative;
        if address.is_ipv6() && !self.addresses.iter().any(|(_, row)| usable(row)) {
            return Err(format!("{name} has no usable IPv6 address yet"));
        }
        Ok(())
    }

    /// Whether this is an address of this host.
    pub(crate) fn is_own_address(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, row)| row.address == address)
    }

    /// Whether the administrator has set a link down: its addresses are there still, and nothing is on link by them.
    pub(crate) fn is_set_down(&self, ifindex: u32) -> bool {
        self.links.get(&ifindex).is_some_and(|link| !link.admin_up)
    }

    /// The longest prefix of an interface address that covers `address`, and the interface; one that is set down only where
    /// there is no other.
    pub(crate) fn on_link_by_address(&self, address: IpAddr) -> Option<(Prefix, u32)> {
        self.addresses
            .iter()
            .filter(|(_, row)| !row.tentative)
            .filter_map(|(_, row)| Some((Prefix::new(row.address, row.prefix_len)?, row.ifindex)))
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, ifindex)| {
                let usable = self.link_usable(*ifindex, address).is_ok();
                (!self.is_set_down(*ifindex), prefix.len(), usable, u32::MAX - ifindex)
            })
    }

    /// Prefixes that are on link at the interface by its own addresses, link-local ones left out.
    pub(crate) fn prefixes_of(&self, ifindex: u32) -> impl Iterator<Item = Prefix> {
        self.addresses
            .iter()
            .filter(move |(_, row)| row.ifindex == ifindex)
            .filter(|(_, row)| !matches!(row.address, IpAddr::V6(v6) if v6.is_unicast_link_local()))
            .filter_map(|(_, row)| Prefix::new(row.address, row.prefix_len))
    }

    /// IPv6 neighbours at the interface that hold this MAC for good, by address.
    pub(crate) fn ipv6_by_mac(&self, ifindex: u32, mac: Mac) -> impl Iterator<Item = Ipv6Addr> {
        let from = (ifindex, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let to = (ifindex, IpAddr::V6(Ipv6Addr::from(u128::MAX)));
        self.neighbors.rows.range(from..=to).filter_map(move |((_, address), (neighbor, _))| match address {
            IpAddr::V6(v6) if neighbor.mac == Some(mac) && neighbor.state.is_valid() => Some(*v6),
            IpAddr::V6(_) | IpAddr::V4(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_gone_leaves_nothing_behind() {
        let route = |id: u32| KernelRoute {
            prefix: Prefix::new([10, 0, 0, 0].into(), 8).unwrap(),
            table: MAIN_TABLE,
            protocol: 4,
            metric: id,
            kind: RouteKind::Unicast,
            preferred_source: None,
            nexthop_id: Some(id),
            hops: Vec::new(),
        };
        let mut routes = ForeignRoutes::default();
        for id in 1..=3 {
            routes.insert(route(id), Seen::Change);
            assert!(routes.uses_nexthop(id));
        }
        routes.remove(&route(1));
        assert_eq!(routes.drop_objects(&BTreeSet::from([1, 2])).len(), 1);
        routes.begin_dump();
        assert_eq!(routes.end_dump().0.len(), 1);
        assert!(routes.rows.is_empty() && routes.nexthop_users.is_empty() && routes.places.is_empty());
        assert!(routes.lengths.ipv4.is_empty());
    }
}
