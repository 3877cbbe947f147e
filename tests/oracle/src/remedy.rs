//! What a fault costs, read a second time: RFC 4271 section 6.3 as RFC 7606 revises it, clause by clause over plain octets.
//!
//! routecore knows no remedies, so this is an own cursor. It shares nothing with `bgp-wire` but the context and the outcome
//! that it is compared with: no table of attributes, no parser, no type of a value. Where the RFCs leave a choice, the
//! clause says which one is taken, and the other decoder has to have taken the same.

use std::collections::BTreeSet;

use bgp_wire::attribute::Remedy;
use bgp_wire::{DecodeContext, Family, PeerKind, Update};

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The session ends.
    Reset,
    /// It goes on.
    Survives {
        /// The prefixes that go, in order.
        withdrawn: Vec<Entry>,
        /// The prefixes that come, in order.
        announced: Vec<Entry>,
        /// The attributes that were wrong, and whether all routes of the message go for it.
        faults: BTreeSet<(u8, bool)>,
    },
}

/// Family, path identifier, length, address.
type Entry = (bool, u32, u8, [u8; 16]);

/// What `bgp-wire` made of a body.
pub fn ours(body: &bytes::Bytes, cx: &DecodeContext) -> Outcome {
    let Ok(update) = bgp_wire::update::decode(body, cx) else { return Outcome::Reset };
    let (withdrawn, announced) = (entries_of(&update, false), entries_of(&update, true));
    let faults =
        update.faults.iter().map(|fault| (fault.code, fault.remedy == Remedy::TreatAsWithdraw)).collect();
    Outcome::Survives { withdrawn, announced, faults }
}

fn entries_of(update: &Update, announced: bool) -> Vec<Entry> {
    let nlri: Vec<_> = match announced {
        true => update.announced.iter().map(|announcement| &announcement.nlri).collect(),
        false => update.withdrawn.iter().collect(),
    };
    let mut entries: Vec<Entry> = nlri
        .into_iter()
        .flatten()
        .map(|entry| {
            let mut address = [0; 16];
            match entry.prefix.address() {
                std::net::IpAddr::V4(v4) => address[..4].copy_from_slice(&v4.octets()),
                std::net::IpAddr::V6(v6) => address = v6.octets(),
            }
            (entry.prefix.family() == Family::Ipv6Unicast, entry.path_id, entry.prefix.len(), address)
        })
        .collect();
    entries.sort_unstable();
    entries
}

/// What RFC 7606 makes of a body.
pub fn theirs(body: &[u8], cx: &DecodeContext) -> Outcome {
    match Reader::default().read(body, cx) {
        None => Outcome::Reset,
        Some(outcome) => outcome,
    }
}

#[derive(Default)]
struct Reader {
    seen: BTreeSet<u8>,
    faults: BTreeSet<(u8, bool)>,
    /// MP_REACH_NLRI: entries of a family that is spoken, whether its next hop was agreed on, whether there are any octets.
    reach: Option<(Vec<Entry>, bool, bool)>,
    unreach: Vec<Entry>,
}

impl Reader {
    /// `None` is a session reset.
    fn read(mut self, body: &[u8], cx: &DecodeContext) -> Option<Outcome> {
        // Section 3 (b): sections that are longer than the message.
        let (withdrawn, rest) = section(body)?;
        let (attributes, nlri) = section(rest)?;
        // Section 3 (i) and 5.3: both fields have to be readable, whether the family is spoken or not; (j): else the
        // session ends.
        let ipv4 = Family::Ipv4Unicast;
        let mut gone = entries(withdrawn, ipv4, cx)?;
        let mut come = entries(nlri, ipv4, cx)?;
        if !cx.families[ipv4] {
            (gone, come) = (Vec::new(), Vec::new());
        }
        self.attributes(attributes, cx)?;
        let (reach, agreed, octets) = self.reach.take().unwrap_or_default();
        self.missing(nlri, octets);
        if !reach.is_empty() && !agreed {
            // The next hop has a length that RFC 8950 knows and the session does not: the prefixes are certain.
            self.faults.insert((14, true));
        }
        gone.append(&mut self.unreach);
        come.extend(reach);
        if self.faults.iter().any(|(_, withdraw)| *withdraw) {
            // Section 5.2: attributes other than MP_UNREACH_NLRI and nothing reachable.
            let reachable = octets || !nlri.is_empty();
            if !reachable && self.seen.iter().any(|code| *code != 15) {
                return None;
            }
            gone.append(&mut come);
        }
        gone.sort_unstable();
        come.sort_unstable();
        Some(Outcome::Survives { withdrawn: gone, announced: come, faults: self.faults })
    }

