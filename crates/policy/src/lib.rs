//! May this route pass, and with which attributes? RFC 4271 section 9.1.1 and 9.1.3 leave it to local policy.
//!
//! Road in: `config` makes a [`Policy`] from `"all"`, `"none"` or the name of a prefix list.
//! Road out: the RIB asks [`Policy::evaluate`] for each route that arrives (import) and for each best route that is
//! about to be announced (export), and shows the [`Reason`] of a refusal to the operator.
//!
//! What is *not* a matter of policy lives in `bgp-rib`: loops, next hops, first AS, well-known communities, and the
//! rule of RFC 8212 that an external peer without any policy exchanges nothing.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod prefix_list;
pub mod rule;

use std::fmt;
use std::sync::Arc;

use bgp_wire::Prefix;
use bgp_wire::attribute::AttributeSlice;

pub use prefix_list::PrefixList;
pub use rule::{Action, Rule, RuleError};

/// What one direction of one peer lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Every route, unchanged.
    All,
    /// No route.
    None,
    /// What the list permits.
    PrefixList(Arc<PrefixList>),
}

/// What policy says about one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes, unchanged.
    Accept,
    /// It does not pass.
    Reject(Reason),
}

/// Why policy refused a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The policy is `none`.
    PolicyNone,
    /// A rule of the list denies it.
    DeniedByRule {
        /// Name of the list.
        list: Arc<str>,
        /// The rule.
        rule: Rule,
    },
    /// No rule of the list matches it.
    NoRuleMatches {
        /// Name of the list.
        list: Arc<str>,
    },
}

impl Policy {
    /// The verdict on one route. `attributes` are octets: a policy that does not look at them pays nothing for them.
    pub fn evaluate(&self, prefix: Prefix, _attributes: AttributeSlice<'_>) -> Verdict {
        match self {
            Self::All => Verdict::Accept,
            Self::None => Verdict::Reject(Reason::PolicyNone),
            Self::PrefixList(list) => list.evaluate(prefix),
        }
    }

    /// Whether the route passes: [`Policy::evaluate`] without the reason, for the hot road.
    pub fn accepts(&self, prefix: Prefix, _attributes: AttributeSlice<'_>) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::PrefixList(list) => list.accepts(prefix),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::PrefixList(list) => f.write_str(&list.name),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PolicyNone => f.write_str("policy none"),
            Self::DeniedByRule { list, rule } => write!(f, "prefix-list {list}: {rule}"),
            Self::NoRuleMatches { list } => write!(f, "prefix-list {list}: no rule matches"),
        }
    }
}
