//! Path attributes: RFC 4271 section 4.3 and 5, one file per concept.
//!
//! Owns [`TABLE`], which says for each attribute its code, flags, from whom it may come and what a fault in it costs
//! (RFC 7606). The set as checked octets ([`AttributeBytes`], the key under which the RIB interns it) and as values
//! ([`PathAttributes`]) is `set`; the one pass that applies the table is `scan`.

use bytes::Bytes;

use crate::context::DecodeContext;
use crate::iana::attribute as code;
use crate::update::UpdateFaultKind;

mod aggregator;
mod aigp;
mod as4;
pub mod as_path;
mod communities;
mod header;
mod numbers;
mod origin;
pub(crate) mod scan;
mod set;
pub(crate) mod write;

pub use aggregator::Aggregator;
pub use as_path::{AsPath, Segment};
pub use communities::{LargeCommunity, link_bandwidth};
pub use header::{RawAttribute, flags};
pub use origin::Origin;
pub use set::{AttributeBytes, AttributeSlice, PathAttributes, StoredAttributes, UnknownAttribute};
pub use write::AttributeBuffer;

/// What a malformed attribute costs, RFC 7606 section 2; weakest first, so `max` is "the strongest action".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remedy {
    /// The attribute is dropped, the routes stay.
    DiscardAttribute,
    /// Every route of the UPDATE is withdrawn.
    TreatAsWithdraw,
    /// The session ends.
    ResetSession,
}

/// One thing that was wrong with an attribute, and what it cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeFault {
    /// Attribute type code; zero where no attribute could be named.
    pub code: u8,
    /// What it cost.
    pub remedy: Remedy,
    /// In words, for the operator; a constant, never the peer's text.
    pub reason: &'static str,
    /// The attribute as it was sent, at most 64 octets of it.
    pub octets: Bytes,
}

/// What the flags of an attribute have to say, RFC 4271 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Neither optional nor partial, but transitive.
    WellKnown,
    /// Optional, not transitive.
    OptionalNonTransitive,
    /// Optional and transitive.
    OptionalTransitive,
}

/// From which peers an attribute is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// From any.
    Any,
    /// From internal peers; an external peer's is discarded, well formed or not.
    InternalOnly,
    /// From peers of two-octet AS numbers; another peer's is discarded, RFC 6793 section 4.1.
    TwoOctetOnly,
}

/// What is known of an attribute.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Type code.
    pub code: u8,
    /// Name in the RFC that defines it.
    pub name: &'static str,
    /// Flags that it must have.
    pub class: Class,
    /// Cost of other flags.
    pub wrong_flags: Remedy,
    /// From whom it is taken.
    pub scope: Scope,
    /// Cost of a wrong value.
    pub malformed: Remedy,
    check: fn(&[u8], &DecodeContext) -> Result<(), &'static str>,
}

impl Rule {
    const fn new(
        code: u8,
        name: &'static str,
        class: Class,
        malformed: Remedy,
        check: fn(&[u8], &DecodeContext) -> Result<(), &'static str>,
    ) -> Self {
        // "If the value of either the Optional or Transitive bits in the Attribute Flags is in conflict with their
        // specified values, then the attribute MUST be treated as malformed and the "treat-as-withdraw" approach used".
        Self { code, name, class, wrong_flags: Remedy::TreatAsWithdraw, scope: Scope::Any, malformed, check }
    }