    /// Section 3 (d). NEXT_HOP belongs to the classic field alone, RFC 4760 section 3.
    fn missing(&mut self, nlri: &[u8], reach: bool) {
        let mandatory: &[u8] = match (nlri.is_empty(), reach) {
            (false, _) => &[1, 2, 3],
            (true, true) => &[1, 2],
            (true, false) => &[],
        };
        for code in mandatory.iter().filter(|code| !self.seen.contains(*code)) {
            self.faults.insert((*code, true));
        }
    }

    fn attributes(&mut self, mut list: &[u8], cx: &DecodeContext) -> Option<()> {
        while !list.is_empty() {
            let Some((flags, code, value, rest)) = attribute(list) else {
                // Section 4: what is left is an attribute that overruns the list, or too short for the smallest one, whose type
                // it cannot have.
                let smallest = if list[0] & 0x10 == 0 { 3 } else { 4 };
                let code = if list.len() < smallest { 0 } else { list[1] };
                self.seen.insert(code);
                self.faults.insert((list.get(1).copied().unwrap_or(0), true));
                // Section 3 (j): its prefixes cannot be read.
                return (code != 14 && code != 15).then_some(());
            };
            list = rest;
            if !self.seen.insert(code) {
                // Section 3 (g).
                if code == 14 || code == 15 {
                    return None;
                }
                self.faults.insert((code, false));
                continue;
            }
            self.attribute(flags, code, value, cx)?;
        }
        Some(())
    }

    fn attribute(&mut self, flags: u8, code: u8, value: &[u8], cx: &DecodeContext) -> Option<()> {
        let (optional, transitive, partial) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0);
        // Flags: well-known attributes are transitive, neither optional nor partial, and what is not transitive is not partial
        // (RFC 4271 section 4.3). Where the session is at stake, section 3 (c) counts, which does not name Partial.
        let flags_fit = match code {
            1 | 2 | 3 | 5 | 6 => !optional && transitive && !partial,
            4 | 9 | 10 | 26 => optional && !transitive && !partial,
            14 | 15 => optional && !transitive,
            7 | 8 | 16 | 17 | 18 | 25 | 32 | 35 => optional && transitive,
            // RFC 4271 section 6.3, which RFC 7606 leaves as it is: a well-known attribute that is not recognized.
            _ => return optional.then_some(()),
        };
        // RFC 4760 section 7, RFC 7606 sections 5.3, 7.11, 7.12; the flags are among what 5.3 lists. A family that is ignored
        // is one that section 2 calls disabled: there section 3 (c) counts for the flags.
        let afi_safi = value.get(..3).unwrap_or_default();
        if matches!(code, 14 | 15) && !flags_fit && spoken(afi_safi, cx).is_some() {
            return None;
        }
        match code {
            14 => self.reach = Some(reach(value, cx)?),
            15 => self.unreach = unreach(value, cx)?,
            _ => {}
        }
        match code {
            // RFC 7311 section 3: AIGP's flags and value cost AIGP.
            26 if !flags_fit => self.fault(code, false),
            // Section 3 (c).
            _ if !flags_fit => self.fault(code, true),
            _ if value_fits(code, value, cx.four_octet_as) => {}
            // Sections 7.5, 7.9, 7.10, RFC 7311 section 3.1: not for external peers. RFC 6793 section 4.1: not between
            // peers of long numbers. They are discarded in any case, which is no fault where they are well-formed.
            5 | 9 | 10 if cx.peer == PeerKind::External => self.fault(code, false),
            // Sections 7.6, 7.7; RFC 6793 section 6; RFC 7311 section 3.
            6 | 7 | 17 | 18 | 26 => self.fault(code, false),
            // Sections 7.1 to 7.4, 7.8, 7.14, 7.15; RFC 8092 section 6; RFC 9234 section 5.
            _ => self.fault(code, true),
        }
        Some(())
    }

    fn fault(&mut self, code: u8, withdraw: bool) {
        self.faults.insert((code, withdraw));
    }
}

/// Whether a value is one that its attribute may have.
fn value_fits(code: u8, value: &[u8], wide: bool) -> bool {
    let whole = |unit: usize| !value.is_empty() && value.len().is_multiple_of(unit);
    match code {
        1 => value.len() == 1 && value[0] <= 2,
        2 => path(value, if wide { 4 } else { 2 }, false),
        3 | 4 | 5 | 9 | 35 => value.len() == 4,
        6 => value.is_empty(),
        // AS 0: RFC 7607 section 2.
        7 => {
            value.len() == if wide { 8 } else { 6 }
                && value[..value.len() - 4].iter().any(|octet| *octet != 0)
        }
        8 | 10 => whole(4),
        16 => whole(8),
        17 => path(value, 4, true),
        18 => value.len() == 8 && value[..4] != [0; 4],
        25 => whole(20),
        26 => aigp(value),
        32 => whole(12),
        _ => true,
    }
}

