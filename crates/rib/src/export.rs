//! What a route becomes on its way to a peer: RFC 4271 section 5.1 and 9.2, attribute by attribute.
//!
//! Ours: an external peer always gets our own address as next hop, never a third party's on the same link: we cannot know
//! that the two reach each other, and RFC 4271 section 5.1.3 leaves the choice. A route is also announced to a peer whose
//! AS is in its path; it is the receiver that looks for loops, and it may have been told to allow this one.

use bgp_wire::attribute::{AsPath, Segment};
use bgp_wire::{Asn, Family, NextHop, PathAttributes, PeerKind};
use std::net::IpAddr;

use crate::checks::DEFAULT_LOCAL_PREF;
use crate::config::PeerSettings;
use crate::forwarding::RouteSource;
use crate::group::Profile;

/// Attribute flags, RFC 4271 section 4.3.
const TRANSITIVE: u8 = 0x40;
const PARTIAL: u8 = 0x20;

/// The bit of a type that says a community stays inside one AS, RFC 4360 section 2.
const COMMUNITY_NON_TRANSITIVE: u8 = 0x40;

/// As many numbers as a segment can have.
const SEGMENT_MAX: usize = 255;

/// A best route as it was received.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) attributes: PathAttributes,
    pub(crate) next_hop: NextHop,
    pub(crate) source: RouteSource,
}

/// What we announce as ourselves to a peer in a family, if we have an address that fits.
pub(crate) fn own_next_hop(settings: &PeerSettings, family: Family) -> Option<NextHop> {
    if let Some(next_hop) = settings.next_hop[family] {
        return Some(next_hop);
    }
    match (family, settings.local_address.to_canonical()) {
        (Family::Ipv4Unicast, IpAddr::V4(v4)) => Some(NextHop::V4(v4)),
        (Family::Ipv4Unicast, IpAddr::V6(v6)) => {
            settings.encode.extended_next_hop.ipv4.then_some(NextHop::V6(v6))
        }
        (Family::Ipv6Unicast, IpAddr::V6(v6)) => Some(NextHop::V6(v6)),
        // No router takes an IPv4 address, mapped or not, as the next hop of an IPv6 route.
        (Family::Ipv6Unicast, IpAddr::V4(_)) => None,
    }
}

/// The route as peers of `profile` get it; `None` where we have no next hop to give.
pub(crate) fn rewrite(route: Route, profile: &Profile, local_asn: Asn) -> Option<(PathAttributes, NextHop)> {
    let Route { mut attributes, next_hop, source } = route;
    // "Unrecognized non-transitive optional attributes MUST be quietly ignored and not passed along", and those that are
    // transitive are passed "with the Partial bit set".
    attributes.unknown.retain(|unknown| unknown.flags & TRANSITIVE != 0);
    for unknown in &mut attributes.unknown {
        unknown.flags |= PARTIAL;
    }
    match profile.kind {
        PeerKind::External => {
            leave_the_as(&mut attributes, local_asn);
            Some((attributes, profile.next_hop?))
        }
        PeerKind::Internal => {
            // "A BGP speaker SHALL include this attribute in all UPDATE messages that it sends to other internal peers",
            // as what it has computed for an external route.
            attributes.local_pref = Some(match source {
                RouteSource::External => external_preference(&attributes),
                RouteSource::Internal | RouteSource::Local => {
                    attributes.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)
                }
            });
            let kept = (source != RouteSource::Local && !profile.next_hop_self)
                .then(|| passed_on(next_hop, profile))
                .flatten();
            Some((attributes, kept.or(profile.next_hop)?))
        }
    }
}

/// RFC 4271 section 5.1.2 to 5.1.5, RFC 4456 section 8, RFC 7311 section 3, RFC 4360 section 6.
fn leave_the_as(attributes: &mut PathAttributes, local_asn: Asn) {
    prepend(&mut attributes.as_path, local_asn);
    attributes.local_pref = None;
    // "The MULTI_EXIT_DISC attribute received from a neighboring AS MUST NOT be propagated to other neighboring ASes."
    attributes.med = None;
    attributes.originator_id = None;
    attributes.cluster_list.clear();
    attributes.aigp = None;
    attributes.extended_communities.retain(|[kind, ..]| kind & COMMUNITY_NON_TRANSITIVE == 0);
    attributes.ipv6_extended_communities.retain(|[kind, ..]| kind & COMMUNITY_NON_TRANSITIVE == 0);
}

