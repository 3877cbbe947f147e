//! Values for property tests: sets of attributes, entries and OPENs that a peer could have.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::attribute::{Aggregator, LargeCommunity, Origin, Segment, UnknownAttribute};
use crate::capability::{AddPath, ExtendedNextHop, GracefulRestart};
use crate::open::HoldTime;
use crate::{
    Asn, Family, FamilyCode, NextHop, NlriEntry, Open, PathAttributes, Prefix, RouterId, attribute::AsPath,
    capability::Capability,
};

fn asn() -> impl Strategy<Value = Asn> {
    prop_oneof![1..=65535_u32, 1..=u32::MAX].prop_map(Asn)
}

fn segment() -> impl Strategy<Value = Segment> {
    let asns = || vec(asn(), 1..6);
    prop_oneof![
        4 => asns().prop_map(Segment::Sequence),
        1 => vec(asn(), 250..256).prop_map(Segment::Sequence),
        1 => asns().prop_map(Segment::Set),
        1 => asns().prop_map(Segment::ConfedSequence),
        1 => asns().prop_map(Segment::ConfedSet),
    ]
}

fn unknown() -> impl Strategy<Value = UnknownAttribute> {
    let code = prop_oneof![Just(11_u8), Just(22), Just(29), 36_u8..=255];
    (code, prop_oneof![Just(0xc0_u8), Just(0xe0)], vec(any::<u8>(), 0..300)).prop_map(
        |(code, flags, value)| {
            let flags = if value.len() > 255 { flags | 0x10 } else { flags };
            UnknownAttribute { flags, code, value: value.into() }
        },
    )
}

prop_compose! {
    fn communities()(
        standard in vec(any::<u32>(), 0..80),
        extended in vec(any::<[u8; 8]>(), 0..3),
        ipv6 in vec(any::<[u8; 20]>(), 0..3),
        large in vec(any::<(u32, u32, u32)>(), 0..3),
    ) -> PathAttributes {
        let large = large.into_iter().map(|(global, local1, local2)| LargeCommunity { global, local1, local2 });
        PathAttributes {
            communities: standard,
            extended_communities: extended,
            ipv6_extended_communities: ipv6,
            large_communities: large.collect(),
            ..PathAttributes::default()
        }
    }
}

prop_compose! {
    /// A set as an internal peer may send it.
    pub(crate) fn attributes()(
        communities in communities(),
        origin in prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)],
        segments in vec(segment(), 0..4),
        (med, local_pref, aigp, otc) in any::<(Option<u32>, Option<u32>, Option<u64>, Option<u32>)>(),
        atomic_aggregate in any::<bool>(),
        aggregator in option::of((asn(), any::<Ipv4Addr>())),
        originator_id in option::of(any::<Ipv4Addr>()),
        cluster_list in vec(any::<Ipv4Addr>(), 0..3),
        unknown in option::of(unknown()),
    ) -> PathAttributes {
        PathAttributes {
            origin,
            as_path: AsPath { segments },
            med,
            local_pref,
            atomic_aggregate,
            aggregator: aggregator.map(|(asn, router)| Aggregator { asn, router }),
            originator_id,
            cluster_list,
            aigp,
            otc: otc.map(Asn),
            unknown: unknown.into_iter().collect(),
            ..communities
        }
    }
}

/// A destination of `family`.
pub(crate) fn entry(family: Family) -> impl Strategy<Value = NlriEntry> {
    (any::<u128>(), 0..=family.address_bits(), any::<u32>()).prop_map(move |(bits, len, path_id)| {
        let address = match family {
            Family::Ipv4Unicast => {
                Ipv4Addr::from(bits.to_be_bytes().first_chunk::<4>().copied().unwrap()).into()
            }
            Family::Ipv6Unicast => Ipv6Addr::from(bits).into(),
        };
        NlriEntry { prefix: Prefix::new(address, len).unwrap(), path_id }
    })
}

/// A next hop that `family` can have.
pub(crate) fn next_hop(family: Family) -> impl Strategy<Value = NextHop> {
    let global = (1_u128..1 << 120).prop_map(|bits| Ipv6Addr::from(0x2000 << 112 | bits));
    let pair = (global.clone(), any::<u64>()).prop_map(|(global, id)| {
        NextHop::V6WithLinkLocal(global, Ipv6Addr::from(0xfe80 << 112 | u128::from(id)))
    });
    let v6 = prop_oneof![global.prop_map(NextHop::V6), pair];
    match family {
        Family::Ipv4Unicast => prop_oneof![any::<Ipv4Addr>().prop_map(NextHop::V4), v6].boxed(),
        Family::Ipv6Unicast => v6.boxed(),
    }
}

fn capability() -> impl Strategy<Value = Capability> {
    let family = || any::<(u16, u8)>().prop_map(|(afi, safi)| FamilyCode { afi, safi });
    let next_hop =
        (family(), any::<u16>()).prop_map(|(family, next_hop_afi)| ExtendedNextHop { family, next_hop_afi });
    let add_path = (family(), any::<u8>()).prop_map(|(family, mode)| AddPath { family, mode });
    let restart = (any::<(bool, bool)>(), 0_u16..4096, vec((family(), any::<bool>()), 0..4)).prop_map(
        |((restarted, notification), restart_time, families)| {
            Capability::GracefulRestart(GracefulRestart { restarted, notification, restart_time, families })
        },
    );
    let unknown = (100_u8..=255, vec(any::<u8>(), 0..=255))
        .prop_map(|(code, value)| Capability::Unknown { code, value: Bytes::from(value) });
    prop_oneof![
        family().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        vec(next_hop, 0..4).prop_map(Capability::ExtendedNextHop),
        Just(Capability::ExtendedMessage),
        restart,
        vec(add_path, 0..4).prop_map(Capability::AddPath),
        Just(Capability::EnhancedRouteRefresh),
        ("[a-z0-9.-]{0,60}", "[a-z0-9.-]{0,60}").prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        unknown,
    ]
}

prop_compose! {
    /// An OPEN of any length.
    pub(crate) fn open()(
        asn in asn(),
        hold in prop_oneof![Just(0_u16), 3..=u16::MAX],
        id in 1..=u32::MAX,
        others in vec(capability(), 0..12),
    ) -> Open {
        let capabilities = [Capability::FourOctetAs(asn)].into_iter().chain(others).collect();
        let (hold_time, router_id) = (HoldTime::new(hold).unwrap(), RouterId::new(id).unwrap());
        Open { asn, hold_time, router_id, capabilities }
    }
}
