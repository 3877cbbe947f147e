//! Capabilities: RFC 5492, with those of RFC 4760, 2918, 7313, 6793, 8950, 8654, 4724, 8538 and the FQDN draft.

use bytes::Bytes;

use crate::asn::Asn;
use crate::family::FamilyCode;

/// One capability as announced in OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Code 1, RFC 4760 section 8.
    Multiprotocol(FamilyCode),
    /// Code 2, RFC 2918.
    RouteRefresh,
    /// Code 5, RFC 8950 section 4: families whose next hops may be of another AFI.
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// Code 6, RFC 8654.
    ExtendedMessage,
    /// Code 64, RFC 4724 section 3.
    GracefulRestart(GracefulRestart),
    /// Code 65, RFC 6793.
    FourOctetAs(Asn),
    /// Code 69, RFC 7911.
    AddPath(Vec<AddPath>),
    /// Code 70, RFC 7313.
    EnhancedRouteRefresh,
    /// Code 73, the host's name and domain, as sent with anything that is not UTF-8 replaced.
    Fqdn {
        /// Host name.
        host: String,
        /// Domain name, often empty.
        domain: String,
    },
    /// Any other, or a known one whose value does not parse: kept as sent.
    Unknown {
        /// Capability code.
        code: u8,
        /// Its value.
        value: Bytes,
    },
}

/// One entry of the Extended Next Hop Encoding capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedNextHop {
    /// Family of the NLRI.
    pub family: FamilyCode,
    /// AFI of the next hop.
    pub next_hop_afi: u16,
}

/// One entry of the ADD-PATH capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddPath {
    /// Family.
    pub family: FamilyCode,
    /// 1 receive, 2 send, 3 both; anything else is ignored by RFC 7911 section 4.
    pub mode: u8,
}

/// The Graceful Restart capability.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GracefulRestart {
    /// R: the speaker has restarted.
    pub restarted: bool,
    /// N, RFC 8538: NOTIFICATION too starts graceful restart.
    pub notification: bool,
    /// Seconds (12 bits) for which the peer may keep stale routes.
    pub restart_time: u16,
    /// Families, each with F: forwarding state was kept.
    pub families: Vec<(FamilyCode, bool)>,
}