/// RFC 8326 section 4.2: what comes from an external peer that shuts down is the last choice in the whole AS.
fn external_preference(attributes: &PathAttributes) -> u32 {
    let shutdown = attributes.communities.contains(&crate::attributes::GRACEFUL_SHUTDOWN);
    if shutdown { 0 } else { DEFAULT_LOCAL_PREF }
}

/// The received next hop as an internal peer can use it; `None` where it cannot.
fn passed_on(next_hop: NextHop, profile: &Profile) -> Option<NextHop> {
    match (next_hop, profile.family) {
        (NextHop::V4(_), Family::Ipv4Unicast) => Some(next_hop),
        (NextHop::V4(_), Family::Ipv6Unicast) => None,
        // The link-local half means nothing on another link.
        (NextHop::V6(v6) | NextHop::V6WithLinkLocal(v6, _), family) => {
            let understood = family == Family::Ipv6Unicast || profile.extended_next_hop;
            (understood && !v6.is_unicast_link_local()).then_some(NextHop::V6(v6))
        }
    }
}

/// RFC 4271 section 5.1.2 b): "the local system prepends its own AS number as the last element of the sequence".
fn prepend(path: &mut AsPath, asn: Asn) {
    match path.segments.first_mut() {
        Some(Segment::Sequence(asns)) if asns.len() < SEGMENT_MAX => asns.insert(0, asn),
        _ => path.segments.insert(0, Segment::Sequence(vec![asn])),
    }
}

#[cfg(test)]
mod tests {
    use bgp_policy::Policy;
    use bgp_wire::attribute::{Origin, UnknownAttribute};

    use super::*;

    fn profile(kind: PeerKind) -> Profile {
        Profile {
            kind,
            policy: Policy::All,
            family: Family::Ipv6Unicast,
            next_hop: Some(NextHop::V6("2001:db8::1".parse().unwrap())),
            next_hop_self: false,
            extended_next_hop: false,
        }
    }

    fn unknown(flags: u8, code: u8) -> UnknownAttribute {
        UnknownAttribute { flags, code, value: bytes::Bytes::from_static(b"x") }
    }

    fn route(source: RouteSource) -> Route {
        let attributes = PathAttributes {
            origin: Origin::Incomplete,
            as_path: AsPath { segments: vec![Segment::Sequence(vec![Asn(64512)])] },
            med: Some(7),
            local_pref: Some(300),
            originator_id: Some([192, 0, 2, 1].into()),
            cluster_list: vec![[192, 0, 2, 2].into()],
            aigp: Some(4),
            atomic_aggregate: true,
            extended_communities: vec![[0x00, 2, 0, 0, 0, 0, 0, 1], [0x40, 4, 0, 0, 0, 0, 0, 1]],
            ipv6_extended_communities: vec![[0x40; 20], [0x00; 20]],
            unknown: vec![unknown(0xC0, 99), unknown(0x80, 98)],
            ..PathAttributes::default()
        };
        let (global, local) = ("2001:db8::2".parse().unwrap(), "fe80::2".parse().unwrap());
        Route { attributes, next_hop: NextHop::V6WithLinkLocal(global, local), source }
    }

    #[test]
    fn an_external_peer_gets_our_as_and_address_and_nothing_of_the_inside() {
        let profile = profile(PeerKind::External);
        let (attributes, next_hop) = rewrite(route(RouteSource::External), &profile, Asn(64513)).unwrap();
        let path = vec![Segment::Sequence(vec![Asn(64513), Asn(64512)])];
        assert_eq!(attributes.as_path.segments, path);
        assert_eq!((Some(next_hop), attributes.origin), (profile.next_hop, Origin::Incomplete));
        assert_eq!((attributes.med, attributes.local_pref, attributes.aigp), (None, None, None));
        assert_eq!((attributes.originator_id, attributes.cluster_list.len()), (None, 0));
        assert_eq!(attributes.extended_communities, [[0x00, 2, 0, 0, 0, 0, 0, 1]]);
        assert_eq!(attributes.ipv6_extended_communities, [[0x00; 20]]);
        assert!(attributes.atomic_aggregate, "RFC 4271 section 5.1.6: never removed");
        assert_eq!(attributes.unknown, [unknown(0xE0, 99)]);
    }

