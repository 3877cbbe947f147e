//! An UPDATE as its author would think of it, and the octets of it: RFC 4271 section 4.3, RFC 4760.
//!
//! `arbitrary` makes the values. [`Damage`] is what makes a part of it wrong: other flags, a length that lies, octets too
//! many or too few.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// A whole body, and the context in which it is read.
#[derive(Debug, Arbitrary)]
pub struct Message {
    /// As [`crate::context`] reads it.
    pub context: u8,
    withdrawn: Vec<Entry>,
    attributes: Vec<(Attribute, Option<Damage>)>,
    announced: Vec<Entry>,
    /// Added to the length of the withdrawn routes and of the attributes.
    lies: Option<(i8, i8)>,
}

#[derive(Debug, Arbitrary)]
struct Entry {
    len: u8,
    address: [u8; 16],
    path_id: u32,
}

#[derive(Debug, Arbitrary)]
enum Attribute {
    Origin(u8),
    AsPath(Vec<Segment>),
    NextHop([u8; 4]),
    Med(u32),
    LocalPref(u32),
    AtomicAggregate,
    Aggregator(u32, [u8; 4]),
    Communities(Vec<u32>),
    OriginatorId([u8; 4]),
    ClusterList(Vec<[u8; 4]>),
    Reach { family: Family, next_hop: Hop, entries: Vec<Entry> },
    Unreach { family: Family, entries: Vec<Entry> },
    Extended(Vec<[u8; 8]>),
    As4Path(Vec<Segment>),
    As4Aggregator(u32, [u8; 4]),
    ExtendedIpv6(Vec<[u8; 20]>),
    Aigp(u64),
    Large(Vec<[u8; 12]>),
    Otc(u32),
    Other { flags: u8, code: u8, value: Vec<u8> },
}

#[derive(Debug, Arbitrary)]
enum Segment {
    /// Real paths are made of these.
    Sequence(Vec<u32>),
    Other(u8, Vec<u32>),
}

#[derive(Debug, Arbitrary)]
enum Family {
    Ipv4,
    Ipv6,
    Other(u16, u8),
}

#[derive(Debug, Arbitrary)]
enum Hop {
    V4([u8; 4]),
    V6([u8; 14]),
    Pair([u8; 14], [u8; 8]),
    Other(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
struct Damage {
    flags: u8,
    /// Added to the length.
    lie: i8,
    /// Added to the value.
    tail: Vec<u8>,
    /// Taken from the value.
    cut: u8,
}

impl Message {
    /// The octets.
    pub fn body(&self) -> Vec<u8> {
        let (wide, add_path) = (self.context & 1 != 0, self.context & 2 != 0);
        let (lie, other) = self.lies.unwrap_or_default();
        let mut body = Vec::new();
        let withdrawn = entries(&self.withdrawn, 4, add_path);
        let attributes: Vec<u8> = self
            .attributes
            .iter()
            .flat_map(|(attribute, damage)| attribute.octets(damage.as_ref(), wide, add_path))
            .collect();
        body.extend(lied(withdrawn.len(), lie));
        body.extend(withdrawn);
        body.extend(lied(attributes.len(), other));
        body.extend(attributes);
        body.extend(entries(&self.announced, 4, add_path));
        body
    }
}

fn lied(len: usize, lie: i8) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).saturating_add_signed(lie.into()).to_be_bytes()
}

/// Prefixes without host bits; now and then one that is longer than its address.
fn entries(entries: &[Entry], octets: u8, add_path: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        if add_path {
            out.extend(entry.path_id.to_be_bytes());
        }
        let bits = octets * 8;
        let len = if entry.len == u8::MAX { bits + 1 } else { entry.len % (bits + 1) };
        out.push(len);
        let mut address = entry.address.to_vec();
        address.resize(usize::from(len.div_ceil(8)), 0);
        if let (Some(last), used @ 1..) = (address.last_mut(), len % 8) {
            *last &= 0xff << (8 - used);
        }
        out.extend(address);
    }
    out
}

impl Family {
    fn code(&self) -> (u16, u8, u8) {
        match self {
            Self::Ipv4 => (1, 1, 4),
            Self::Ipv6 => (2, 1, 16),
            Self::Other(afi, safi) => (*afi, *safi, if *afi == 1 { 4 } else { 16 }),
        }
    }
}

