//! NLRI: prefixes as an UPDATE carries them, RFC 4271 section 4.3, with path identifiers of RFC 7911.
//!
//! Owns the view over checked octets and the one check that makes it. Nothing is allocated to iterate.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, Bytes, BytesMut};

use crate::family::Family;
use crate::prefix::{Ipv4Prefix, Ipv6Prefix, Prefix};

/// Checked NLRI of one family, still as octets; iterating cannot fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nlri {
    family: Family,
    with_path_ids: bool,
    octets: Bytes,
}

/// One destination of an UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NlriEntry {
    /// The destination, host bits cleared.
    pub prefix: Prefix,
    /// RFC 7911 path identifier; zero where add-path is off.
    pub path_id: u32,
}

impl From<Prefix> for NlriEntry {
    fn from(prefix: Prefix) -> Self {
        Self { prefix, path_id: 0 }
    }
}

impl Nlri {
    /// Checks `octets`; `None` where a length is over that of the family or a prefix overruns the end.
    pub(crate) fn check(family: Family, with_path_ids: bool, octets: Bytes) -> Option<Self> {
        // The lengths are all that can be wrong; what the entries say is read when they are used.
        let (longest, before) = (family.address_bits(), if with_path_ids { 4 } else { 0 });
        let mut rest: &[u8] = &octets;
        while !rest.is_empty() {
            let len = rest.get(before).copied().filter(|len| *len <= longest)?;
            rest = rest.get(usize::from(len.div_ceil(8)).saturating_add(before).saturating_add(1)..)?;
        }
        Some(Self { family, with_path_ids, octets })
    }

    /// NLRI of one's own making. Entries of another family than `family` are left out.
    pub fn from_entries(
        family: Family,
        with_path_ids: bool,
        entries: impl IntoIterator<Item = NlriEntry>,
    ) -> Self {
        let mut out = BytesMut::new();
        for entry in entries.into_iter().filter(|entry| entry.prefix.family() == family) {
            put(&mut out, &entry, with_path_ids);
        }
        Self { family, with_path_ids, octets: out.freeze() }
    }

    /// The family of every entry.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether the entries carry path identifiers, RFC 7911.
    pub fn has_path_ids(&self) -> bool {
        self.with_path_ids
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// At least as many as there are entries.
    pub fn len_hint(&self) -> usize {
        self.octets.len()
    }

    /// The octets as on the wire.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// The prefixes where the family is IPv4, in the order sent.
    #[inline(always)]
    pub fn ipv4(&self) -> impl Iterator<Item = Ipv4Prefix> {
        self.of(Family::Ipv4Unicast).filter_map(|entry| match entry.prefix {
            Prefix::V4(prefix) => Some(prefix),
            Prefix::V6(_) => None,
        })
    }

    /// The prefixes where the family is IPv6, in the order sent.
    #[inline(always)]
    pub fn ipv6(&self) -> impl Iterator<Item = Ipv6Prefix> {
        self.of(Family::Ipv6Unicast).filter_map(|entry| match entry.prefix {
            Prefix::V4(_) => None,
            Prefix::V6(prefix) => Some(prefix),
        })
    }

    /// The entries where this is the family: nobody asks each of them for its own.
    #[inline(always)]
    fn of(&self, family: Family) -> Iter<'_> {
        let rest: &[u8] = if self.family == family { &self.octets } else { &[] };
        Iter { family, with_path_ids: self.with_path_ids, rest }
    }

    /// The entries, in the order sent.
    pub fn iter(&self) -> Iter<'_> {
        Iter { family: self.family, with_path_ids: self.with_path_ids, rest: &self.octets }
    }
}

impl<'a> IntoIterator for &'a Nlri {
    type Item = NlriEntry;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterates over [`Nlri`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    family: Family,
    with_path_ids: bool,
    rest: &'a [u8],
}

impl Iterator for Iter<'_> {
    type Item = NlriEntry;

    #[inline(always)]
    fn next(&mut self) -> Option<NlriEntry> {
        let (rest, entry) = entry(self.family, self.with_path_ids, self.rest)?;
        self.rest = rest;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(!self.rest.is_empty()), Some(self.rest.len()))
    }
}

/// One entry: path identifier, length in bits, as many octets as these bits need. By hand, since every prefix of a
/// table passes here; and never a call, for what it returns would be written in small pieces and read back in large ones,
/// which waits until everything written before has reached the cache.
#[inline(always)]
fn entry(family: Family, with_path_id: bool, input: &[u8]) -> Option<(&[u8], NlriEntry)> {
    let (input, path_id) = match with_path_id {
        true => input.split_first_chunk().map(|(id, rest)| (rest, u32::from_be_bytes(*id)))?,
        false => (input, 0),
    };
    let (len, input) = input.split_first()?;
    let (octets, rest) = input.split_at_checked(usize::from(len.div_ceil(8)))?;
    let prefix = match family {
        Family::Ipv4Unicast => Prefix::V4(Ipv4Prefix::new(Ipv4Addr::from(padded(octets, input)), *len)?),
        Family::Ipv6Unicast => Prefix::V6(Ipv6Prefix::new(Ipv6Addr::from(padded(octets, input)), *len)?),
    };
    Some((rest, NlriEntry { prefix, path_id }))
}