/// Section 7.2, and AS 0 by RFC 7607 section 2. AS4_PATH has to have a segment, RFC 6793 section 6.
fn path(mut value: &[u8], octets: usize, as4: bool) -> bool {
    if as4 && value.is_empty() {
        return false;
    }
    while !value.is_empty() {
        let [kind, count, rest @ ..] = value else { return false };
        let length = usize::from(*count) * octets;
        if !(1..=4).contains(kind) || *count == 0 || rest.len() < length {
            return false;
        }
        if rest[..length].chunks(octets).any(|asn| asn.iter().all(|octet| *octet == 0)) {
            return false;
        }
        value = &rest[length..];
    }
    true
}

/// RFC 7311 section 3: TLVs of at least three octets, of which those of type 1 have eleven; section 3.2: the first of these
/// is not the largest number; RFC 7606 section 4: not nothing.
fn aigp(mut value: &[u8]) -> bool {
    if value.is_empty() {
        return false;
    }
    let mut first = true;
    while !value.is_empty() {
        let [kind, high, low, ..] = value else { return false };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length < 3 || length > value.len() || *kind == 1 && length != 11 {
            return false;
        }
        if *kind == 1 && std::mem::take(&mut first) && value[3..length] == [0xff; 8] {
            return false;
        }
        value = &value[length..];
    }
    true
}

fn section(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let [high, low, rest @ ..] = octets else { return None };
    rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
}

fn attribute(list: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let [flags, code, rest @ ..] = list else { return None };
    let (length, rest) = match (flags & 0x10 != 0, rest) {
        (true, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        (false, [length, rest @ ..]) => (usize::from(*length), rest),
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*flags, *code, value, rest))
}

/// The family, where it is spoken.
fn spoken(afi_safi: &[u8], cx: &DecodeContext) -> Option<Family> {
    let family = match afi_safi {
        [0, 1, 1] => Family::Ipv4Unicast,
        [0, 2, 1] => Family::Ipv6Unicast,
        _ => return None,
    };
    cx.families[family].then_some(family)
}

fn reach(value: &[u8], cx: &DecodeContext) -> Option<(Vec<Entry>, bool, bool)> {
    let (head, rest) = value.split_at_checked(4)?;
    let (next_hop, rest) = rest.split_at_checked(usize::from(head[3]))?;
    let (_reserved, nlri) = rest.split_at_checked(1)?;
    let Some(family) = spoken(&head[..3], cx) else { return Some((Vec::new(), true, !nlri.is_empty())) };
    let agreed = match (family, next_hop.len()) {
        (Family::Ipv4Unicast, 4) | (Family::Ipv6Unicast, 16 | 32) => true,
        (Family::Ipv4Unicast, 16 | 32) => cx.extended_next_hop[family],
        _ => return None,
    };
    Some((entries(nlri, family, cx)?, agreed, !nlri.is_empty()))
}

fn unreach(value: &[u8], cx: &DecodeContext) -> Option<Vec<Entry>> {
    let (head, nlri) = value.split_at_checked(3)?;
    match spoken(head, cx) {
        Some(family) => entries(nlri, family, cx),
        None => Some(Vec::new()),
    }
}

/// Section 5.3; host bits mean nothing, RFC 4271 section 4.3.
fn entries(mut octets: &[u8], family: Family, cx: &DecodeContext) -> Option<Vec<Entry>> {
    let (v6, most) = (family == Family::Ipv6Unicast, if family == Family::Ipv6Unicast { 128 } else { 32 });
    let mut found = Vec::new();
    while !octets.is_empty() {
        let mut path_id = 0;
        if cx.add_path[family] {
            let (id, rest) = octets.split_first_chunk::<4>()?;
            (path_id, octets) = (u32::from_be_bytes(*id), rest);
        }
        let (&length, rest) = octets.split_first()?;
        let (prefix, rest) = rest.split_at_checked(usize::from(length.div_ceil(8)))?;
        if length > most {
            return None;
        }
        let mut address = [0; 16];
        address[..prefix.len()].copy_from_slice(prefix);
        if length % 8 != 0 {
            address[prefix.len() - 1] &= 0xff << (8 - length % 8);
        }
        found.push((v6, path_id, length, address));
        octets = rest;
    }
    Some(found)
}
