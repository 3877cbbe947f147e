//! Paths that will go: their peer has said so with GRACEFUL_SHUTDOWN, RFC 8326 section 4.2.
//!
//! They are the last choice, so new flows have no business there. Where such a path would be as good as those that are used,
//! it is told to the forwarding side with a share of 0: flows that it carries stay on it until they end or it goes.

use bgp_wire::PeerKind;
use smallvec::SmallVec;

use crate::attributes::AttributeSet;
use crate::checks;
use crate::decision::{self, Candidate, Multipath};
use crate::forwarding::RouteSource;

/// Whether a path of a peer of this kind says that it will go.
pub(crate) fn is_closing(kind: PeerKind, set: &AttributeSet) -> bool {
    kind == PeerKind::External && set.summary.graceful_shutdown()
}

/// The same of a path in a selection: LOCAL_PREF of an external path is 0 for this reason alone.
pub(crate) fn is_closing_path(path: &Candidate) -> bool {
    path.source == RouteSource::External && path.local_pref == 0
}

/// The next hops of paths that will go and would otherwise be used with the first `used` of `candidates`, of which the
/// selection has been made.
pub(crate) fn closing(
    candidates: &[Candidate],
    used: usize,
    multipath: &Multipath<'_>,
) -> SmallVec<[u32; 4]> {
    let (chosen, lost) = candidates.split_at_checked(used).unwrap_or((candidates, &[]));
    let Some(best) = chosen.first().filter(|best| best.source != RouteSource::Local) else {
        return SmallVec::new();
    };
    if is_closing_path(best) || !lost.iter().any(is_closing_path) {
        return SmallVec::new();
    }
    // As it would be if nobody were to go.
    let mut all: SmallVec<[Candidate; 8]> = candidates.iter().copied().collect();
    for path in all.iter_mut().filter(|path| is_closing_path(path)) {
        path.local_pref = checks::DEFAULT_LOCAL_PREF;
    }
    let together = decision::select(&mut all, multipath).map_or(0, |selection| selection.used);
    let together = all.get(..together).unwrap_or_default();
    let is_chosen = |path: &Candidate| chosen.iter().any(|other| other.place == path.place);
    // Not beside those that are used, but in their place: then they keep nothing.
    if together.iter().filter(|path| is_chosen(path)).count() < chosen.len() {
        return SmallVec::new();
    }
    together.iter().filter(|path| !is_chosen(path)).map(|path| path.hop).collect()
}

/// Appends next hops with a share of 0.
pub(crate) fn append(closing: &[u32], hops: &mut SmallVec<[u32; 4]>, weights: &mut SmallVec<[u16; 4]>) {
    if closing.is_empty() {
        return;
    }
    if weights.is_empty() {
        weights.resize(hops.len(), 1);
    }
    hops.extend_from_slice(closing);
    weights.resize(hops.len(), 0);
}