impl Hop {
    fn octets(&self) -> Vec<u8> {
        match self {
            Self::V4(address) => address.to_vec(),
            Self::V6(tail) => [&[0x20, 1][..], tail].concat(),
            Self::Pair(tail, id) => [&[0x20, 1][..], tail, &[0xfe, 0x80, 0, 0, 0, 0, 0, 0], id].concat(),
            Self::Other(octets) => octets[..octets.len().min(255)].to_vec(),
        }
    }
}

fn path(segments: &[Segment], wide: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in segments {
        let (kind, asns) = match segment {
            Segment::Sequence(asns) => (2, asns),
            Segment::Other(kind, asns) => (kind % 6, asns),
        };
        let asns = &asns[..asns.len().min(255)];
        out.extend([kind, asns.len() as u8]);
        asns.iter().for_each(|asn| out.extend(number(*asn, wide)));
    }
    out
}

fn number(asn: u32, wide: bool) -> Vec<u8> {
    if wide { asn.to_be_bytes().to_vec() } else { (asn as u16).to_be_bytes().to_vec() }
}

impl Attribute {
    /// Flags, type code and value as the RFC that defines it has them.
    fn parts(&self, wide: bool, add_path: bool) -> (u8, u8, Vec<u8>) {
        const WELL_KNOWN: u8 = 0x40;
        const OPTIONAL: u8 = 0x80;
        const TRANSITIVE: u8 = 0xc0;
        match self {
            Self::Origin(origin) => (WELL_KNOWN, 1, vec![origin % 4]),
            Self::AsPath(segments) => (WELL_KNOWN, 2, path(segments, wide)),
            Self::NextHop(address) => (WELL_KNOWN, 3, address.to_vec()),
            Self::Med(med) => (OPTIONAL, 4, med.to_be_bytes().to_vec()),
            Self::LocalPref(preference) => (WELL_KNOWN, 5, preference.to_be_bytes().to_vec()),
            Self::AtomicAggregate => (WELL_KNOWN, 6, Vec::new()),
            Self::Aggregator(asn, router) => (TRANSITIVE, 7, [&number(*asn, wide)[..], router].concat()),
            Self::Communities(list) => (TRANSITIVE, 8, list.iter().flat_map(|c| c.to_be_bytes()).collect()),
            Self::OriginatorId(id) => (OPTIONAL, 9, id.to_vec()),
            Self::ClusterList(list) => (OPTIONAL, 10, list.concat()),
            Self::Reach { family, next_hop, entries: list } => {
                let (afi, safi, octets) = family.code();
                let (hop, mut value) = (next_hop.octets(), afi.to_be_bytes().to_vec());
                value.extend([safi, hop.len() as u8]);
                value.extend(hop);
                value.push(0);
                value.extend(entries(list, octets, add_path));
                (OPTIONAL, 14, value)
            }
            Self::Unreach { family, entries: list } => {
                let (afi, safi, octets) = family.code();
                let mut value = afi.to_be_bytes().to_vec();
                value.push(safi);
                value.extend(entries(list, octets, add_path));
                (OPTIONAL, 15, value)
            }
            Self::Extended(list) => (TRANSITIVE, 16, list.concat()),
            Self::As4Path(segments) => (TRANSITIVE, 17, path(segments, true)),
            Self::As4Aggregator(asn, router) => (TRANSITIVE, 18, [&asn.to_be_bytes()[..], router].concat()),
            Self::ExtendedIpv6(list) => (TRANSITIVE, 25, list.concat()),
            Self::Aigp(metric) => (OPTIONAL, 26, [&[1, 0, 11][..], &metric.to_be_bytes()].concat()),
            Self::Large(list) => (TRANSITIVE, 32, list.concat()),
            Self::Otc(asn) => (TRANSITIVE, 35, asn.to_be_bytes().to_vec()),
            Self::Other { flags, code, value } => (*flags, *code, value.clone()),
        }
    }

    fn octets(&self, damage: Option<&Damage>, wide: bool, add_path: bool) -> Vec<u8> {
        let (mut flags, code, mut value) = self.parts(wide, add_path);
        let mut lie = 0;
        if let Some(damage) = damage {
            flags ^= damage.flags & 0xf0;
            value.truncate(value.len().saturating_sub(damage.cut.into()));
            value.extend_from_slice(&damage.tail);
            lie = damage.lie;
        }
        let len = lied(value.len(), lie);
        if value.len() > 255 || flags & 0x10 != 0 {
            [&[flags | 0x10, code], &len[..], &value].concat()
        } else {
            [&[flags, code, len[1]], &value[..]].concat()
        }
    }
}
