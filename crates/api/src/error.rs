//! What the daemon says when it cannot do what was asked: `{"error": {"code", "message", "hint"}}`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The body of every answer whose HTTP status is 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong, for a program (`code`) and for a person (`message`, `hint`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// One word that scripts may compare.
    pub code: ErrorCode,
    /// One sentence, or for `config-invalid` one paragraph per fault: file, line, column, key, what would be right.
    pub message: String,
    /// What would help, e.g. `bgpctl show neighbors lists those that there are`.
    #[serde(default)]
    pub hint: Option<String>,
}

impl ErrorReply {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { error: ErrorBody { code, message: message.into(), hint: None } }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.error.hint = Some(hint.into());
        self
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        self.error.code.status()
    }
}

/// Kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// 400: a parameter or a body that cannot be understood.
    BadRequest,
    /// 403: the user at the other end of the socket may not do this.
    Forbidden,
    /// 404: no neighbour has this address.
    NeighborUnknown,
    /// 404: no such path.
    PathUnknown,
    /// 405: the path exists, not with this method.
    MethodNotAllowed,
    /// 409: what was asked for does not fit the present state.
    Conflict,
    /// 422: the config has faults; nothing was changed.
    ConfigInvalid,
    /// 500: our mistake.
    Internal,
    /// 503: the daemon starts, stops, or is too busy to answer in time.
    Unavailable,
    /// A word of a later daemon.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NeighborUnknown | Self::PathUnknown => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::ConfigInvalid => 422,
            Self::Internal | Self::Unknown => 500,
            Self::Unavailable => 503,
        }
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_documented_one_and_a_later_word_is_unknown() {
        let reply = ErrorReply::new(ErrorCode::NeighborUnknown, "no neighbor ::9").with_hint("look");
        let json = serde_json::to_string(&reply).unwrap();
        assert_eq!(
            json,
            r#"{"error":{"code":"neighbor-unknown","message":"no neighbor ::9","hint":"look"}}"#
        );
        assert_eq!(reply.status(), 404);

        let later: ErrorReply =
            serde_json::from_str(r#"{"error":{"code":"moon-phase","message":"no"}}"#).unwrap();
        assert_eq!(later, ErrorReply::new(ErrorCode::Unknown, "no"));
    }
}
