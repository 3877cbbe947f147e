//! What the kernel reported: changes from the watch, entries of a dump, and a dump's brackets.
//!
//! The watch opens before the first dump, so a change may come before or within it. Dump entries say so ([`Seen::Dump`]):
//! an older dump entry must not undo what was done or reported since the dump began. Changes that our own operations
//! made are not reported; the answer to the operation tells them.

use std::net::IpAddr;

use crate::kernel::{Address, FdbEntry, KernelNexthop, KernelRoute, Link, Neighbor, Requester};

/// Which of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Interfaces.
    Links,
    /// Addresses of this host.
    Addresses,
    /// Neighbour entries, IPv4 and IPv6, and what bridges have learned.
    Neighbors,
    /// Next-hop objects and groups.
    Nexthops,
    /// Routes of both families and all tables (local and cached ones may be left out).
    Routes,
}

impl Kind {
    /// Every kind, in the order in which they are dumped: what others refer to comes first.
    pub const ALL: [Self; 5] = [Self::Links, Self::Addresses, Self::Neighbors, Self::Nexthops, Self::Routes];
}

/// How an entry came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// As the answer to a dump.
    Dump,
    /// As a notification.
    Change,
    /// As a notification with `NLM_F_REPLACE`: what had its place before is gone, unannounced.
    Replace,
}

/// One report of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link is there or has changed.
    Link(Link),
    /// A link is gone.
    LinkGone {
        /// Interface index.
        ifindex: u32,
    },
    /// An address is there or has changed.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A neighbour entry is there or has changed.
    Neighbor(Neighbor),
    /// A neighbour entry is gone.
    NeighborGone {
        /// Interface index.
        ifindex: u32,
        /// Its network address.
        address: IpAddr,
    },
    /// A bridge has learned an address, or has it shown in a dump of neighbours.
    Fdb(FdbEntry),
    /// A bridge has forgotten an address.
    FdbGone(FdbEntry),
    /// A route is there or has changed.
    Route(KernelRoute, Seen),
    /// A route is gone.
    RouteGone(KernelRoute),
    /// A next-hop object is there or has changed.
    Nexthop(KernelNexthop, Seen),
    /// A next-hop object is gone.
    NexthopGone {
        /// Its id.
        id: u32,
    },
    /// A dump begins. A dump that was interrupted (`NLM_F_DUMP_INTR`) begins anew with another `DumpStart`.
    DumpStart(Kind),
    /// A dump is complete: what was not seen since its start is gone.
    DumpEnd(Kind),
    /// The entries of routes that follow are those of an audit; other reports come between them.
    AuditStart,
    /// The audit has shown everything that was there all the time since its start.
    AuditEnd,
    /// The kernel does not have this table at all (next-hop objects before Linux 5.3): counts as a complete, empty dump.
    Unsupported(Kind),
    /// Who asked for the changes of routes and next-hop objects that follow, as far as they are of ours, up to the next of
    /// these.
    Requester(Requester),
    /// Reports were lost (`ENOBUFS`): everything is to be read again.
    Overrun,
}
