//! Attribute sets as received, each held once with its next hop.
//!
//! The key is the canonical octets of the UPDATE, so a set is interned once for each UPDATE and never parsed twice: what
//! the checks and the selection look at most is drawn out when a set is first seen. The octets themselves are in an arena.

use std::hash::BuildHasher;

use bgp_wire::attribute::as_path::{self, SegmentKind};
use bgp_wire::attribute::{AttributeSlice, Origin, RawAttribute, link_bandwidth};
use bgp_wire::iana::attribute as code;
use bgp_wire::iana::community::{LLGR_STALE, NO_LLGR};
use bgp_wire::{Asn, AttributeBytes, RouterId, ScopedNextHop};

use crate::arena::{Arena, Owners, Spot};
use crate::interned::{Interned, NONE};
use crate::next_hops::NextHops;
use crate::seed::Seed;

/// Well-known communities, RFC 1997 and RFC 8326.
pub(crate) const GRACEFUL_SHUTDOWN: u32 = 0xFFFF_0000;
const NO_EXPORT: u32 = 0xFFFF_FF01;
const NO_ADVERTISE: u32 = 0xFFFF_FF02;
const NO_EXPORT_SUBCONFED: u32 = 0xFFFF_FF03;

/// How far a route may be announced, RFC 1997.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// To everybody.
    Any,
    /// Not to external peers: NO_EXPORT. NO_EXPORT_SUBCONFED is the same here, since we are in no confederation.
    OwnAs,
    /// To nobody: NO_ADVERTISE.
    Nobody,
}

/// Parts of the index: of a million sets one has a thousand.
const SHARDS: usize = 1024;

/// What the checks and the selection look at, drawn out once: 12 octets. What few routes have is read when it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    /// Meaningless without its flag.
    neighbor_as: u32,
    /// For selection; the longest that a message can hold fits.
    path_len: u16,
    flags: u16,
    /// How often our own AS is in the AS_PATH.
    pub(crate) own_as: u8,
    origin: Origin,
}

const HAS_LOCAL_PREF: u16 = 1;
const HAS_NEIGHBOR: u16 = 1 << 1;
const REFLECTED: u16 = 1 << 2;
const SHUTDOWN: u16 = 1 << 3;
const OWN_AS_ONLY: u16 = 1 << 4;
const NOBODY: u16 = 1 << 5;
const HAS_BANDWIDTH: u16 = 1 << 6;
const LONG_STALE: u16 = 1 << 7;
const NOT_FOR_LONG: u16 = 1 << 8;
const HAS_MED: u16 = 1 << 9;
const CONFEDERATION: u16 = 1 << 10;

impl Summary {
    fn new(set: AttributeSlice<'_>, us: Asn) -> Self {
        let none = Self::default();
        set.iter().fold(none, |summary, attribute| summary.with(&attribute, us))
    }

    fn with(mut self, attribute: &RawAttribute<'_>, us: Asn) -> Self {
        match attribute.code {
            code::ORIGIN => {
                let origin = attribute.value.first().copied().and_then(Origin::from_octet);
                self.origin = origin.unwrap_or_default();
            }
            code::AS_PATH => self.take_path(attribute.value, us),
            code::MED => self.flags |= HAS_MED,
            code::LOCAL_PREF => self.flags |= HAS_LOCAL_PREF,
            code::COMMUNITIES => {
                for community in attribute.value.as_chunks().0 {
                    self.flags |= match u32::from_be_bytes(*community) {
                        GRACEFUL_SHUTDOWN => SHUTDOWN,
                        NO_EXPORT | NO_EXPORT_SUBCONFED => OWN_AS_ONLY,
                        NO_ADVERTISE => NOBODY,
                        LLGR_STALE => LONG_STALE,
                        NO_LLGR => NOT_FOR_LONG,
                        _ => 0,
                    };
                }
            }
            code::EXTENDED_COMMUNITIES if bandwidth_in(attribute.value).is_some() => {
                self.flags |= HAS_BANDWIDTH;
            }
            code::ORIGINATOR_ID | code::CLUSTER_LIST => self.flags |= REFLECTED,
            _ => {}
        }
        self
    }

