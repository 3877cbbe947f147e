//! Reload: what it changed, what it would change, and whether it waits for its confirmation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of a POST to [`crate::path::RELOAD`]; no body is an empty request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// The former config comes back by itself unless [`crate::path::CONFIRM`] is asked within so many seconds.
    #[serde(default)]
    pub confirm_seconds: Option<u32>,
}

/// The longest time that a reload may wait for its confirmation, in seconds: a day.
pub const MAX_CONFIRM_SECONDS: u32 = 86_400;

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReply {
    /// The file that was read.
    pub path: String,
    /// One sentence per change, e.g. `neighbor 172.50.0.2: import all -> services`. Empty: nothing changed.
    #[serde(default)]
    pub changes: Vec<String>,
    /// Neighbours whose session had to be reset for it.
    #[serde(default)]
    pub reset: Vec<String>,
    /// What takes effect only after a restart of the daemon, one sentence each.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// How long the daemon waits for the confirmation; `null`: it needs none.
    #[serde(default)]
    pub confirm_seconds: Option<u64>,
}

/// Reply to `POST` [`crate::path::CONFIRM`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmReply {
    /// The file that the config came from.
    pub path: String,
    /// How many seconds were left.
    pub left_seconds: u64,
}

/// What stands behind the `?` of [`crate::path::RELOAD`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanQuery {
    /// Every route that would change, up to [`PlanQuery::ALL`], and not only the first few of each kind.
    #[serde(default)]
    pub all: bool,
}

impl PlanQuery {
    /// How many of each kind are named unless all are asked for.
    pub const FEW: usize = 5;
    /// The most that one reply names.
    pub const ALL: usize = 100_000;
}

/// Reply to `GET` [`crate::path::RELOAD`]: what a reload would do now. Nothing has been changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadPlan {
    /// The file that was read.
    pub path: String,
    /// As [`ReloadReply::changes`].
    pub changes: Vec<String>,
    /// Neighbours whose session would be reset.
    pub reset: Vec<String>,
    /// Neighbours that would come.
    pub added: Vec<String>,
    /// Neighbours that would go, with their sessions and routes.
    pub removed: Vec<String>,
    /// As [`ReloadReply::needs_restart`].
    pub needs_restart: Vec<String>,
    /// What the config file is warned about.
    pub warnings: Vec<String>,
    /// What would become of routes.
    pub routes: RouteImpacts,
    /// A reload waits for its confirmation for so many seconds still: until then another one is refused.
    pub confirm_seconds: Option<u64>,
}

/// How many routes would change, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteImpacts {
    /// How many of each kind, those that are zero left out.
    pub counts: Vec<ImpactCount>,
    /// Some of them, or all.
    pub details: Vec<RouteImpact>,
}

/// How many routes would change in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImpactCount {
    /// How.
    pub kind: ImpactKind,
    /// How many.
    pub count: u64,
}

/// One route that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteImpact {
    /// How.
    pub kind: ImpactKind,
    /// The prefix.
    pub prefix: String,
    /// The neighbour that announced it or is told it; `null` for the kernel's routes.
    pub peer: Option<String>,
    /// Why, or which next hops; `null` where there is nothing to add.
    pub detail: Option<String>,
}

/// How a route would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImpactKind {
    /// A received path that is refused now would be accepted.
    Accepted,
    /// A received path that is accepted now would be refused.
    Refused,
    /// A received path would go with its neighbour.
    Lost,
    /// A neighbour would be told a prefix that it is not told now.
    Announced,
    /// A prefix would be withdrawn from a neighbour.
    Withdrawn,
    /// A neighbour would be told something else about a prefix.
    Reannounced,
    /// A route would come into the kernel.
    Installed,
    /// A route would leave the kernel.
    Removed,
    /// A kernel route would have other next hops.
    Changed,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl ImpactKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Refused,
        Self::Lost,
        Self::Announced,
        Self::Withdrawn,
        Self::Reannounced,
        Self::Installed,
        Self::Removed,
        Self::Changed,
    ];

    /// What is counted, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "received and newly accepted",
            Self::Refused => "received and newly refused",
            Self::Lost => "lost with their neighbor",
            Self::Announced => "newly announced",
            Self::Withdrawn => "withdrawn",
            Self::Reannounced => "announced anew",
            Self::Installed => "installed in the kernel",
            Self::Removed => "removed from the kernel",
            Self::Changed => "changed in the kernel",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ImpactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_request_is_refused_and_a_later_kind_is_unknown() {
        assert!(serde_json::from_str::<ReloadRequest>(r#"{"confirm":60}"#).is_err());
        let request: ReloadRequest = serde_json::from_str(r#"{"confirm_seconds":60}"#).unwrap();
        assert_eq!(request.confirm_seconds, Some(60));
        for kind in ImpactKind::ALL {
            let word = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<ImpactKind>(&word).unwrap(), kind);
        }
        assert_eq!(serde_json::from_str::<ImpactKind>("\"eclipsed\"").unwrap(), ImpactKind::Unknown);
    }
}
