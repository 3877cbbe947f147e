//! One pass over the attributes of an UPDATE: RFC 7606 section 3 and 4.
//!
//! Owns the walk, the judgement by [`super::TABLE`] and the making of [`AttributeBytes`]. MP_REACH_NLRI and
//! MP_UNREACH_NLRI are handed on as octets; what they say is `update::mp`.

use std::net::Ipv4Addr;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::aggregator::Aggregator;
use super::as_path::{AsPath, Width};
use super::header::{self, RawAttribute, flags};
use super::set::AttributeBytes;
use super::{AttributeFault, Class, Remedy, Rule, Scope, as4, rule, write};
use crate::context::{DecodeContext, PeerKind};
use crate::iana::attribute as code;
use crate::read::share;
use crate::update::{UpdateFault, UpdateFaultKind};

/// Most octets of an attribute that a fault keeps.
const FAULT_OCTETS: usize = 64;

/// What the attributes of an UPDATE are.
#[derive(Debug, Default)]
pub(crate) struct Scan<'a> {
    /// NEXT_HOP, where it is well formed.
    pub(crate) next_hop: Option<Ipv4Addr>,
    /// MP_REACH_NLRI.
    pub(crate) mp_reach: Option<RawAttribute<'a>>,
    /// MP_UNREACH_NLRI.
    pub(crate) mp_unreach: Option<RawAttribute<'a>>,
    /// What was wrong.
    pub(crate) faults: Vec<AttributeFault>,
    /// What the first of them that costs routes costs where there are none: the session.
    pub(crate) reset: Option<UpdateFault>,
    seen: Seen,
    kept: SmallVec<[Range<usize>; 4]>,
    /// Type code of the last that is kept.
    last: u8,
    /// Whether those that are kept are out of order, or have flags that mean nothing.
    irregular: bool,
    two_octet: TwoOctet<'a>,
}

/// Attributes of a peer of two-octet numbers that have to be written anew.
#[derive(Debug, Default)]
struct TwoOctet<'a> {
    as_path: Option<&'a [u8]>,
    /// With its flags.
    aggregator: Option<(u8, &'a [u8])>,
    as4_path: Option<&'a [u8]>,
    as4_aggregator: Option<&'a [u8]>,
    /// What is written instead.
    merged: Option<Merged>,
}

/// AS_PATH and AGGREGATOR with four octets for each number.
#[derive(Debug)]
struct Merged {
    path: AsPath,
    /// With the flags that it came with.
    aggregator: Option<(u8, Aggregator)>,
}

/// Which type codes have occurred.
#[derive(Clone, Copy, Debug, Default)]
struct Seen([u64; 4]);

impl Seen {
    fn contains(self, code: u8) -> bool {
        self.0.get(usize::from(code >> 6)).is_some_and(|word| word & (1 << (code & 63)) != 0)
    }

    /// Whether `code` was not yet there.
    fn insert(&mut self, code: u8) -> bool {
        let fresh = !self.contains(code);
        if let Some(word) = self.0.get_mut(usize::from(code >> 6)) {
            *word |= 1 << (code & 63);
        }
        fresh
    }

    fn only(self, code: u8) -> bool {
        let mut only = Self::default();
        only.insert(code);
        self.0 == only.0
    }
}

/// An attribute that ends the session.
#[derive(Debug)]
pub(crate) enum Fatal {
    /// RFC 4271 section 6.3, "Unrecognized Well-known Attribute".
    UnrecognizedWellKnown(Bytes),
    /// MP_REACH_NLRI or MP_UNREACH_NLRI twice, RFC 7606 section 3 (g).
    RepeatedMp,
    /// MP_REACH_NLRI or MP_UNREACH_NLRI that overruns the list, so that no prefix is known: RFC 7606 section 3 (j).
    TruncatedMp,
}

impl<'a> Scan<'a> {
    /// Walks over `list`, a slice of `body`.
    pub(crate) fn run(&mut self, list: &'a [u8], body: &Bytes, cx: &DecodeContext) -> Result<(), Fatal> {
        let mut rest = list;
        while !rest.is_empty() {
            let Ok((after, attribute)) = header::attribute(rest) else {
                self.overrun(rest, body)?;
                break;
            };
            if self.judge(&attribute, body, cx)? {
                let end = list.len().saturating_sub(after.len());
                self.keep(&attribute, end.saturating_sub(attribute.octets.len())..end);
            }
            rest = after;
        }
        self.merge(body);
        Ok(())
    }