    fn take_path(&mut self, value: &[u8], us: Asn) {
        let (mut length, mut own) = (0usize, 0usize);
        let mut first_outside = true;
        for (kind, asns) in as_path::segments(value) {
            own += asns.iter().filter(|asn| u32::from_be_bytes(**asn) == us.0).count();
            match kind {
                SegmentKind::Set => length += 1,
                SegmentKind::Sequence => length += asns.len(),
                SegmentKind::Confederation => {
                    self.flags |= CONFEDERATION;
                    continue;
                }
            }
            if let (SegmentKind::Sequence, true, Some(asn)) = (kind, first_outside, asns.first()) {
                self.neighbor_as = u32::from_be_bytes(*asn);
                self.flags |= HAS_NEIGHBOR;
            }
            first_outside = false;
        }
        self.path_len = u16::try_from(length).unwrap_or(u16::MAX);
        self.own_as = u8::try_from(own).unwrap_or(u8::MAX);
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn neighbor_as(&self) -> Option<Asn> {
        self.has(HAS_NEIGHBOR).then_some(Asn(self.neighbor_as))
    }

    /// Whether the AS_PATH has segments that do not leave a confederation, RFC 5065.
    pub(crate) fn has_confederation(&self) -> bool {
        self.has(CONFEDERATION)
    }

    pub(crate) fn path_len(&self) -> u32 {
        u32::from(self.path_len)
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn graceful_shutdown(&self) -> bool {
        self.has(SHUTDOWN)
    }

    /// Nobody has confirmed it for longer than a restart takes: the last choice, RFC 9494.
    pub(crate) fn llgr_stale(&self) -> bool {
        self.has(LONG_STALE)
    }

    /// It is not to be kept for longer than a restart takes, RFC 9494.
    pub(crate) fn no_llgr(&self) -> bool {
        self.has(NOT_FOR_LONG)
    }

    /// Whether neither communities nor age keep it from anybody.
    #[inline]
    pub(crate) fn goes_anywhere(&self) -> bool {
        !self.has(NOBODY | OWN_AS_ONLY | LONG_STALE)
    }

    /// How far communities let it go.
    pub(crate) fn scope(&self) -> Scope {
        if self.has(NOBODY) {
            Scope::Nobody
        } else if self.has(OWN_AS_ONLY) {
            Scope::OwnAs
        } else {
            Scope::Any
        }
    }
}

/// Ours: of several the smallest, which overloads nobody.
fn bandwidth_in(extended: &[u8]) -> Option<f32> {
    extended.as_chunks().0.iter().filter_map(|community| link_bandwidth(*community)).reduce(f32::min)
}

/// What a route reflector has added, RFC 4456 section 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Reflection {
    pub(crate) originator: Option<u32>,
    pub(crate) cluster_len: u32,
    /// Our own identifier is in the CLUSTER_LIST.
    pub(crate) cluster_is_ours: bool,
}

impl Reflection {
    fn new(set: AttributeSlice<'_>, us: RouterId) -> Self {
        set.iter().fold(Self::default(), |mut reflection, attribute| {
            let numbers = attribute.value.as_chunks().0;
            let mut numbers = numbers.iter().map(|octets| u32::from_be_bytes(*octets));
            match attribute.code {
                code::ORIGINATOR_ID => reflection.originator = numbers.next(),
                code::CLUSTER_LIST => {
                    reflection.cluster_len = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                    reflection.cluster_is_ours = numbers.any(|id| id == us.bits());
                }
                _ => {}
            }
            reflection
        })
    }
}

/// One set; it holds its next hop.
#[derive(Clone, Copy, Debug)]
struct Stored {
    spot: Spot,
    hop: u32,
    summary: Summary,
}

impl Owners for Interned<Stored> {
    fn spot(&mut self, owner: u32) -> Option<&mut Spot> {
        self.get_mut(owner).map(|set| &mut set.spot)
    }
}

/// One set, borrowed; its octets are not looked at before something of them is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttributeSet<'a> {
    arena: &'a Arena,
    spot: Spot,
    pub(crate) hop: u32,
    pub(crate) summary: Summary,
}

