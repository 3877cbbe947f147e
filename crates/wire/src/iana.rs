//! Code points of BGP: IANA's registries "BGP Parameters" and "Capability Codes".
//!
//! Owns the numbers that more than one file needs; attribute codes with their rules stand in `attribute::TABLE`.

/// Message types, RFC 4271 section 4.1 and RFC 2918 section 3.
pub mod message {
    /// OPEN.
    pub const OPEN: u8 = 1;
    /// UPDATE.
    pub const UPDATE: u8 = 2;
    /// NOTIFICATION.
    pub const NOTIFICATION: u8 = 3;
    /// KEEPALIVE.
    pub const KEEPALIVE: u8 = 4;
    /// ROUTE-REFRESH.
    pub const ROUTE_REFRESH: u8 = 5;
}

/// Error codes of NOTIFICATION.
pub mod error {
    /// RFC 4271 section 6.1.
    pub const HEADER: u8 = 1;
    /// RFC 4271 section 6.2.
    pub const OPEN: u8 = 2;
    /// RFC 4271 section 6.3.
    pub const UPDATE: u8 = 3;
    /// RFC 4271 section 6.5.
    pub const HOLD_TIMER: u8 = 4;
    /// RFC 4271 section 6.6.
    pub const FSM: u8 = 5;
    /// RFC 4271 section 6.7.
    pub const CEASE: u8 = 6;
    /// RFC 7313 section 5.
    pub const ROUTE_REFRESH: u8 = 7;
    /// RFC 9687 section 9.
    pub const SEND_HOLD_TIMER: u8 = 8;
}

/// Path attribute type codes.
pub mod attribute {
    /// RFC 4271 section 5.1.1.
    pub const ORIGIN: u8 = 1;
    /// RFC 4271 section 5.1.2.
    pub const AS_PATH: u8 = 2;
    /// RFC 4271 section 5.1.3.
    pub const NEXT_HOP: u8 = 3;
    /// RFC 4271 section 5.1.4.
    pub const MED: u8 = 4;
    /// RFC 4271 section 5.1.5.
    pub const LOCAL_PREF: u8 = 5;
    /// RFC 4271 section 5.1.6.
    pub const ATOMIC_AGGREGATE: u8 = 6;
    /// RFC 4271 section 5.1.7.
    pub const AGGREGATOR: u8 = 7;
    /// RFC 1997.
    pub const COMMUNITIES: u8 = 8;
    /// RFC 4456 section 8.
    pub const ORIGINATOR_ID: u8 = 9;
    /// RFC 4456 section 8.
    pub const CLUSTER_LIST: u8 = 10;
    /// RFC 4760 section 3.
    pub const MP_REACH_NLRI: u8 = 14;
    /// RFC 4760 section 4.
    pub const MP_UNREACH_NLRI: u8 = 15;
    /// RFC 4360.
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    /// RFC 6793 section 3.
    pub const AS4_PATH: u8 = 17;
    /// RFC 6793 section 3.
    pub const AS4_AGGREGATOR: u8 = 18;
    /// RFC 5701.
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    /// RFC 7311.
    pub const AIGP: u8 = 26;
    /// RFC 8092.
    pub const LARGE_COMMUNITY: u8 = 32;
    /// RFC 9234.
    pub const OTC: u8 = 35;
}

/// Well-known communities.
pub mod community {
    /// GRACEFUL_SHUTDOWN, RFC 8326.
    pub const GRACEFUL_SHUTDOWN: u32 = 0xFFFF_0000;
    /// LLGR_STALE, RFC 9494 section 4.1: nobody has announced the route for longer than a restart takes.
    pub const LLGR_STALE: u32 = 0xFFFF_0006;
    /// NO_LLGR, RFC 9494 section 4.1: the route is not to be kept that long.
    pub const NO_LLGR: u32 = 0xFFFF_0007;
    /// NO_EXPORT, RFC 1997.
    pub const NO_EXPORT: u32 = 0xFFFF_FF01;
    /// NO_ADVERTISE, RFC 1997.
    pub const NO_ADVERTISE: u32 = 0xFFFF_FF02;
    /// NO_EXPORT_SUBCONFED, RFC 1997.
    pub const NO_EXPORT_SUBCONFED: u32 = 0xFFFF_FF03;
}

/// Capability codes.
pub mod capability {
    /// RFC 4760 section 8.
    pub const MULTIPROTOCOL: u8 = 1;
    /// RFC 2918.
    pub const ROUTE_REFRESH: u8 = 2;
    /// RFC 8950.
    pub const EXTENDED_NEXT_HOP: u8 = 5;
    /// RFC 8654.
    pub const EXTENDED_MESSAGE: u8 = 6;
    /// RFC 4724.
    pub const GRACEFUL_RESTART: u8 = 64;
    /// RFC 6793.
    pub const FOUR_OCTET_AS: u8 = 65;
    /// RFC 7911.
    pub const ADD_PATH: u8 = 69;
    /// RFC 7313.
    pub const ENHANCED_ROUTE_REFRESH: u8 = 70;
    /// RFC 9494.
    pub const LONG_LIVED_GRACEFUL_RESTART: u8 = 71;
    /// draft-walton-bgp-hostname-capability.
    pub const FQDN: u8 = 73;
}
