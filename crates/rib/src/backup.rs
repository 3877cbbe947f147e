//! The backup of a prefix: where it goes when its one next hop is lost, until it has been decided anew.
//!
//! Where the selected paths have several next hops, each is the others' backup. Where they have one, it is the next hop of
//! the best path by another one. A backup that still protects is kept though another has become the better one: to change
//! it would cost the kernel a route each time and protect no better. So it may depend on what was announced first; what is
//! forwarded by does not.

use crate::closing;
use crate::decision::{self, Candidate, Multipath};
use crate::interned::NONE;

/// The next hop of the backup beside `hops`, which are those of the first `used` of `candidates`; [`NONE`] where there is
/// no need or no other path. `before` was the backup until now.
pub(crate) fn choose(candidates: &mut [Candidate], used: usize, hops: &[u32], before: u32) -> u32 {
    let Some((hop, same)) = hops.split_first() else { return NONE };
    let Some(rest) = candidates.get_mut(used..) else { return NONE };
    if rest.is_empty() || same.iter().any(|other| other != hop) {
        return NONE;
    }
    let protects = |path: &Candidate| path.hop == before && path.hop != *hop && !is_last_choice(path);
    if before != NONE && rest.iter().any(protects) {
        return before;
    }
    let mut others = 0;
    for at in 0..rest.len() {
        if rest.get(at).is_some_and(|path| path.hop != *hop) {
            rest.swap(at, others);
            others += 1;
        }
    }
    let others = rest.get_mut(..others).unwrap_or_default();
    match decision::select(others, &Multipath { maximum: 1, same_path: None }) {
        Some(_) => others.first().map_or(NONE, |best| best.hop),
        None => NONE,
    }
}

/// Whether its peer has said that it will go, or has been away for long.
fn is_last_choice(path: &Candidate) -> bool {
    path.llgr_stale || closing::is_closing_path(path)
}