    /// Of a peer of two-octet numbers: what the attributes are with four. RFC 6793 section 4.2.3 wants the whole path, so one
    /// that no attribute has room for is malformed.
    fn merge(&mut self, body: &Bytes) {
        let Some(octets) = self.two_octet.as_path else { return };
        let merged = self.two_octet.merge(octets);
        if merged.path.encoded_len(Width::Four) > usize::from(u16::MAX) {
            let reason = "AS_PATH does not fit an attribute with four octets for each number";
            self.refuse(
                code::AS_PATH,
                UpdateFaultKind::MalformedAsPath,
                Remedy::TreatAsWithdraw,
                reason,
                share(body, octets),
            );
        } else {
            self.two_octet.merged = Some(merged);
        }
    }

    /// Whether an attribute of this type code was there, well formed or not.
    pub(crate) fn has(&self, code: u8) -> bool {
        self.seen.contains(code)
    }

    /// Whether there was nothing but MP_UNREACH_NLRI.
    pub(crate) fn is_mp_unreach_only(&self) -> bool {
        self.seen.only(code::MP_UNREACH_NLRI)
    }

    /// Whether there was no attribute at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.seen.0 == [0; 4]
    }

    /// Notes what was wrong.
    pub(crate) fn fault(&mut self, code: u8, remedy: Remedy, reason: &'static str, octets: Bytes) {
        let kept = octets.len().min(FAULT_OCTETS);
        self.faults.push(AttributeFault { code, remedy, reason, octets: octets.slice(..kept) });
    }

    /// Notes an attribute that is wrong, as `kind` of RFC 4271 section 6.3.
    fn refuse(
        &mut self,
        code: u8,
        kind: UpdateFaultKind,
        remedy: Remedy,
        reason: &'static str,
        octets: Bytes,
    ) {
        if remedy > Remedy::DiscardAttribute && self.reset.is_none() {
            let octets = if kind.has_data() { octets.clone() } else { Bytes::new() };
            self.reset = Some(UpdateFault { kind, reason, octets });
        }
        self.fault(code, remedy, reason, octets);
    }

    /// The remaining octets are no attribute: RFC 7606 section 4, treat-as-withdraw. Where they are too few for any, there is
    /// none of the type that they seem to name.
    fn overrun(&mut self, rest: &[u8], body: &Bytes) -> Result<(), Fatal> {
        let named = rest.get(1).copied().unwrap_or(0);
        let (code, reason) = match rest {
            [flags, code, _, after @ ..] if flags & flags::EXTENDED == 0 || !after.is_empty() => {
                (*code, "an attribute overruns the attribute list")
            }
            _ => (0, "the attribute list ends in octets that are too few for an attribute"),
        };
        self.seen.insert(code);
        if matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
            return Err(Fatal::TruncatedMp);
        }
        let kind = UpdateFaultKind::MalformedAttributeList;
        self.refuse(named, kind, Remedy::TreatAsWithdraw, reason, share(body, rest));
        Ok(())
    }

    /// Whether an attribute stays as it is.
    fn judge(
        &mut self,
        attribute: &RawAttribute<'a>,
        body: &Bytes,
        cx: &DecodeContext,
    ) -> Result<bool, Fatal> {
        let (code, octets) = (attribute.code, attribute.octets);
        if !self.seen.insert(code) {
            if matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                return Err(Fatal::RepeatedMp);
            }
            let reason = "the attribute occurs again";
            self.fault(code, Remedy::DiscardAttribute, reason, share(body, octets));
            return Ok(false);
        }
        let Some(rule) = rule(code) else {
            if attribute.flags & flags::OPTIONAL == 0 {
                return Err(Fatal::UnrecognizedWellKnown(share(body, octets)));
            }
            // "Unrecognized non-transitive optional attributes MUST be quietly ignored". RFC 4271 section 5.
            return Ok(attribute.flags & flags::TRANSITIVE != 0);
        };
        match check(rule, attribute, cx) {
            Ok(kept) => Ok(kept && self.take(attribute, cx)),
            Err((remedy, reason)) => {
                self.refuse(code, rule.subcode(attribute), remedy, reason, share(body, octets));
                // Wrong flags cost the session where the family is carried, which is for `update::mp` to say.
                if matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                    self.take(attribute, cx);
                }
                Ok(false)
            }
        }
    }

    /// Takes a good attribute to where it belongs; whether that is among those that stay as they are.
    fn take(&mut self, attribute: &RawAttribute<'a>, cx: &DecodeContext) -> bool {
        let value = attribute.value;
        match attribute.code {
            code::NEXT_HOP => self.next_hop = value.first_chunk::<4>().map(|octets| (*octets).into()),
            code::MP_REACH_NLRI => self.mp_reach = Some(*attribute),
            code::MP_UNREACH_NLRI => self.mp_unreach = Some(*attribute),
            code::AS_PATH if !cx.four_octet_as => self.two_octet.as_path = Some(value),
            code::AGGREGATOR if !cx.four_octet_as => {
                self.two_octet.aggregator = Some((attribute.flags, value));
            }
            code::AS4_PATH => self.two_octet.as4_path = Some(value),
            code::AS4_AGGREGATOR => self.two_octet.as4_aggregator = Some(value),
            _ => return true,
        }
        false
    }

    fn keep(&mut self, attribute: &RawAttribute<'_>, range: Range<usize>) {
        self.irregular |= attribute.code < self.last || attribute.flags != header::meant(attribute.flags);
        self.last = attribute.code;
        match self.kept.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => self.kept.push(range),
        }
    }

    /// What stays, as one run of octets: of `body` itself where nothing had to be taken out of the middle of `list`.
    pub(crate) fn to_bytes(&self, list: &[u8], body: &Bytes) -> AttributeBytes {
        let runs = self.kept.iter().filter_map(|range| list.get(range.clone()));
        let written_anew = self.irregular || self.two_octet.merged.is_some();
        match (self.kept.as_slice(), written_anew) {
            ([_], false) => AttributeBytes::new(runs.map(|run| share(body, run)).next().unwrap_or_default()),
            (_, false) => {
                // Exactly as long as it has to be, which makes it one allocation; NEXT_HOP is in the middle more often than
                // not.
                let mut out = Vec::with_capacity(self.kept.iter().map(Range::len).sum());
                runs.for_each(|run| out.extend_from_slice(run));
                AttributeBytes::new(out.into())
            }
            (_, true) => {
                let mut out = BytesMut::with_capacity(list.len().saturating_mul(2));
                runs.for_each(|run| out.extend_from_slice(run));
                if let Some(Merged { path, aggregator }) = &self.two_octet.merged {
                    write::put_merged(&mut out, path, *aggregator);
                }
                AttributeBytes::new(write::in_order(&out).freeze())
            }
        }
    }
}