/// `octets` at the front of an address; what does not fit belongs to a length that the prefix refuses. `input` is
/// `octets` and what follows: where that is enough for an address it is taken whole, for the prefix clears the rest.
#[inline(always)]
fn padded<const N: usize>(octets: &[u8], input: &[u8]) -> [u8; N] {
    if let Some(whole) = input.first_chunk() {
        return *whole;
    }
    let mut address = [0; N];
    if let Some(front) = address.get_mut(..octets.len()) {
        front.copy_from_slice(octets);
    }
    address
}

/// Octets that [`put`] takes for `entry`.
pub(super) fn encoded_len(entry: &NlriEntry, with_path_id: bool) -> usize {
    let id = if with_path_id { 4 } else { 0 };
    usize::from(entry.prefix.len().div_ceil(8)).saturating_add(1).saturating_add(id)
}

/// Appends one entry.
pub(super) fn put(out: &mut BytesMut, entry: &NlriEntry, with_path_id: bool) {
    if with_path_id {
        out.put_u32(entry.path_id);
    }
    let len = entry.prefix.len();
    // Length and address at once: every prefix of a table passes here once for each peer.
    let mut octets = [0; 17];
    let [first, address @ ..] = &mut octets;
    *first = len;
    match entry.prefix {
        Prefix::V4(prefix) => {
            if let Some(front) = address.first_chunk_mut() {
                *front = prefix.address().octets();
            }
        }
        Prefix::V6(prefix) => *address = prefix.address().octets(),
    }
    out.put_slice(octets.get(..usize::from(len.div_ceil(8)).saturating_add(1)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn check(family: Family, with_path_ids: bool, octets: &[u8]) -> Option<Vec<String>> {
        let nlri = Nlri::check(family, with_path_ids, Bytes::copy_from_slice(octets))?;
        Some(nlri.iter().map(|entry| format!("{}#{}", entry.prefix, entry.path_id)).collect())
    }

    #[test]
    fn lengths_are_bounded_by_family_and_octets() {
        let v4 = |octets: &[u8]| check(Family::Ipv4Unicast, false, octets);
        assert_eq!(v4(&[]).unwrap(), Vec::<String>::new());
        assert_eq!(v4(&[0]).unwrap(), ["0.0.0.0/0#0"]);
        assert_eq!(v4(&[9, 10, 0xff, 32, 1, 2, 3, 4]).unwrap(), ["10.128.0.0/9#0", "1.2.3.4/32#0"]);
        assert_eq!(v4(&[33, 1, 2, 3, 4, 5]), None);
        assert_eq!(v4(&[255; 40]), None);
        assert_eq!(v4(&[24, 1, 2]), None);
        let v6 = |octets: &[u8]| check(Family::Ipv6Unicast, false, octets);
        assert_eq!(v6(&[33, 0x20, 1, 0xd, 0xb8, 0xff]).unwrap(), ["2001:db8:8000::/33#0"]);
        assert_eq!(v6(&[129; 18]), None);
    }

    #[test]
    fn path_identifiers_come_first() {
        let v4 = |octets: &[u8]| check(Family::Ipv4Unicast, true, octets);
        assert_eq!(v4(&[0, 0, 1, 0, 8, 10]).unwrap(), ["10.0.0.0/8#256"]);
        assert_eq!(v4(&[0, 0, 1]), None);
        assert_eq!(v4(&[0, 0, 0, 1]), None);
    }

    proptest! {
        #[test]
        fn entries_survive(
            entries in vec(testing::entry(Family::Ipv6Unicast), 0..20),
            others in vec(testing::entry(Family::Ipv4Unicast), 0..3),
            with_ids: bool,
        ) {
            let all = entries.iter().copied().chain(others);
            let nlri = Nlri::from_entries(Family::Ipv6Unicast, with_ids, all);
            prop_assert_eq!(nlri.octets().len(), entries.iter().map(|e| encoded_len(e, with_ids)).sum::<usize>());
            prop_assert!(nlri.iter().map(|e| e.prefix).eq(entries.iter().map(|e| e.prefix)));
            let six: Vec<Prefix> = nlri.ipv6().map(Prefix::from).collect();
            prop_assert!(six.iter().copied().eq(entries.iter().map(|e| e.prefix)) && nlri.ipv4().next().is_none());
            prop_assert!(!with_ids || nlri.iter().eq(entries.iter().copied()));
            prop_assert!(nlri.len_hint() >= entries.len() && nlri.is_empty() == entries.is_empty());
            let checked = Nlri::check(Family::Ipv6Unicast, with_ids, nlri.octets().clone());
            prop_assert_eq!(checked, Some(nlri));
        }
    }
}
