//! Graceful restart as a helper: RFC 4724 section 4.2, RFC 8538, and long-lived, RFC 9494 section 4.2.
//!
//! Owns what the peer said about its restarts, and the decision whether its routes outlive a session. Keeping them and
//! letting them go is the RIB's; the clock for it is the daemon's.

use std::time::Duration;

use bgp_wire::capability::{Capability, GracefulRestart};
use bgp_wire::iana::error;
use bgp_wire::notification::{CeaseCode, Notification};
use bgp_wire::{Family, PerFamily};

use crate::output::{DownReason, RouteRetention};

/// The peer's Graceful Restart capability, for families that the session carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRestart {
    /// R: the peer has just restarted; it waits for our End-of-RIB.
    pub restarted: bool,
    /// N, RFC 8538: the peer wants its routes kept after a NOTIFICATION and a hold timer as well.
    pub notification: bool,
    /// How long the peer may take to come back.
    pub restart_time: Duration,
    /// `Some` for a family whose routes may be kept; in it F: the peer still forwards as it did.
    pub forwarding: PerFamily<Option<Forwarding>>,
    /// `Some` for a family whose routes may be kept for long after that, RFC 9494, where we do so at all.
    pub long_lived: PerFamily<Option<LongLived>>,
    /// The peer has sent the Long-Lived Graceful Restart capability: it may be announced what is kept for long.
    pub takes_long_lived: bool,
}

/// What the peer's Long-Lived Graceful Restart capability says of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongLived {
    /// F.
    pub forwarding: Forwarding,
    /// How long its routes stay after the restart time: as the peer asks, within what we allow; not zero.
    pub stale_time: Duration,
}

/// F, per family: what became of the peer's forwarding while it restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// It went on; stale routes wait for End-of-RIB.
    Preserved,
    /// It is gone: stale routes of the family go at once, RFC 4724 section 4.2.
    Lost,
}

impl PeerRestart {
    /// The capability among those of an OPEN; the last one counts, RFC 4724 section 3.
    ///
    /// Without it, the Long-Lived Graceful Restart capability is ignored, RFC 9494 section 3; `longest` is the longest time
    /// for which we keep routes so.
    pub(crate) fn find(
        capabilities: &[Capability],
        families: PerFamily<bool>,
        longest: Duration,
    ) -> Option<Self> {
        let plain = capabilities.iter().rev().find_map(|capability| {
            let Capability::GracefulRestart(sent) = capability else { return None };
            Some(Self::new(sent, families))
        })?;
        let long = capabilities.iter().rev().find_map(|capability| {
            let Capability::LongLivedGracefulRestart(sent) = capability else { return None };
            Some(sent.as_slice())
        });
        let Some(sent) = long.filter(|_| !longest.is_zero()) else { return Some(plain) };
        let long_lived = PerFamily::from_fn(|family: Family| {
            let entry = sent.iter().find(|entry| entry.family == family.code() && families[family])?;
            let stale_time = Duration::from_secs(entry.stale_time.into()).min(longest);
            let forwarding = if entry.forwarding { Forwarding::Preserved } else { Forwarding::Lost };
            (!stale_time.is_zero()).then_some(LongLived { forwarding, stale_time })
        });
        Some(Self { long_lived, takes_long_lived: true, ..plain })
    }

    fn new(sent: &GracefulRestart, families: PerFamily<bool>) -> Self {
        let forwarding = |family: Family| {
            let (_, kept) = sent.families.iter().find(|(code, _)| *code == family.code())?;
            families[family].then_some(if *kept { Forwarding::Preserved } else { Forwarding::Lost })
        };
        Self {
            restarted: sent.restarted,
            notification: sent.notification,
            restart_time: Duration::from_secs(sent.restart_time.into()),
            forwarding: PerFamily::from_fn(forwarding),
            long_lived: PerFamily::default(),
            takes_long_lived: false,
        }
    }

    /// The families whose routes may be kept.
    pub fn families(&self) -> PerFamily<bool> {
        PerFamily::from_fn(|family| self.forwarding[family].is_some())
    }
}

/// What becomes of the routes of a session that ended for `reason`, where the peer had said `restart`.
pub(crate) fn retention(restart: Option<&PeerRestart>, reason: &DownReason) -> RouteRetention {
    let Some(restart) = restart else { return RouteRetention::Remove };
    let families = restart.families();
    let long_lived = PerFamily::from_fn(|family| {
        restart.long_lived[family].map_or(Duration::ZERO, |long| long.stale_time)
    });
    let for_long = !long_lived.ipv4.is_zero() || !long_lived.ipv6.is_zero();
    let worth_it = for_long || ((families.ipv4 || families.ipv6) && !restart.restart_time.is_zero());
    if worth_it && survives(restart, reason) {
        RouteRetention::KeepStale {
            time: restart.restart_time,
            families,
            long_lived,
            stale_stays: restart.notification,
        }
    } else {
        RouteRetention::Remove
    }
}

fn survives(restart: &PeerRestart, reason: &DownReason) -> bool {
    match reason {
        // RFC 4724 section 4.2: the session went without a NOTIFICATION.
        DownReason::ConnectionClosed(_) | DownReason::Replaced => true,
        // RFC 8538 section 4: N of both sides (ours is always set) extends that to NOTIFICATIONs either way and to the
        // hold timer.
        DownReason::Received(notification) => restart.notification && !is_farewell(notification),
        DownReason::Sent(_) | DownReason::Fault { .. } | DownReason::SendHoldTimerExpired => {
            restart.notification
        }
        // The operator wants the peer quiet, and a reset is to begin from nothing.
        DownReason::Shutdown(_)
        | DownReason::Reset(_)
        | DownReason::Deconfigured
        | DownReason::MaximumPrefix(_)
        | DownReason::Leaving => false,
        // Ours: RFC 4724 keeps the routes of a speaker that may still forward. A node that is not there does not.
        DownReason::NodeGone(_) => false,
        // RFC 5882 section 4.3: BFD that shares the fate of the control plane says nothing of forwarding; where the node is
        // seen to be there, it is as with the hold timer.
        DownReason::BfdDown { forwards, .. } => *forwards && restart.notification,
    }
}

/// Ours: besides Hard Reset, the peer's Administrative Shutdown and Peer De-configured take its routes away at
/// once, though RFC 8538 would keep them. Older GoBGP sends these two plain when it leaves for good, and stale
/// routes to a node that does not come back are a black hole for the restart time. A restarting agent closes
/// without a NOTIFICATION.
fn is_farewell(notification: &Notification) -> bool {
    let farewells = [CeaseCode::HardReset, CeaseCode::AdministrativeShutdown, CeaseCode::PeerDeconfigured];
    notification.code == error::CEASE && farewells.iter().any(|code| *code as u8 == notification.subcode)
}
