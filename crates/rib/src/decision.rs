//! Route selection: RFC 4271 section 9.1.2.2, as rounds of elimination over all usable paths of one prefix.
//!
//! One table gives the best path, the set of equally good ones, and the reason for each loser. Comparing two at a time
//! would depend on the order of arrival, because MED compares only within one neighbouring AS; rounds do not.
//! Which paths are usable at all is decided before (`checks`, policy, next hops).
//!
//! Ours: routes of our own come first (the section leaves that to the implementation), a missing MED counts as zero, and
//! the age of a route plays no part: it would make the result depend on history.

use std::cmp::Reverse;
use std::net::IpAddr;

use bgp_wire::Asn;
use bgp_wire::attribute::Origin;

use crate::config::PeerId;
use crate::forwarding::RouteSource;

/// A step of the selection, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A network of our own beats every learned path.
    Local,
    /// Announced or confirmed within the restart time: a route with LLGR_STALE is the last choice, RFC 9494 section 4.2.
    Confirmed,
    /// Highest degree of preference, section 9.1.1: LOCAL_PREF.
    LocalPref,
    /// Shortest AS_PATH, section 9.1.2.2 a).
    AsPathLength,
    /// Lowest ORIGIN, section 9.1.2.2 b).
    Origin,
    /// Lowest MULTI_EXIT_DISC among paths from one neighbouring AS, section 9.1.2.2 c).
    Med,
    /// External before internal, section 9.1.2.2 d).
    External,
    /// Lowest interior cost to the next hop, section 9.1.2.2 e).
    InteriorCost,
    /// Lowest BGP Identifier, or ORIGINATOR_ID where there is one, section 9.1.2.2 f) and RFC 4456 section 9.
    RouterId,
    /// Shortest CLUSTER_LIST, RFC 4456 section 9.
    ClusterList,
    /// Lowest peer address, section 9.1.2.2 g).
    PeerAddress,
    /// Equally good, but another AS_PATH than the best, and the configuration wants equal ones.
    MultipathAsPath,
    /// Equally good, but as many paths as the configuration allows are used already.
    MaximumPaths,
}

impl Step {
    /// Why the best path is the best, if this step decided.
    pub fn won(self) -> &'static str {
        match self {
            Self::Local => "our own network",
            Self::Confirmed => "not long-lived stale",
            Self::LocalPref => "highest local preference",
            Self::AsPathLength => "shortest AS path",
            Self::Origin => "lowest origin",
            Self::Med => "lowest MED",
            Self::External => "from an external peer",
            Self::InteriorCost => "lowest cost to the next hop",
            Self::RouterId => "lowest router id of equal paths",
            Self::ClusterList => "shortest cluster list of equal paths",
            Self::PeerAddress => "lowest peer address of equal paths",
            Self::MultipathAsPath | Self::MaximumPaths => "best of equal paths",
        }
    }

    /// Why a path is not used, if this step took it out.
    pub fn lost(self) -> &'static str {
        match self {
            Self::Local => "a network of our own is preferred",
            Self::Confirmed => "long-lived stale (RFC 9494)",
            Self::LocalPref => "lower local preference",
            Self::AsPathLength => "longer AS path",
            Self::Origin => "higher origin",
            Self::Med => "higher MED from the same neighbouring AS",
            Self::External => "from an internal peer",
            Self::InteriorCost => "higher cost to the next hop",
            Self::RouterId => "higher router id",
            Self::ClusterList => "longer cluster list",
            Self::PeerAddress => "higher peer address",
            Self::MultipathAsPath => "as good as the best, but with another AS path",
            Self::MaximumPaths => "as good as the best, but maximum-paths are in use",
        }
    }
}

/// A usable path, as far as the selection looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) source: RouteSource,
    pub(crate) llgr_stale: bool,
    pub(crate) local_pref: u32,
    pub(crate) path_len: u32,
    pub(crate) origin: Origin,
    pub(crate) med: u32,
    pub(crate) neighbor_as: Option<Asn>,
    pub(crate) interior_cost: u32,
    /// ORIGINATOR_ID or the peer's identifier.
    pub(crate) router_id: u32,
    pub(crate) cluster_len: u32,
    pub(crate) address: Option<IpAddr>,
    pub(crate) peer: PeerId,
    /// Where the caller finds the peer, the attribute set and the next hop.
    pub(crate) place: usize,
    pub(crate) set: u32,
    pub(crate) hop: u32,
    /// The step that took it out.
    pub(crate) lost: Option<Step>,
}

/// Candidates of which the first `alive` are still in.
struct Contest<'a> {
    candidates: &'a mut [Candidate],
    alive: usize,
    step: Step,
    /// The last step that took anybody out.
    decided_by: Option<Step>,
}

impl Contest<'_> {
    fn alive(&self) -> &[Candidate] {
        self.candidates.get(..self.alive).unwrap_or_default()
    }

    /// Takes out whoever `stays` does not hold for.
    fn retain(&mut self, stays: impl Fn(&Candidate) -> bool) {
        let mut kept = 0;
        for at in 0..self.alive {
            let Some(candidate) = self.candidates.get_mut(at) else { break };
            if stays(candidate) {
                if kept < at {
                    self.candidates.swap(kept, at);
                }
                kept += 1;
            } else {
                candidate.lost = Some(self.step);
            }
        }
        if kept < self.alive {
            self.alive = kept;
            self.decided_by = Some(self.step);
        }
    }

    fn keep_min<K: Ord>(&mut self, key: impl Fn(&Candidate) -> K) {
        let mut keys = self.alive().iter().map(&key);
        let Some(first) = keys.next() else { return };
        let (best, same) = keys.fold((first, true), |(best, same), key| {
            let equal = key == best;
            (best.min(key), same && equal)
        });
        // Most rounds take nobody out.
        if !same {
            self.retain(|candidate| key(candidate) == best);
        }
    }
}

