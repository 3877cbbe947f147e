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
    seen: Seen,
    kept: SmallVec<[Range<usize>; 4]>,
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
                self.keep(end.saturating_sub(attribute.octets.len())..end);
            }
            rest = after;
        }
        Ok(())
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

    /// The remaining octets are no attribute: RFC 7606 section 4, treat-as-withdraw.
    fn overrun(&mut self, rest: &[u8], body: &Bytes) -> Result<(), Fatal> {
        let code = rest.get(1).copied().unwrap_or(0);
        self.seen.insert(code);
        if matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
            return Err(Fatal::TruncatedMp);
        }
        let reason = "an attribute overruns the attribute list";
        self.fault(code, Remedy::TreatAsWithdraw, reason, share(body, rest));
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
                self.fault(code, remedy, reason, share(body, octets));
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

    fn keep(&mut self, range: Range<usize>) {
        match self.kept.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => self.kept.push(range),
        }
    }

    /// What stays, as one run of octets: of `body` itself where nothing had to be taken out of the middle of `list`.
    pub(crate) fn to_bytes(&self, list: &[u8], body: &Bytes) -> AttributeBytes {
        let runs = self.kept.iter().filter_map(|range| list.get(range.clone()));
        match (self.kept.as_slice(), self.two_octet.as_path) {
            ([_], None) => AttributeBytes::new(runs.map(|run| share(body, run)).next().unwrap_or_default()),
            (_, None) => {
                // Exactly as long as it has to be, which makes it one allocation; NEXT_HOP is in the middle more often than
                // not.
                let mut out = Vec::with_capacity(self.kept.iter().map(Range::len).sum());
                runs.for_each(|run| out.extend_from_slice(run));
                AttributeBytes::new(out.into())
            }
            (_, Some(_)) => {
                let mut out = BytesMut::with_capacity(list.len().saturating_mul(2));
                runs.for_each(|run| out.extend_from_slice(run));
                self.two_octet.put_merged(&mut out);
                AttributeBytes::new(out.freeze())
            }
        }
    }
}

impl TwoOctet<'_> {
    fn put_merged(&self, out: &mut BytesMut) {
        let Some(path) = self.as_path else { return };
        let (path, aggregator) = as4::merge(
            AsPath::decode(path, Width::Two),
            self.aggregator.and_then(|(_, value)| Aggregator::decode(value)),
            self.as4_path.map(|path| AsPath::decode(path, Width::Four)),
            self.as4_aggregator.and_then(Aggregator::decode),
        );
        let flags = self.aggregator.map_or(0, |(flags, _)| flags);
        write::put_merged(out, &path, aggregator.map(|aggregator| (flags, aggregator)));
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
