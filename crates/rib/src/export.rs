//! What a route becomes on its way to a peer: RFC 4271 section 5.1 and 9.2, attribute by attribute.
//!
//! Ours: an external peer always gets our own address as next hop, never a third party's on the same link: we cannot know
//! that the two reach each other, and RFC 4271 section 5.1.3 leaves the choice. A route is also announced to a peer whose
//! AS is in its path; it is the receiver that looks for loops, and it may have been told to allow this one.

use std::net::IpAddr;

use bgp_wire::attribute::as_path::{self, SegmentKind};
use bgp_wire::attribute::{AttributeBuffer, AttributeSlice, LargeCommunity};
use bgp_wire::iana::attribute as code;
use bgp_wire::{Asn, Family, NextHop, PathAttributes, PeerKind, Prefix};

use crate::attributes::{AttributeSet, AttributeSets, GRACEFUL_SHUTDOWN, Scope, Summary};
use crate::checks::DEFAULT_LOCAL_PREF;
use crate::config::PeerSettings;
use crate::forwarding::RouteSource;
use crate::group::Profile;
use crate::next_hops::NextHops;

/// Attribute flags, RFC 4271 section 4.3.
const TRANSITIVE: u8 = 0x40;
const PARTIAL: u8 = 0x20;

/// The bit of a type that says a community stays inside one AS, RFC 4360 section 2.
const COMMUNITY_NON_TRANSITIVE: u8 = 0x40;

/// A path that is best: its attribute set, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Best {
    pub(crate) set: u32,
    pub(crate) source: RouteSource,
}

/// What an export looks at besides the profile of the group.
#[derive(Clone, Copy)]
pub(crate) struct Exports<'a> {
    pub(crate) sets: &'a AttributeSets,
    pub(crate) hops: &'a NextHops,
    pub(crate) local_asn: Asn,
}

impl Exports<'_> {
    /// Whether peers of `profile` get the route.
    pub(crate) fn announces(&self, profile: &Profile, prefix: Prefix, best: Best) -> bool {
        let accepts = |set: AttributeSet<'_>| profile.policy.accepts(prefix, set.octets());
        self.passes(profile, best) && self.sets.get(best.set).is_some_and(accepts)
    }

    /// Whether they get it if policy does not mind.
    #[inline]
    pub(crate) fn passes(&self, profile: &Profile, best: Best) -> bool {
        // Nearly all do, for reasons that are quickly found.
        let inside = profile.kind == PeerKind::Internal && best.source == RouteSource::Internal;
        let anywhere = self.sets.summary(best.set).is_some_and(Summary::goes_anywhere);
        (anywhere && !inside && profile.next_hop.is_some()) || self.passes_all_checks(profile, best)
    }

    fn passes_all_checks(&self, profile: &Profile, best: Best) -> bool {
        let Some(set) = self.sets.get(best.set) else { return false };
        let kept_back = match profile.kind {
            PeerKind::External => set.summary.scope() != Scope::Any,
            // "When a BGP speaker receives an UPDATE message from an internal peer, the receiving BGP speaker SHALL NOT
            // re-distribute the routing information to other internal peers", unless it is a route reflector.
            PeerKind::Internal => {
                set.summary.scope() == Scope::Nobody || best.source == RouteSource::Internal
            }
        };
        let kept_back = kept_back || (set.summary.llgr_stale() && !profile.long_lived);
        !kept_back && self.next_hop(profile, set.hop, best.source).is_some()
    }

    /// What peers of `profile` get, as values.
    pub(crate) fn values(&self, profile: &Profile, best: Best) -> Option<(PathAttributes, NextHop)> {
        let set = self.sets.get(best.set)?;
        let next_hop = self.next_hop(profile, set.hop, best.source)?;
        let preference = preference(profile, &set, best.source);
        let mut values = rewrite(set.octets().parse(), preference, self.local_asn);
        if profile.graceful_shutdown {
            announce_shutdown(&mut values);
        }
        Some((values, next_hop))
    }

    /// What peers of `profile` get, as octets into `out`, which is empty; the next hop, where there is one to give.
    pub(crate) fn write(&self, profile: &Profile, best: Best, out: &mut AttributeBuffer) -> Option<NextHop> {
        let set = self.sets.get(best.set)?;
        if profile.graceful_shutdown {
            // Rare and short: no octets are saved here.
            let (values, next_hop) = self.values(profile, best)?;
            out.put(&values);
            return Some(next_hop);
        }
        let next_hop = self.next_hop(profile, set.hop, best.source)?;
        write(set.octets(), preference(profile, &set, best.source), self.local_asn, out);
        Some(next_hop)
    }

    /// Whether it can be told without a look at the octets that peers get different things for two sets.
    pub(crate) fn plainly_differ(&self, a: u32, b: u32) -> bool {
        let (Some(a), Some(b)) = (self.sets.get(a), self.sets.get(b)) else { return true };
        let (a, b) = (&a.summary, &b.summary);
        (a.origin(), a.path_len(), a.neighbor_as()) != (b.origin(), b.path_len(), b.neighbor_as())
    }

    fn next_hop(&self, profile: &Profile, hop: u32, source: RouteSource) -> Option<NextHop> {
        next_hop_for(profile, self.hops.key(hop)?.next_hop, source)
    }
}

