//! What an operator can ask the daemon to do, and what it runs with: neighbour actions, the config.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What can be done to a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeighborAction {
    /// Cease/Administrative Reset, then start again.
    Reset,
    /// Cease/Administrative Shutdown, and stay down until `start` or a restart of the daemon.
    Shutdown,
    /// Takes a shutdown back.
    Start,
    /// Says with GRACEFUL_SHUTDOWN (RFC 8326) in all that the neighbour is told that its session will be closed.
    GracefulShutdown,
    /// Takes that back.
    NoGracefulShutdown,
}

impl NeighborAction {
    /// Every action.
    pub const ALL: [Self; 5] =
        [Self::Reset, Self::Shutdown, Self::Start, Self::GracefulShutdown, Self::NoGracefulShutdown];

    /// The word in the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Shutdown => "shutdown",
            Self::Start => "start",
            Self::GracefulShutdown => "graceful-shutdown",
            Self::NoGracefulShutdown => "no-graceful-shutdown",
        }
    }
}

impl fmt::Display for NeighborAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionUnknown;

impl fmt::Display for ActionUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is none of reset, shutdown, start, graceful-shutdown, no-graceful-shutdown")
    }
}

impl std::error::Error for ActionUnknown {}

impl FromStr for NeighborAction {
    type Err = ActionUnknown;

    fn from_str(text: &str) -> Result<Self, ActionUnknown> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(ActionUnknown)
    }
}

/// The body of a POST to [`crate::path::NEIGHBOR_ACTION`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// Why; goes to the peer as shutdown communication (RFC 9003: at most 255 octets of UTF-8) and to the log.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The longest reason that RFC 9003 section 2 lets travel, in octets of UTF-8.
pub const MAX_REASON_OCTETS: usize = 255;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionReply {
    /// The neighbour, or `all`.
    pub address: String,
    /// The action.
    pub action: NeighborAction,
    /// One sentence, e.g. `session closed with Cease/Administrative Reset; next attempt in 5 s`.
    pub message: String,
}

/// The config that the daemon runs with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReply {
    /// The file that it came from.
    pub path: String,
    /// Age of the last successful load.
    pub loaded_seconds: u64,
    /// The former config comes back in so many seconds unless the reload is confirmed; `null`: nothing waits.
    #[serde(default)]
    pub confirm_seconds: Option<u64>,
    /// So many seconds ago a reload was undone because nobody confirmed it; the file may still hold what was undone.
    /// `null`: not so, or loaded again since.
    #[serde(default)]
    pub rolled_back_seconds: Option<u64>,
    /// The config with every default written out and every password replaced by `"********"`, as TOML.
    pub toml: String,
    /// The same as JSON.
    pub config: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_their_words() {
        for action in NeighborAction::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        assert_eq!("stop".parse::<NeighborAction>(), Err(ActionUnknown));
    }

    #[test]
    fn a_misspelt_reason_is_refused() {
        assert!(serde_json::from_str::<ActionRequest>(r#"{"raeson":"x"}"#).is_err());
        assert_eq!(serde_json::from_str::<ActionRequest>("{}").unwrap(), ActionRequest::default());
    }

    /// Found by fuzzing: a number that fits no integer.
    #[test]
    fn a_number_beyond_64_bits_is_written_as_it_was_read() {
        let text = r#"{"path":"","loaded_seconds":1,"toml":"","config":{"n":5555500000000000001233128190}}"#;
        let read: ConfigReply = serde_json::from_str(text).unwrap();
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<ConfigReply>(&written).unwrap(), read, "{written}");
    }
}
