//! Why a route is used or not, as values with words.

use std::fmt;
use std::sync::Arc;

use bgp_wire::Asn;

use crate::decision::Step;

/// How one path stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The one that is announced on.
    Best(BestReason),
    /// As good as the best, and used beside it.
    Multipath,
    /// Usable, and another one is better.
    Lost(Step),
    /// Not usable: policy or a check refuses it.
    Refused(Refusal),
    /// Not usable for now: its next hop cannot be reached.
    Unreachable(Unreachable),
}

/// What made a path the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BestReason {
    /// There is no other usable path.
    OnlyPath,
    /// The step that took the last rival out.
    DecidedBy(Step),
}

/// Why a path is not usable whatever the others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An external peer without import policy, RFC 8212 section 3.
    NoImportPolicy,
    /// Import policy refuses it.
    Policy(bgp_policy::Reason),
    /// Our own AS is in the AS_PATH, RFC 4271 section 9.1.2.
    AsLoop {
        /// How often.
        count: u8,
        /// How often it may be.
        allowed: u8,
    },
    /// The AS_PATH does not begin with the peer's AS, RFC 4271 section 6.3.
    FirstAs {
        /// What it begins with; `None` for an empty path or a set.
        found: Option<Asn>,
        /// The peer's AS.
        expected: Asn,
    },
    /// The AS_PATH of an external peer has segments of its confederation, RFC 5065 section 5.
    Confederation,
    /// ORIGINATOR_ID is our BGP Identifier, RFC 4456 section 8.
    OriginatorLoop,
    /// Our identifier is in CLUSTER_LIST, RFC 4456 section 8.
    ClusterLoop,
    /// The next hop can be nobody's, RFC 4271 section 6.3.
    NextHop(NextHopFault),
}

/// What is wrong with a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopFault {
    /// 0.0.0.0 or ::.
    Unspecified,
    /// 127.0.0.0/8 or ::1.
    Loopback,
    /// 224.0.0.0/4 or ff00::/8.
    Multicast,
    /// 0.0.0.0/8 or 240.0.0.0/4.
    Reserved,
    /// An address of ours.
    OurOwn,
    /// A link-local address without a link: the session is not on a directly connected interface.
    NoLink,
}

/// Why a next hop cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Nobody has said yet where it goes.
    Unresolved,
    /// There is no way to it, in the words of whoever looked.
    Because(Arc<str>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best(BestReason::OnlyPath) => f.write_str("the only usable path"),
            Self::Best(BestReason::DecidedBy(step)) => f.write_str(step.won()),
            Self::Multipath => f.write_str("as good as the best"),
            Self::Lost(step) => f.write_str(step.lost()),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable(unreachable) => unreachable.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImportPolicy => f.write_str("no import policy (RFC 8212)"),
            Self::Policy(reason) => write!(f, "refused by import policy: {reason}"),
            Self::AsLoop { count, allowed: 0 } => write!(f, "our own AS is in the AS path ({count} times)"),
            Self::AsLoop { count, allowed } => {
                write!(f, "our own AS is in the AS path {count} times, allowed are {allowed}")
            }
            Self::FirstAs { found: Some(found), expected } => {
                write!(f, "the AS path begins with {found}, not with the peer's AS {expected}")
            }
            Self::FirstAs { found: None, expected } => {
                write!(f, "the AS path does not begin with the peer's AS {expected}")
            }
            Self::Confederation => f.write_str("the AS path has segments of a confederation (RFC 5065)"),
            Self::OriginatorLoop => f.write_str("we originated it (ORIGINATOR_ID is ours)"),
            Self::ClusterLoop => f.write_str("our cluster is in CLUSTER_LIST"),
            Self::NextHop(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for NextHopFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "next hop is the unspecified address",
            Self::Loopback => "next hop is a loopback address",
            Self::Multicast => "next hop is a multicast address",
            Self::Reserved => "next hop is in a reserved range",
            Self::OurOwn => "next hop is an address of ours",
            Self::NoLink => "next hop is link-local, and the peer is not on a directly connected link",
        })
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved => f.write_str("next hop is not resolved yet"),
            Self::Because(reason) => write!(f, "next hop unreachable: {reason}"),
        }
    }
}
