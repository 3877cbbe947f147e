//! The kernel's facts that next hops are resolved from: links, addresses, neighbours, and routes that are not ours.
//!
//! Rows carry the number of the dump in which they were last seen; the end of a dump sweeps what it has not seen.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

use bgp_wire::{PerFamily, Prefix};

use crate::config::MAIN_TABLE;
use crate::event::Seen;
use crate::kernel::{Address, KernelNexthop, KernelRoute, Link, Mac, Neighbor, RouteKind};

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

    pub(crate) fn begin_dump(&mut self) {
        self.dump += 1;
    }

    /// Takes out the rows that the dump has not shown.
    pub(crate) fn end_dump(&mut self) -> Vec<(K, V)> {
        let dump = self.dump;
        self.rows.extract_if(.., |_, (_, seen)| *seen < dump).map(|(key, (value, _))| (key, value)).collect()
    }
}

/// Routes that are not ours, of the main table and of the table of our routes.
#[derive(Debug, Default)]
pub(crate) struct ForeignRoutes {
    rows: BTreeMap<Prefix, Vec<(KernelRoute, u64)>>,
    lengths: PerFamily<BTreeMap<u8, usize>>,
    /// How many there are of each table and metric.
    places: BTreeMap<(u32, u32), usize>,
    /// How many of them point to a next-hop object.
    nexthop_users: BTreeMap<u32, usize>,
    dump: u64,
}

impl ForeignRoutes {
    /// Enters a route. A replacement ends what had its place: the same prefix, table and metric.
    pub(crate) fn insert(&mut self, route: KernelRoute, seen: Seen) {
        if seen == Seen::Replace {
            self.remove_where(route.prefix, |old| old.table == route.table && old.metric == route.metric);
        }
        let dump = self.dump;
        let prefix = route.prefix;
        let rows = self.rows.entry(prefix).or_default();
        if rows.is_empty() {
            *self.lengths[prefix.family()].entry(prefix.len()).or_default() += 1;
        }
        match rows.iter_mut().find(|(old, _)| same_route(old, &route)) {
            Some(row) => *row = (route, dump),
            None => {
                *self.places.entry((route.table, route.metric)).or_default() += 1;
                if let Some(id) = route.nexthop_id {
                    *self.nexthop_users.entry(id).or_default() += 1;
                }
                rows.push((route, dump));
            }
        }
    }

    /// Removes a route: the one with the same hops, else the first of the same table, metric and protocol.
    pub(crate) fn remove(&mut self, route: &KernelRoute) {
        let before = self.rows.get(&route.prefix).map_or(0, Vec::len);
        self.remove_where(route.prefix, |old| same_route(old, route));
        if self.rows.get(&route.prefix).map_or(0, Vec::len) == before {
            let mut first = true;
            self.remove_where(route.prefix, |old| same_place(old, route) && std::mem::take(&mut first));
        }
    }

    /// Forgets what stands in the way at this place: the kernel has shown that nothing does.
    pub(crate) fn clear_place(&mut self, prefix: Prefix, table: u32, metric: u32) {
        self.remove_where(prefix, |old| old.table == table && old.metric == metric);
    }

    /// Forgets the routes by a link that was set down: the kernel drops them without a word. Returns their prefixes.
    pub(crate) fn drop_link(&mut self, ifindex: u32) -> Vec<Prefix> {
        let by_link = |route: &KernelRoute| {
            !route.hops.is_empty() && route.hops.iter().all(|hop| hop.ifindex == ifindex)
        };
        let hit: Vec<Prefix> = self
            .rows
            .iter()
            .filter(|(_, rows)| rows.iter().any(|(route, _)| by_link(route)))
            .map(|(prefix, _)| *prefix)
            .collect();
        for prefix in &hit {
            self.remove_where(*prefix, by_link);
        }
        hit
    }

    /// Whether there is any route with this table and metric: nearly always there is none.
    #[inline]
    pub(crate) fn is_crowded(&self, table: u32, metric: u32) -> bool {
        self.places.contains_key(&(table, metric))
    }

    /// The protocol of a route with this table and metric, which would have to give way to ours.
    pub(crate) fn blocker(&self, prefix: Prefix, table: u32, metric: u32) -> Option<u8> {
        let rows = self.rows.get(&prefix)?;
        let row = rows.iter().find(|(route, _)| route.table == table && route.metric == metric)?;
        Some(row.0.protocol)
    }

