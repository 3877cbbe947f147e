//! Numbers of rtnetlink that the kernel's headers define (linux/rtnetlink.h, nexthop.h, neighbour.h, netlink.h).
//!
//! One table for the encoder, the decoder and the dumps. The packet crates keep their numbers private and know
//! nothing of nexthop objects.

/// Message types.
pub(crate) mod message {
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;
    pub(crate) const NEWLINK: u16 = 16;
    pub(crate) const DELLINK: u16 = 17;
    pub(crate) const GETLINK: u16 = 18;
    pub(crate) const NEWADDR: u16 = 20;
    pub(crate) const DELADDR: u16 = 21;
    pub(crate) const GETADDR: u16 = 22;
    pub(crate) const NEWROUTE: u16 = 24;
    pub(crate) const DELROUTE: u16 = 25;
    pub(crate) const GETROUTE: u16 = 26;
    pub(crate) const NEWNEIGH: u16 = 28;
    pub(crate) const DELNEIGH: u16 = 29;
    pub(crate) const GETNEIGH: u16 = 30;
    pub(crate) const NEWNEXTHOP: u16 = 104;
    pub(crate) const DELNEXTHOP: u16 = 105;
    pub(crate) const GETNEXTHOP: u16 = 106;
    pub(crate) const NEWNEXTHOPBUCKET: u16 = 116;
    pub(crate) const GETNEXTHOPBUCKET: u16 = 118;
}

/// `NLA_F_NESTED`: the attribute is made of attributes, and newer kinds must say so.
pub(crate) const NESTED: u16 = 0x8000;

/// Flags of a message header.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x001;
    pub(crate) const ACK: u16 = 0x004;
    pub(crate) const DUMP_INTR: u16 = 0x010;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    /// The request is not echoed in the answer; extended attributes follow at once.
    pub(crate) const CAPPED: u16 = 0x100;
    /// Extended acknowledgement attributes are there.
    pub(crate) const ACK_TLVS: u16 = 0x200;
}

/// Multicast groups, as numbers for `NETLINK_ADD_MEMBERSHIP`.
pub(crate) mod group {
    pub(crate) const LINK: u32 = 1;
    pub(crate) const NEIGHBOR: u32 = 3;
    pub(crate) const IPV4_ADDRESS: u32 = 5;
    pub(crate) const IPV4_ROUTE: u32 = 7;
    pub(crate) const IPV6_ADDRESS: u32 = 9;
    pub(crate) const IPV6_ROUTE: u32 = 11;
    pub(crate) const NEXTHOP: u32 = 32;
    pub(crate) const ALL: [u32; 7] =
        [LINK, NEIGHBOR, IPV4_ADDRESS, IPV4_ROUTE, IPV6_ADDRESS, IPV6_ROUTE, NEXTHOP];
}

/// Address families.
pub(crate) mod family {
    pub(crate) const UNSPEC: u8 = 0;
    pub(crate) const INET: u8 = 2;
    pub(crate) const BRIDGE: u8 = 7;
    pub(crate) const INET6: u8 = 10;
}

/// Attributes of links.
pub(crate) mod ifla {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const IFNAME: u16 = 3;
    pub(crate) const MASTER: u16 = 10;
    pub(crate) const EXT_MASK: u16 = 29;
}

/// Attributes and flags of addresses.
pub(crate) mod ifa {
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const LOCAL: u16 = 2;
    pub(crate) const FLAGS: u16 = 8;
    pub(crate) const F_DADFAILED: u32 = 0x08;
    pub(crate) const F_TENTATIVE: u32 = 0x40;
}

/// Attributes, states and flags of neighbours.
pub(crate) mod neighbor {
    pub(crate) const DST: u16 = 1;
    pub(crate) const LLADDR: u16 = 2;
    pub(crate) const MASTER: u16 = 9;
    pub(crate) const STATE_PROBE: u16 = 0x10;
    pub(crate) const FLAG_USE: u8 = 0x01;
    pub(crate) const FLAG_PROXY: u8 = 0x08;
}