    #[test]
    fn an_internal_peer_gets_the_path_as_it_is_with_a_preference() {
        let internal = profile(PeerKind::Internal);
        let (attributes, next_hop) = rewrite(route(RouteSource::External), &internal, Asn(64513)).unwrap();
        assert_eq!(attributes.as_path.segments, [Segment::Sequence(vec![Asn(64512)])]);
        assert_eq!((attributes.med, attributes.local_pref), (Some(7), Some(100)));
        assert_eq!(attributes.origin, Origin::Incomplete);
        assert_eq!(next_hop.to_string(), "2001:db8::2");

        let selfish = Profile { next_hop_self: true, ..internal.clone() };
        let (_, next_hop) = rewrite(route(RouteSource::External), &selfish, Asn(64513)).unwrap();
        assert_eq!(next_hop.to_string(), "2001:db8::1");

        let mut leaving = route(RouteSource::External);
        leaving.attributes.communities = vec![0xFFFF_0000];
        assert_eq!(rewrite(leaving, &internal, Asn(64513)).unwrap().0.local_pref, Some(0));
    }

    #[test]
    fn next_hops_that_an_internal_peer_cannot_use_become_ours() {
        let internal = profile(PeerKind::Internal);
        for unusable in ["fe80::9", "192.0.2.1"] {
            let next_hop = unusable.parse::<IpAddr>().unwrap().into();
            let route = Route { next_hop, ..route(RouteSource::External) };
            assert_eq!(rewrite(route, &internal, Asn(1)).unwrap().1.to_string(), "2001:db8::1");
        }
        let homeless = Profile { next_hop: None, ..internal };
        let local = Route { next_hop: NextHop::V4([0; 4].into()), ..route(RouteSource::Local) };
        assert_eq!(rewrite(local, &homeless, Asn(1)), None);
    }

    #[test]
    fn a_full_segment_gets_another_one_in_front() {
        let mut path = AsPath { segments: vec![Segment::Sequence(vec![Asn(1); 255])] };
        prepend(&mut path, Asn(2));
        assert_eq!(path.segments.first(), Some(&Segment::Sequence(vec![Asn(2)])));
        let mut set = AsPath { segments: vec![Segment::Set(vec![Asn(1)])] };
        prepend(&mut set, Asn(2));
        assert_eq!(set.segments.len(), 2);
        let mut empty = AsPath::default();
        prepend(&mut empty, Asn(2));
        assert_eq!(empty.segments, [Segment::Sequence(vec![Asn(2)])]);
    }

    #[test]
    fn our_own_next_hop_fits_the_family() {
        let settings = |local: &str| {
            let local = local.parse().unwrap();
            let id = bgp_wire::RouterId::new(1).unwrap();
            PeerSettings::new(PeerKind::External, Asn(1), id, local, local)
        };
        let own = |settings: &PeerSettings, family| {
            own_next_hop(settings, family).map(|next_hop| next_hop.to_string())
        };
        let v4 = settings("192.0.2.1");
        assert_eq!(own(&v4, Family::Ipv4Unicast).as_deref(), Some("192.0.2.1"));
        assert_eq!(own(&v4, Family::Ipv6Unicast), None);
        let mut v6 = settings("2001:db8::1");
        assert_eq!(own(&v6, Family::Ipv4Unicast), None);
        assert_eq!(own(&v6, Family::Ipv6Unicast).as_deref(), Some("2001:db8::1"));
        v6.encode.extended_next_hop.ipv4 = true;
        assert_eq!(own(&v6, Family::Ipv4Unicast).as_deref(), Some("2001:db8::1"));
    }
}