    /// The longest prefix of the main table that covers `address`, with its routes by metric.
    pub(crate) fn longest_match(&self, address: IpAddr) -> Option<(Prefix, Vec<&KernelRoute>)> {
        let family = Prefix::host(address).family();
        self.lengths[family].keys().rev().find_map(|len| {
            let prefix = Prefix::new(address, *len)?;
            let mut routes: Vec<&KernelRoute> =
                self.rows.get(&prefix)?.iter().map(|(route, _)| route).collect();
            routes.retain(|route| route.table == MAIN_TABLE && route.kind != RouteKind::Other);
            routes.sort_by_key(|route| route.metric);
            (!routes.is_empty()).then_some((prefix, routes))
        })
    }

    /// Whether a route of somebody else points to this next-hop object.
    pub(crate) fn uses_nexthop(&self, id: u32) -> bool {
        self.nexthop_users.get(&id).is_some_and(|users| *users > 0)
    }

    pub(crate) fn begin_dump(&mut self) {
        self.dump += 1;
    }

    /// Sweeps what the dump has not shown; returns the prefixes concerned.
    pub(crate) fn end_dump(&mut self) -> Vec<Prefix> {
        self.sweep(|_| true)
    }

    /// The same after a reading that others' removals may have led past IPv6 routes: those stay.
    pub(crate) fn end_audit(&mut self) -> Vec<Prefix> {
        self.sweep(|prefix| matches!(prefix, Prefix::V4(_)))
    }

    fn sweep(&mut self, judged: impl Fn(&Prefix) -> bool) -> Vec<Prefix> {
        let dump = self.dump;
        let stale = |rows: &Vec<(KernelRoute, u64)>| rows.iter().any(|(_, seen)| *seen < dump);
        let rows = self.rows.iter().filter(|(prefix, rows)| judged(prefix) && stale(rows));
        let hit: Vec<Prefix> = rows.map(|(prefix, _)| *prefix).collect();
        for prefix in &hit {
            self.retain(*prefix, |(_, seen)| *seen >= dump);
        }
        hit
    }

    fn remove_where(&mut self, prefix: Prefix, mut gone: impl FnMut(&KernelRoute) -> bool) {
        self.retain(prefix, |(route, _)| !gone(route));
    }

    fn retain(&mut self, prefix: Prefix, mut keep: impl FnMut(&(KernelRoute, u64)) -> bool) {
        let Some(rows) = self.rows.get_mut(&prefix) else { return };
        for (route, _) in rows.extract_if(.., |row| !keep(row)) {
            if let Entry::Occupied(mut place) = self.places.entry((route.table, route.metric)) {
                *place.get_mut() -= 1;
                if *place.get() == 0 {
                    place.remove();
                }
            }
            if let Some(users) = route.nexthop_id.and_then(|id| self.nexthop_users.get_mut(&id)) {
                *users -= 1;
            }
        }
        if rows.is_empty() {
            self.rows.remove(&prefix);
            let lengths = &mut self.lengths[prefix.family()];
            if let Some(count) = lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    lengths.remove(&prefix.len());
                }
            }
        }
    }
}

fn same_place(a: &KernelRoute, b: &KernelRoute) -> bool {
    a.table == b.table && a.metric == b.metric && a.protocol == b.protocol
}

fn same_route(a: &KernelRoute, b: &KernelRoute) -> bool {
    let gateways = |route: &KernelRoute| -> Vec<_> {
        route.hops.iter().map(|hop| (hop.gateway, hop.ifindex, hop.weight)).collect()
    };
    same_place(a, b) && a.kind == b.kind && a.nexthop_id == b.nexthop_id && gateways(a) == gateways(b)
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

    /// The longest prefix of an interface address that covers `address`, and the interface.
    pub(crate) fn on_link_by_address(&self, address: IpAddr) -> Option<(Prefix, u32)> {
        self.addresses
            .iter()
            .filter(|(_, row)| !row.tentative)
            .filter_map(|(_, row)| Some((Prefix::new(row.address, row.prefix_len)?, row.ifindex)))
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, ifindex)| {
                (prefix.len(), self.link_usable(*ifindex, address).is_ok(), u32::MAX - ifindex)
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