struct Round {
    step: Step,
    keep: fn(&mut Contest<'_>),
}

/// What survives these rounds is equally good.
const EQUAL_COST: [Round; 8] = [
    Round { step: Step::Local, keep: |c| c.keep_min(|r| r.source != RouteSource::Local) },
    Round { step: Step::Confirmed, keep: |c| c.keep_min(|r| r.llgr_stale) },
    Round { step: Step::LocalPref, keep: |c| c.keep_min(|r| Reverse(r.local_pref)) },
    Round { step: Step::AsPathLength, keep: |c| c.keep_min(|r| r.path_len) },
    Round { step: Step::Origin, keep: |c| c.keep_min(|r| r.origin) },
    Round { step: Step::Med, keep: keep_lowest_med_per_neighbor_as },
    Round { step: Step::External, keep: |c| c.keep_min(|r| r.source) },
    Round { step: Step::InteriorCost, keep: |c| c.keep_min(|r| r.interior_cost) },
];

/// These leave exactly one. Several peers may have one identifier (RFC 6286) and, over different links, even one
/// address; the number of the peer is always another one.
const TIE_BREAK: [Round; 3] = [
    Round { step: Step::RouterId, keep: |c| c.keep_min(|r| r.router_id) },
    Round { step: Step::ClusterList, keep: |c| c.keep_min(|r| r.cluster_len) },
    Round { step: Step::PeerAddress, keep: |c| c.keep_min(|r| (r.address, r.peer)) },
];

/// "for each of the neighboring ASes, the one with the lowest MED": paths from different ones do not compare.
fn keep_lowest_med_per_neighbor_as(contest: &mut Contest<'_>) {
    let Some(first) = contest.alive().first().map(|candidate| candidate.med) else { return };
    if contest.alive().iter().all(|candidate| candidate.med == first) {
        return;
    }
    let mut lowest: Vec<(Option<Asn>, u32)> =
        contest.alive().iter().map(|candidate| (candidate.neighbor_as, candidate.med)).collect();
    lowest.sort_unstable();
    lowest.dedup_by_key(|(asn, _)| *asn);
    contest.retain(|candidate| lowest.binary_search(&(candidate.neighbor_as, candidate.med)).is_ok());
}

/// How many paths may be used together, and which.
pub(crate) struct Multipath<'a> {
    pub(crate) maximum: usize,
    /// Whether two attribute sets have equal AS_PATHs; `None` where they may differ.
    pub(crate) same_path: Option<&'a dyn Fn(u32, u32) -> bool>,
}

/// What the selection found; the candidates are in a new order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The first so many candidates are used, the very first is the best.
    pub(crate) used: usize,
    /// The step that left the best alone.
    pub(crate) decided_by: Option<Step>,
}

/// Selects among the usable paths of a prefix; `None` where there are none.
pub(crate) fn select(candidates: &mut [Candidate], multipath: &Multipath<'_>) -> Option<Selection> {
    match candidates.len() {
        0 => return None,
        1 => return Some(Selection { used: 1, decided_by: None }),
        _ => {}
    }
    let (equal, mut decided_by) = run(candidates, &EQUAL_COST);
    let equals = candidates.get_mut(..equal)?;
    if equal > 1 {
        let (_, tie) = run(equals, &TIE_BREAK);
        decided_by = tie.or(decided_by);
    }
    Some(Selection { used: share(equals, multipath), decided_by })
}

/// Runs `rounds` over all of `candidates`; the survivors are in front.
fn run(candidates: &mut [Candidate], rounds: &[Round]) -> (usize, Option<Step>) {
    let alive = candidates.len();
    let mut contest = Contest { candidates, alive, step: Step::Local, decided_by: None };
    for round in rounds {
        if contest.alive <= 1 {
            break;
        }
        contest.step = round.step;
        (round.keep)(&mut contest);
    }
    (contest.alive, contest.decided_by)
}

/// Says which of the equally good paths behind the best one are used with it, and puts these in front.
fn share(equals: &mut [Candidate], multipath: &Multipath<'_>) -> usize {
    let Some((best, rest)) = equals.split_first_mut() else { return 0 };
    let room = multipath.maximum.saturating_sub(1);
    if room == 0 {
        // The step that took each of them out says all there is to say.
        return 1;
    }
    let mut contest =
        Contest { alive: rest.len(), candidates: rest, step: Step::MultipathAsPath, decided_by: None };
    if let Some(same_path) = multipath.same_path {
        contest.retain(|candidate| same_path(best.set, candidate.set));
    }
    let sharing = contest.alive;
    if sharing > room {
        // The next best of the rest, and again, as often as there is room.
        for at in 0..room {
            let Some(rest) = rest.get_mut(at..sharing) else { break };
            run(rest, &TIE_BREAK);
        }
    }
    for (at, candidate) in rest.iter_mut().take(sharing).enumerate() {
        candidate.lost = (at >= room).then_some(Step::MaximumPaths);
    }
    1 + sharing.min(room)
}

#[cfg(test)]
mod tests;