/// Attributes, types and flags of routes.
pub(crate) mod route {
    pub(crate) const DST: u16 = 1;
    pub(crate) const SRC: u16 = 2;
    pub(crate) const OIF: u16 = 4;
    pub(crate) const GATEWAY: u16 = 5;
    pub(crate) const PRIORITY: u16 = 6;
    pub(crate) const PREFSRC: u16 = 7;
    pub(crate) const MULTIPATH: u16 = 9;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const VIA: u16 = 18;
    pub(crate) const IP_PROTO: u16 = 27;
    pub(crate) const SPORT: u16 = 28;
    pub(crate) const DPORT: u16 = 29;
    pub(crate) const NH_ID: u16 = 30;

    /// Of any type, in a deletion.
    pub(crate) const UNSPEC: u8 = 0;
    pub(crate) const UNICAST: u8 = 1;
    pub(crate) const SCOPE_UNIVERSE: u8 = 0;
    pub(crate) const SCOPE_NOWHERE: u8 = 255;
    pub(crate) const TABLE_MAIN: u32 = 254;
    /// Stands in the header for a table above 255.
    pub(crate) const TABLE_COMPAT: u32 = 252;

    /// The answer is the route that was found, not what was made of it.
    pub(crate) const F_FIB_MATCH: u32 = 0x2000;
    /// A cached clone of a route, not a route.
    pub(crate) const F_CLONED: u32 = 0x200;
    pub(crate) const NH_F_DEAD: u32 = 1;
    pub(crate) const NH_F_ONLINK: u32 = 4;
    pub(crate) const NH_F_LINKDOWN: u32 = 16;
}

/// Questions for sockets (linux/sock_diag.h, inet_diag.h, tcp.h): offsets are octets.
pub(crate) mod diag {
    /// The message type of question and answer.
    pub(crate) const BY_FAMILY: u16 = 20;
    pub(crate) const PROTOCOL_TCP: u8 = 6;
    pub(crate) const ESTABLISHED: u32 = 1;
    /// `struct inet_diag_req_v2`.
    pub(crate) const REQUEST_LEN: usize = 56;
    /// `struct inet_diag_msg`, and in it the connection.
    pub(crate) const MESSAGE_LEN: usize = 72;
    pub(crate) const LOCAL_PORT: usize = 4;
    pub(crate) const REMOTE_PORT: usize = 6;
    pub(crate) const LOCAL: usize = 8;
    pub(crate) const REMOTE: usize = 24;
    /// The attribute with `struct tcp_info`, and in it milliseconds.
    pub(crate) const INFO: u16 = 2;
    pub(crate) const LAST_DATA_SENT: usize = 44;
    pub(crate) const LAST_DATA_RECEIVED: usize = 52;
}

/// Attributes of nexthop objects.
pub(crate) mod nexthop {
    pub(crate) const ID: u16 = 1;
    pub(crate) const GROUP: u16 = 2;
    pub(crate) const GROUP_TYPE: u16 = 3;
    pub(crate) const BLACKHOLE: u16 = 4;
    pub(crate) const OIF: u16 = 5;
    pub(crate) const GATEWAY: u16 = 6;
    pub(crate) const RES_GROUP: u16 = 12;
    pub(crate) const RES_BUCKET: u16 = 13;

    /// Values of `NHA_GROUP_TYPE`.
    pub(crate) const TYPE_RESILIENT: u16 = 1;

    /// Within `NHA_RES_GROUP`.
    pub(crate) mod resilient {
        pub(crate) const BUCKETS: u16 = 1;
        pub(crate) const IDLE_TIMER: u16 = 2;
        pub(crate) const UNBALANCED_TIMER: u16 = 3;
    }

    /// Within `NHA_RES_BUCKET`.
    pub(crate) mod bucket {
        pub(crate) const INDEX: u16 = 1;
        pub(crate) const IDLE_TIME: u16 = 2;
        pub(crate) const NH_ID: u16 = 3;
    }

    /// Times of resilient groups come in hundredths of a second (`USER_HZ`).
    pub(crate) const TICKS_PER_SECOND: u32 = 100;
}