    const fn only(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    const fn flags_cost(self, wrong_flags: Remedy) -> Self {
        Self { wrong_flags, ..self }
    }

    /// Whether the flags are those of the class: "For well-known attributes and for optional non-transitive attributes, the
    /// Partial bit MUST be set to 0." RFC 4271 section 4.3. Not of MP_REACH_NLRI and MP_UNREACH_NLRI: RFC 7606 section 3 (c)
    /// names Optional and Transitive alone, and there a fault costs the session.
    fn takes_flags(&self, flags: u8) -> bool {
        let judged = flags::OPTIONAL | flags::TRANSITIVE;
        match self.class {
            Class::OptionalNonTransitive if self.malformed == Remedy::ResetSession => {
                flags & judged == flags::OPTIONAL
            }
            Class::WellKnown => flags & (judged | flags::PARTIAL) == flags::TRANSITIVE,
            Class::OptionalNonTransitive => flags & (judged | flags::PARTIAL) == flags::OPTIONAL,
            Class::OptionalTransitive => flags & judged == judged,
        }
    }

    /// What is wrong with an attribute that this rule refuses, as RFC 4271 section 6.3 has it.
    fn subcode(&self, attribute: &RawAttribute<'_>) -> UpdateFaultKind {
        match self.code {
            _ if !self.takes_flags(attribute.flags) => UpdateFaultKind::AttributeFlags,
            code::AS_PATH => UpdateFaultKind::MalformedAsPath,
            code::ORIGIN if attribute.value.len() == 1 => UpdateFaultKind::InvalidOrigin,
            // Of these nothing but the length can be wrong.
            code::ORIGIN
            | code::NEXT_HOP
            | code::MED
            | code::LOCAL_PREF
            | code::ORIGINATOR_ID
            | code::OTC => UpdateFaultKind::AttributeLength,
            _ => UpdateFaultKind::OptionalAttribute,
        }
    }
}

use Class::{OptionalNonTransitive, OptionalTransitive, WellKnown};
use Remedy::{DiscardAttribute, ResetSession, TreatAsWithdraw};

/// Every attribute that is recognized, by code: RFC 7606 section 7, and for later ones the RFC that defines them.
/// MP_REACH_NLRI and MP_UNREACH_NLRI have no check here: `update::mp` reads them, and what it cannot read resets.
pub static TABLE: [Rule; 19] = [
    Rule::new(code::ORIGIN, "ORIGIN", WellKnown, TreatAsWithdraw, origin::check),
    Rule::new(code::AS_PATH, "AS_PATH", WellKnown, TreatAsWithdraw, as_path::check),
    Rule::new(code::NEXT_HOP, "NEXT_HOP", WellKnown, TreatAsWithdraw, numbers::check_next_hop),
    Rule::new(code::MED, "MULTI_EXIT_DISC", OptionalNonTransitive, TreatAsWithdraw, numbers::check_med),
    Rule::new(code::LOCAL_PREF, "LOCAL_PREF", WellKnown, TreatAsWithdraw, numbers::check_local_pref)
        .only(Scope::InternalOnly),
    Rule::new(
        code::ATOMIC_AGGREGATE,
        "ATOMIC_AGGREGATE",
        WellKnown,
        DiscardAttribute,
        aggregator::check_atomic,
    ),
    Rule::new(code::AGGREGATOR, "AGGREGATOR", OptionalTransitive, DiscardAttribute, aggregator::check),
    Rule::new(code::COMMUNITIES, "COMMUNITIES", OptionalTransitive, TreatAsWithdraw, communities::check),
    Rule::new(
        code::ORIGINATOR_ID,
        "ORIGINATOR_ID",
        OptionalNonTransitive,
        TreatAsWithdraw,
        numbers::check_originator_id,
    )
    .only(Scope::InternalOnly),
    Rule::new(
        code::CLUSTER_LIST,
        "CLUSTER_LIST",
        OptionalNonTransitive,
        TreatAsWithdraw,
        numbers::check_cluster_list,
    )
    .only(Scope::InternalOnly),
    Rule::new(code::MP_REACH_NLRI, "MP_REACH_NLRI", OptionalNonTransitive, ResetSession, unchecked),
    Rule::new(code::MP_UNREACH_NLRI, "MP_UNREACH_NLRI", OptionalNonTransitive, ResetSession, unchecked),
    Rule::new(
        code::EXTENDED_COMMUNITIES,
        "EXTENDED COMMUNITIES",
        OptionalTransitive,
        TreatAsWithdraw,
        communities::check_extended,
    ),
    Rule::new(code::AS4_PATH, "AS4_PATH", OptionalTransitive, DiscardAttribute, as4::check_path)
        .only(Scope::TwoOctetOnly),
    Rule::new(
        code::AS4_AGGREGATOR,
        "AS4_AGGREGATOR",
        OptionalTransitive,
        DiscardAttribute,
        as4::check_aggregator,
    )
    .only(Scope::TwoOctetOnly),
    Rule::new(
        code::IPV6_EXTENDED_COMMUNITIES,
        "IPv6 EXTENDED COMMUNITIES",
        OptionalTransitive,
        TreatAsWithdraw,
        communities::check_ipv6_extended,
    ),
    // Without a switch for it, AIGP is off where RFC 7311 section 3.1 has it off: on external sessions.
    Rule::new(code::AIGP, "AIGP", OptionalNonTransitive, DiscardAttribute, aigp::check)
        .only(Scope::InternalOnly)
        .flags_cost(DiscardAttribute),
    Rule::new(
        code::LARGE_COMMUNITY,
        "LARGE_COMMUNITY",
        OptionalTransitive,
        TreatAsWithdraw,
        communities::check_large,
    ),
    Rule::new(code::OTC, "OTC", OptionalTransitive, TreatAsWithdraw, numbers::check_otc),
];

fn unchecked(_value: &[u8], _cx: &DecodeContext) -> Result<(), &'static str> {
    Ok(())
}

/// For each type code the place of its rule in [`TABLE`]; `u8::MAX` where it has none.
static INDEX: [u8; 256] = index();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler")]
const fn index() -> [u8; 256] {
    const CODES: [u8; 19] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 25, 26, 32, 35];
    let mut index = [u8::MAX; 256];
    let mut at = 0;
    while at < CODES.len() {
        index[CODES[at] as usize] = at as u8;
        at += 1;
    }
    index
}

/// What is known of the attribute with this type code.
pub fn rule(code: u8) -> Option<&'static Rule> {
    INDEX.get(usize::from(code)).and_then(|at| TABLE.get(usize::from(*at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_leads_to_its_own_rule() {
        for code in 0..=u8::MAX {
            let listed = TABLE.iter().find(|rule| rule.code == code).map(|rule| rule.name);
            assert_eq!(rule(code).map(|rule| rule.name), listed, "code {code}");
        }
    }

    #[test]
    fn flags_are_judged_by_class() {
        let takes = |code, flags| rule(code).unwrap().takes_flags(flags);
        assert!(takes(code::ORIGIN, 0x40) && takes(code::ORIGIN, 0x50));
        assert!(takes(code::ORIGIN, 0x4f), "the four low bits mean nothing");
        assert!(!takes(code::ORIGIN, 0x60) && !takes(code::ORIGIN, 0xc0) && !takes(code::ORIGIN, 0));
        assert!(takes(code::MED, 0x80) && !takes(code::MED, 0xa0) && !takes(code::MED, 0xc0));
        assert!(takes(code::MP_REACH_NLRI, 0xa0) && !takes(code::MP_REACH_NLRI, 0xc0));
        assert!(takes(code::COMMUNITIES, 0xe0) && !takes(code::COMMUNITIES, 0x80));
    }
}