/// The next hop that a peer of `profile` gets.
fn next_hop_for(profile: &Profile, received: NextHop, source: RouteSource) -> Option<NextHop> {
    let inside = profile.kind == PeerKind::Internal && source != RouteSource::Local;
    let kept = inside && !profile.next_hop_self;
    kept.then(|| passed_on(received, profile)).flatten().or(profile.next_hop)
}

/// LOCAL_PREF as a peer of that kind gets it; `None` for an external one. "A BGP speaker SHALL include this attribute in
/// all UPDATE messages that it sends to other internal peers", as what it has computed for an external route.
fn preference(profile: &Profile, set: &AttributeSet<'_>, source: RouteSource) -> Option<u32> {
    (profile.kind == PeerKind::Internal).then(|| match source {
        // RFC 8326 section 4.1: of a session that will be closed.
        _ if profile.graceful_shutdown => 0,
        // RFC 8326 section 4.2: what comes from an external peer that shuts down is the last choice in the whole AS.
        RouteSource::External if set.summary.graceful_shutdown() => 0,
        RouteSource::External => DEFAULT_LOCAL_PREF,
        RouteSource::Internal | RouteSource::Local => set.local_pref().unwrap_or(DEFAULT_LOCAL_PREF),
    })
}

/// RFC 8326 section 4.1: the peer is to prefer any other path.
fn announce_shutdown(attributes: &mut PathAttributes) {
    if !attributes.communities.contains(&GRACEFUL_SHUTDOWN) {
        attributes.communities.push(GRACEFUL_SHUTDOWN);
    }
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

/// The attributes as an internal peer gets them with this LOCAL_PREF, or an external one without.
fn rewrite(mut attributes: PathAttributes, local_pref: Option<u32>, local_asn: Asn) -> PathAttributes {
    // "Unrecognized non-transitive optional attributes MUST be quietly ignored and not passed along", and those that are
    // transitive are passed "with the Partial bit set".
    attributes.unknown.retain(|unknown| unknown.flags & TRANSITIVE != 0);
    for unknown in &mut attributes.unknown {
        unknown.flags |= PARTIAL;
    }
    if local_pref.is_none() {
        leave_the_as(&mut attributes, local_asn);
    }
    attributes.local_pref = local_pref;
    attributes
}

/// [`rewrite`] on octets, without values being made of them. Unknown attributes are copied: that they become Partial, or
/// are left out, is the encoder's.
fn write(set: AttributeSlice<'_>, local_pref: Option<u32>, local_asn: Asn, out: &mut AttributeBuffer) {
    let external = local_pref.is_none();
    if !is_plain(set, external) {
        return out.put(&rewrite(set.parse(), local_pref, local_asn));
    }
    let mut local_pref = local_pref;
    for attribute in set.iter() {
        if attribute.code >= code::LOCAL_PREF
            && let Some(local_pref) = local_pref.take()
        {
            out.put_local_pref(local_pref);
        }
        match attribute.code {
            code::LOCAL_PREF => {}
            code::AS_PATH if external => out.put_path_behind(local_asn, attribute.value),
            // See `leave_the_as`.
            code::MED | code::ORIGINATOR_ID | code::CLUSTER_LIST | code::AIGP if external => {}
            _ => out.copy(&attribute),
        }
    }
    if let Some(local_pref) = local_pref {
        out.put_local_pref(local_pref);
    }
}

/// Whether every attribute of a set goes as it is or not at all, but for those that [`write`] knows.
fn is_plain(set: AttributeSlice<'_>, external: bool) -> bool {
    // Comparing each with each costs less than a set of hashes, while there are few.
    const FEW: usize = 16;
    set.iter().all(|attribute| {
        let stays = |kind: Option<&u8>| kind.is_some_and(|kind| kind & COMMUNITY_NON_TRANSITIVE == 0);
        match attribute.code {
            code::AS_PATH if external => {
                as_path::segments(attribute.value).all(|(kind, _)| kind != SegmentKind::Confederation)
            }
            code::EXTENDED_COMMUNITIES if external => {
                attribute.value.chunks(8).all(|community| stays(community.first()))
            }
            code::IPV6_EXTENDED_COMMUNITIES if external => {
                attribute.value.chunks(20).all(|community| stays(community.first()))
            }
            // What occurs again is left out.
            code::LARGE_COMMUNITY => {
                let (communities, _) = attribute.value.as_chunks::<{ LargeCommunity::LEN }>();
                let again = |at, one| communities.iter().skip(at + 1).any(|other| other == one);
                communities.len() <= FEW && !communities.iter().enumerate().any(|(at, one)| again(at, one))
            }
            _ => true,
        }
    })
}

/// RFC 4271 section 5.1.2 to 5.1.5, RFC 4456 section 8, RFC 7311 section 3, RFC 4360 section 6, RFC 5065 section 5.
fn leave_the_as(attributes: &mut PathAttributes, local_asn: Asn) {
    // Of an internal peer's confederation: outside of it they make a path malformed.
    attributes.as_path.segments.retain(|segment| !segment.is_confederation());
    attributes.as_path.prepend(local_asn);
    // "The MULTI_EXIT_DISC attribute received from a neighboring AS MUST NOT be propagated to other neighboring ASes."
    attributes.med = None;
    attributes.originator_id = None;
    attributes.cluster_list.clear();
    attributes.aigp = None;
    attributes.extended_communities.retain(|[kind, ..]| kind & COMMUNITY_NON_TRANSITIVE == 0);
    attributes.ipv6_extended_communities.retain(|[kind, ..]| kind & COMMUNITY_NON_TRANSITIVE == 0);
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

#[cfg(test)]
mod tests {
    use bgp_policy::Policy;
    use bgp_wire::attribute::{AsPath, Origin, Segment, UnknownAttribute};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn profile(kind: PeerKind) -> Profile {
        Profile {
            kind,
            policy: Policy::All,
            family: Family::Ipv6Unicast,
            next_hop: Some(NextHop::V6("2001:db8::1".parse().unwrap())),
            next_hop_self: false,
            graceful_shutdown: false,
            extended_next_hop: false,
            long_lived: false,
        }
    }

    fn unknown(flags: u8, code: u8) -> UnknownAttribute {
        UnknownAttribute { flags, code, value: bytes::Bytes::from_static(b"x") }
    }

    fn received() -> PathAttributes {
        PathAttributes {
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
        }
    }

    #[test]
    fn an_external_peer_gets_our_as_and_address_and_nothing_of_the_inside() {
        let external = profile(PeerKind::External);
        let theirs = NextHop::V6("2001:db8::2".parse().unwrap());
        assert_eq!(next_hop_for(&external, theirs, RouteSource::External), external.next_hop);
        let attributes = rewrite(received(), None, Asn(64513));
        let path = vec![Segment::Sequence(vec![Asn(64513), Asn(64512)])];
        assert_eq!((attributes.as_path.segments, attributes.origin), (path, Origin::Incomplete));
        assert_eq!((attributes.med, attributes.local_pref, attributes.aigp), (None, None, None));
        assert_eq!((attributes.originator_id, attributes.cluster_list.len()), (None, 0));
        assert_eq!(attributes.extended_communities, [[0x00, 2, 0, 0, 0, 0, 0, 1]]);
        assert_eq!(attributes.ipv6_extended_communities, [[0x00; 20]]);
        assert!(attributes.atomic_aggregate, "RFC 4271 section 5.1.6: never removed");
        assert_eq!(attributes.unknown, [unknown(0xE0, 99)]);
    }

    #[test]
    fn segments_of_a_confederation_stay_inside() {
        let mut attributes = received();
        attributes.as_path.segments.insert(0, Segment::ConfedSequence(vec![Asn(64900)]));
        attributes.as_path.segments.push(Segment::ConfedSet(vec![Asn(64901)]));
        let path = |local_pref| rewrite(attributes.clone(), local_pref, Asn(64513)).as_path.to_string();
        assert_eq!(path(None), "64513 64512");
        assert_eq!(path(Some(100)), "(64900) 64512 [64901]");
    }

    #[test]
    fn an_internal_peer_gets_the_path_as_it_is_with_a_preference() {
        let attributes = rewrite(received(), Some(100), Asn(64513));
        assert_eq!(attributes.as_path.segments, [Segment::Sequence(vec![Asn(64512)])]);
        assert_eq!((attributes.med, attributes.local_pref), (Some(7), Some(100)));
        assert_eq!(attributes.origin, Origin::Incomplete);
    }

    #[test]
    fn next_hops_that_an_internal_peer_cannot_use_become_ours() {
        let internal = profile(PeerKind::Internal);
        let given = |profile: &Profile, received: &str, source| {
            let received = received.parse::<IpAddr>().unwrap().into();
            next_hop_for(profile, received, source).map(|next_hop| next_hop.to_string())
        };
        let (ours, theirs) = (Some("2001:db8::1".to_owned()), Some("2001:db8::2".to_owned()));
        assert_eq!(given(&internal, "2001:db8::2", RouteSource::External), theirs);
        for unusable in ["fe80::9", "192.0.2.1"] {
            assert_eq!(given(&internal, unusable, RouteSource::External), ours);
        }
        assert_eq!(given(&internal, "2001:db8::2", RouteSource::Local), ours);
        let selfish = Profile { next_hop_self: true, ..internal.clone() };
        assert_eq!(given(&selfish, "2001:db8::2", RouteSource::Internal), ours);
        let homeless = Profile { next_hop: None, ..internal };
        assert_eq!(given(&homeless, "2001:db8::2", RouteSource::Local), None);
        let (global, local) = ("2001:db8::2".parse().unwrap(), "fe80::2".parse().unwrap());
        let both = NextHop::V6WithLinkLocal(global, local);
        let given = next_hop_for(&homeless, both, RouteSource::External).unwrap();
        assert_eq!(given.to_string(), "2001:db8::2", "a link-local address means nothing on another link");
    }

    #[test]
    fn a_full_segment_gets_another_one_in_front() {
        let full = Segment::Sequence(vec![Asn(1); 255]);
        let received =
            PathAttributes { as_path: AsPath { segments: vec![full.clone()] }, ..PathAttributes::default() };
        let mut out = AttributeBuffer::default();
        write(received.to_bytes().as_slice(), None, Asn(2), &mut out);
        assert_eq!(out.as_slice().parse().as_path.segments, [Segment::Sequence(vec![Asn(2)]), full]);
        assert_eq!(rewrite(received, None, Asn(2)), out.as_slice().parse());
    }

    proptest! {
        #[test]
        fn octets_become_what_their_values_become(
            path in vec((0u8..4, vec(any::<u32>(), 1..4)), 0..3),
            numbers in vec(proptest::option::of(any::<u32>()), 4),
            communities in vec(any::<u32>(), 0..3),
            extended in vec(prop_oneof![Just([0u8; 8]), Just([0x40; 8])], 0..3),
            large in vec(0u32..3, 0..20),
            with_unknown: bool,
            local_pref: Option<u32>,
        ) {
            let number = |at: usize| numbers.get(at).copied().flatten();
            let segment = |(kind, asns): &(u8, Vec<u32>)| {
                let asns = asns.iter().copied().map(Asn).collect();
                if *kind == 0 { Segment::ConfedSequence(asns) } else { Segment::Sequence(asns) }
            };
            let attributes = PathAttributes {
                as_path: AsPath { segments: path.iter().map(segment).collect() },
                med: number(0),
                local_pref: number(1),
                originator_id: number(2).map(Into::into),
                aigp: number(3).map(u64::from),
                communities,
                extended_communities: extended,
                large_communities: large.iter().map(|n| LargeCommunity { global: *n, local1: 0, local2: 0 }).collect(),
                unknown: if with_unknown { vec![unknown(0xE0, 99)] } else { Vec::new() },
                ..PathAttributes::default()
            };
            let mut out = AttributeBuffer::default();
            write(attributes.to_bytes().as_slice(), local_pref, Asn(64513), &mut out);
            // Parsed first: what is not distinct is not told apart any more.
            let expected = rewrite(attributes.to_bytes().parse(), local_pref, Asn(64513));
            prop_assert_eq!(out.as_slice().parse(), expected);
        }
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
