//! What makes a path unusable whatever the others are: loops (RFC 4271 section 9.1.2, RFC 4456 section 8), the first AS
//! and the next hop (RFC 4271 section 6.3), segments of a confederation (RFC 5065), and policy, with RFC 8212 before it.
//!
//! The result depends on peer, attribute set and prefix alone, so it is worked out when a path arrives or a setting
//! changes, and one bit of it is kept; the reason is worked out again when somebody asks.

use bgp_policy::{Policy, Verdict};
use bgp_wire::attribute::Origin;
use bgp_wire::{PeerKind, Prefix, RouterId};

use crate::attributes::AttributeSet;
use crate::config::PeerSettings;
use crate::next_hops::NextHops;
use crate::reason::{NextHopFault, Refusal};

/// Preference where LOCAL_PREF does not say it.
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// What holds for every prefix of the set.
pub(crate) fn refusal_of_set(
    settings: &PeerSettings,
    set: &AttributeSet<'_>,
    hops: &NextHops,
    us: RouterId,
) -> Option<Refusal> {
    let summary = &set.summary;
    if summary.own_as > settings.allow_own_as {
        return Some(Refusal::AsLoop { count: summary.own_as, allowed: settings.allow_own_as });
    }
    if settings.kind == PeerKind::External
        && settings.enforce_first_as
        && summary.neighbor_as() != Some(settings.asn)
    {
        return Some(Refusal::FirstAs { found: summary.neighbor_as(), expected: settings.asn });
    }
    // "It is an error for a BGP speaker to receive an UPDATE message with an AS_PATH attribute that contains
    // AS_CONFED_SEQUENCE or AS_CONFED_SET segments from a neighbor that is not located in the same confederation." RFC 5065
    // section 5. Ours: an internal peer may be in one, of which we know nothing.
    if settings.kind == PeerKind::External && summary.has_confederation() {
        return Some(Refusal::Confederation);
    }
    let reflection = set.reflection(us);
    if settings.kind == PeerKind::Internal && reflection.originator == Some(us.bits()) {
        return Some(Refusal::OriginatorLoop);
    }
    if settings.kind == PeerKind::Internal && reflection.cluster_is_ours {
        return Some(Refusal::ClusterLoop);
    }
    next_hop_fault(settings, set.hop, hops).map(Refusal::NextHop)
}

fn next_hop_fault(settings: &PeerSettings, hop: u32, hops: &NextHops) -> Option<NextHopFault> {
    if let Some(fault) = hops.fault(hop) {
        return Some(fault);
    }
    let address = hops.key(hop)?.next_hop.address().to_canonical();
    let ours = |own: std::net::IpAddr| own.to_canonical() == address;
    let also_ours = settings.next_hop.iter().any(|(_, own)| own.is_some_and(|own| ours(own.address())));
    // "It MUST NOT be the IP address of the receiving speaker."
    (ours(settings.local_address) || also_ours).then_some(NextHopFault::OurOwn)
}

/// What import policy says.
pub(crate) fn refusal_of_policy(
    settings: &PeerSettings,
    prefix: Prefix,
    set: &AttributeSet<'_>,
) -> Option<Refusal> {
    match (&settings.import, settings.kind) {
        (Some(policy), _) => match policy.evaluate(prefix, set.octets()) {
            Verdict::Accept => None,
            Verdict::Reject(reason) => Some(Refusal::Policy(reason)),
        },
        // "Routes contained in an Adj-RIB-In associated with an EBGP peer SHALL NOT be considered eligible in the
        // Decision Process if no explicit Import Policy has been applied."
        (None, PeerKind::External) => Some(Refusal::NoImportPolicy),
        (None, PeerKind::Internal) => None,
    }
}

/// [`refusal_of_policy`] without the reason.
pub(crate) fn policy_accepts(settings: &PeerSettings, prefix: Prefix, set: &AttributeSet<'_>) -> bool {
    match (&settings.import, settings.kind) {
        (Some(policy), _) => policy.accepts(prefix, set.octets()),
        (None, kind) => kind == PeerKind::Internal,
    }
}

/// Whether import policy accepts everything, whatever it is.
pub(crate) fn accepts_all(settings: &PeerSettings) -> bool {
    match (&settings.import, settings.kind) {
        (Some(policy), _) => *policy == Policy::All,
        (None, kind) => kind == PeerKind::Internal,
    }
}

/// The policy by which routes go to a peer; `None` where none go.
pub(crate) fn export_policy(settings: &PeerSettings) -> Option<Policy> {
    match (&settings.export, settings.kind) {
        (Some(Policy::None), _) => None,
        (Some(policy), _) => Some(policy.clone()),
        // "Routes SHALL NOT be added to an Adj-RIB-Out associated with an EBGP peer if no explicit Export Policy has
        // been applied."
        (None, PeerKind::External) => None,
        (None, PeerKind::Internal) => Some(Policy::All),
    }
}

/// How a path does in the rounds of the selection before MULTI_EXIT_DISC, of which each is a part of the number; less is
/// better. There each path stands for itself: one that does worse than another is out, and nobody else stays or goes for
/// its sake.
#[inline]
pub(crate) fn standing(kind: PeerKind, set: &AttributeSet<'_>) -> u64 {
    let summary = &set.summary;
    let origin = match summary.origin() {
        Origin::Igp => 0,
        Origin::Egp => 1,
        Origin::Incomplete => 2,
    };
    // The longest AS_PATH that a message can hold has 16 bits.
    u64::from(summary.llgr_stale()) << 50
        | u64::from(!local_pref(kind, set)) << 18
        | u64::from(summary.path_len()) << 2
        | origin
}

/// The degree of preference, RFC 4271 section 9.1.1.
pub(crate) fn local_pref(kind: PeerKind, set: &AttributeSet<'_>) -> u32 {
    match kind {
        // "If the route is learned from an external peer, then the local BGP speaker computes the degree of preference":
        // what LOCAL_PREF it may have sent is not looked at. RFC 8326 section 4.2 wants zero before a shutdown.
        PeerKind::External if set.summary.graceful_shutdown() => 0,
        PeerKind::External => DEFAULT_LOCAL_PREF,
        PeerKind::Internal => set.local_pref().unwrap_or(DEFAULT_LOCAL_PREF),
    }
}
