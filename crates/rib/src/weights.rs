//! The shares of the next hops of a multipath set.
//!
//! What the operator configured for a peer goes before what the paths say of themselves; link bandwidths count only where
//! every path has one, draft-ietf-idr-link-bandwidth section 3.

use smallvec::SmallVec;

use crate::decision::Candidate;
use crate::rib::Rib;

/// The largest weight that every kernel takes.
const MOST: u16 = 256;

impl Rib {
    /// A weight for each path of a multipath set, 1 to 256; none where all are to be equal.
    pub(crate) fn weights(&self, used: &[Candidate]) -> SmallVec<[u16; 4]> {
        self.weights_by(used, |path| {
            self.peers.get(path.place).and_then(|peer| peer.as_ref()?.settings.weight)
        })
    }

    /// [`Rib::weights`] where peers have other weights than their settings say.
    pub(crate) fn weights_by(
        &self,
        used: &[Candidate],
        configured: impl Fn(&Candidate) -> Option<u16>,
    ) -> SmallVec<[u16; 4]> {
        if used.len() < 2 {
            return SmallVec::new();
        }
        if used.iter().any(|path| configured(path).is_some()) {
            return used.iter().map(|path| configured(path).unwrap_or(1).clamp(1, MOST)).collect();
        }
        let bandwidth = |path: &Candidate| self.sets.get(path.set)?.bandwidth();
        // Most often the first has none, and that is all there is to do.
        let bandwidths: Option<SmallVec<[f32; 4]>> = used.iter().map(bandwidth).collect();
        bandwidths.map(|bandwidths| scaled(&bandwidths)).unwrap_or_default()
    }
}

/// Weights in proportion, the largest being [`MOST`].
fn scaled(bandwidths: &[f32]) -> SmallVec<[u16; 4]> {
    let largest = bandwidths.iter().copied().fold(0.0, f32::max);
    let scale = |bandwidth: &f32| {
        let share = (bandwidth / largest * f32::from(MOST)).round().clamp(1.0, f32::from(MOST));
        (1..=MOST).find(|weight| f32::from(*weight) >= share).unwrap_or(MOST)
    };
    bandwidths.iter().map(scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_become_weights_in_proportion() {
        let scaled = |bandwidths: &[f32]| scaled(bandwidths).to_vec();
        assert_eq!(scaled(&[1e9, 1e9]), [256, 256]);
        assert_eq!(scaled(&[1.25e8, 2.5e8]), [128, 256]);
        assert_eq!(scaled(&[3.0, 1.0]), [256, 85]);
        assert_eq!(scaled(&[1e-30, 1e30]), [1, 256]);
    }
}