impl<'a> AttributeSet<'a> {
    pub(crate) fn octets(&self) -> AttributeSlice<'a> {
        AttributeSlice::of_octets(self.arena.get(self.spot))
    }

    /// LOCAL_PREF, if it is there.
    pub(crate) fn local_pref(&self) -> Option<u32> {
        if self.summary.has(HAS_LOCAL_PREF) { self.number(code::LOCAL_PREF) } else { None }
    }

    /// MULTI_EXIT_DISC; zero without.
    pub(crate) fn med(&self) -> u32 {
        if self.summary.has(HAS_MED) { self.number(code::MED).unwrap_or(0) } else { 0 }
    }

    /// What a route reflector has added.
    pub(crate) fn reflection(&self, us: RouterId) -> Reflection {
        if self.summary.has(REFLECTED) { Reflection::new(self.octets(), us) } else { Reflection::default() }
    }

    /// Octets a second that the link behind the next hop can carry, draft-ietf-idr-link-bandwidth.
    pub(crate) fn bandwidth(&self) -> Option<f32> {
        if self.summary.has(HAS_BANDWIDTH) {
            bandwidth_in(self.value(code::EXTENDED_COMMUNITIES))
        } else {
            None
        }
    }

    fn as_path(&self) -> &'a [u8] {
        self.value(code::AS_PATH)
    }

    fn number(&self, code: u8) -> Option<u32> {
        self.value(code).first_chunk().map(|octets| u32::from_be_bytes(*octets))
    }

    fn value(&self, code: u8) -> &'a [u8] {
        let found = self.octets().iter().find(|attribute| attribute.code == code);
        found.map_or(&[], |attribute| attribute.value)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct AttributeSets {
    sets: Interned<Stored>,
    arena: Arena,
    seed: Seed,
    us: Asn,
}

impl AttributeSets {
    pub(crate) fn new(seed: Seed, us: Asn) -> Self {
        Self { sets: Interned::new(SHARDS), arena: Arena::default(), seed, us }
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The id of this set, with one more holder; [`NONE`] where there is no room for another one.
    pub(crate) fn intern(
        &mut self,
        octets: &AttributeBytes,
        next_hop: ScopedNextHop,
        hops: &mut NextHops,
    ) -> u32 {
        let hop = hops.intern(next_hop);
        let octets = octets.as_slice();
        let (hash, arena) = (hash(self.seed, octets, hop), &self.arena);
        let same = |set: &Stored| set.hop == hop && arena.get(set.spot) == octets.octets();
        if let Some(id) = self.sets.hold_same(hash, same) {
            hops.release(hop);
            return id;
        }
        let Some(spot) = self.arena.store(self.sets.next_id(), octets.octets()) else {
            hops.release(hop);
            return NONE;
        };
        self.sets.add(hash, Stored { spot, hop, summary: Summary::new(octets, self.us) })
    }

    /// The id of this set with one community more, held once more; the same set where there is none.
    pub(crate) fn with_community(&mut self, id: u32, community: u32, hops: &mut NextHops) -> u32 {
        let found = self.get(id).and_then(|set| Some((set.octets().parse(), hops.key(set.hop)?)));
        let Some((mut attributes, next_hop)) = found else {
            self.hold(id);
            return id;
        };
        attributes.communities.push(community);
        match self.intern(&attributes.to_bytes(), next_hop, hops) {
            NONE => {
                self.hold(id);
                id
            }
            changed => changed,
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: u32) -> Option<AttributeSet<'_>> {
        let Stored { spot, hop, summary } = *self.sets.get(id)?;
        Some(AttributeSet { arena: &self.arena, spot, hop, summary })
    }

    /// What is looked at most of a set.
    #[inline]
    pub(crate) fn summary(&self, id: u32) -> Option<&Summary> {
        self.sets.get(id).map(|set| &set.summary)
    }

    pub(crate) fn life(&self, id: u32) -> u32 {
        self.sets.life(id)
    }

    pub(crate) fn hold(&mut self, id: u32) {
        self.sets.hold(id, 1);
    }

    pub(crate) fn hold_times(&mut self, id: u32, times: u32) {
        self.sets.hold(id, times);
    }

    #[inline]
    pub(crate) fn release(&mut self, id: u32, hops: &mut NextHops) {
        let Self { sets, arena, seed, .. } = self;
        let hash_of = |set: &Stored| hash(*seed, AttributeSlice::of_octets(arena.get(set.spot)), set.hop);
        if id != NONE
            && let Some(set) = sets.release(id, hash_of)
        {
            hops.release(set.hop);
            arena.drop(set.spot, sets);
        }
    }

    /// Whether two sets have equal AS_PATHs.
    pub(crate) fn same_path(&self, a: u32, b: u32) -> bool {
        if a == b {
            return true;
        }
        match (self.get(a), self.get(b)) {
            (Some(a), Some(b)) => a.as_path() == b.as_path(),
            _ => false,
        }
    }
}

fn hash(seed: Seed, octets: AttributeSlice<'_>, hop: u32) -> u64 {
    seed.hash_one((octets.octets(), hop))
}

#[cfg(test)]
impl AttributeSets {
    pub(crate) fn holders(&self) -> std::collections::HashMap<u32, u32> {
        self.sets.holders()
    }
}