impl TwoOctet<'_> {
    fn merge(&self, path: &[u8]) -> Merged {
        let (path, aggregator) = as4::merge(
            AsPath::decode(path, Width::Two),
            self.aggregator.and_then(|(_, value)| Aggregator::decode(value)),
            self.as4_path.map(|path| AsPath::decode(path, Width::Four)),
            self.as4_aggregator.and_then(Aggregator::decode),
        );
        let flags = self.aggregator.map_or(0, |(flags, _)| flags);
        Merged { path, aggregator: aggregator.map(|aggregator| (flags, aggregator)) }
    }
}

/// Judges an attribute by its rule: whether it is taken, or what is wrong and what that costs.
fn check(
    rule: &Rule,
    attribute: &RawAttribute<'_>,
    cx: &DecodeContext,
) -> Result<bool, (Remedy, &'static str)> {
    if !rule.takes_flags(attribute.flags) {
        let reason = match rule.class {
            Class::WellKnown => "the flags are not those of a well-known attribute",
            Class::OptionalTransitive => "the flags are not optional and transitive",
            Class::OptionalNonTransitive => "the flags are not optional and non-transitive",
        };
        return Err((rule.wrong_flags, reason));
    }
    let taken = match rule.scope {
        Scope::Any => true,
        Scope::InternalOnly => cx.peer == PeerKind::Internal,
        Scope::TwoOctetOnly => !cx.four_octet_as,
    };
    match (rule.check)(attribute.value, cx) {
        Ok(()) => Ok(taken),
        Err(reason) => Err((if taken { rule.malformed } else { Remedy::DiscardAttribute }, reason)),
    }
}
