//! What a receiver holds, and what it ought to hold: every prefix with a digest of the attributes that must travel.
//!
//! Digested are ORIGIN, AS_PATH behind this daemon's own AS, COMMUNITIES and LARGE_COMMUNITIES; lists that a daemon
//! may sort are digested whatever their order.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;

use crate::stream::{Key, Piece, Sender, each, parts, path, prefixes};

/// Prefixes and the digests of their attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    routes: HashMap<Key, u64, RandomState>,
    /// The AS of whom it is, if it is one's that has sent routes.
    own: Option<u32>,
}

/// How a view differs from what it ought to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Not there.
    pub(crate) missing: usize,
    /// There with other attributes.
    pub(crate) other: usize,
    /// There, and nobody announced it.
    pub(crate) surplus: usize,
}

impl View {
    /// The view of a peer of this AS: as RFC 4271 section 9.1.2 asks, a route with the own AS in its path is none. FRR
    /// tells a peer its own routes again.
    pub(crate) fn of(asn: u32) -> Self {
        Self { own: Some(asn), ..Self::default() }
    }

    /// Takes pieces as if they had come from their sender through one other AS.
    pub(crate) fn apply(&mut self, pieces: &[Piece], sender: &Sender) {
        for piece in pieces {
            if piece.withdrawn {
                for (key, _) in prefixes(piece.v6, &piece.nlri) {
                    self.routes.remove(&key);
                }
                continue;
            }
            let behind = piece.path.iter().skip(1).copied().filter(|asn| *asn != sender.asn);
            let path: Vec<u32> =
                std::iter::repeat_n(sender.asn, sender.times).chain(behind).take(255).collect();
            let digest = digest(piece.origin, &path, &piece.others);
            for (key, _) in prefixes(piece.v6, &piece.nlri) {
                self.routes.insert(key, digest);
            }
        }
    }

    /// Takes one UPDATE of the daemon; says whether it changed or confirmed a route, and was no End-of-RIB.
    pub(crate) fn take(&mut self, message: &[u8]) -> bool {
        let Some(parts) = parts(message) else { return false };
        if let Some((v6, nlri)) = parts.withdrawn {
            for (key, _) in prefixes(v6, nlri) {
                self.routes.remove(&key);
            }
        }
        if let Some((v6, nlri)) = parts.announced {
            let mut origin = 0;
            let mut asns = Vec::new();
            for (code, _, value) in each(parts.attributes) {
                match code {
                    1 => origin = value.first().copied().unwrap_or_default(),
                    2 => asns = path(value),
                    _ => {}
                }
            }
            let digest = digest(origin, asns.get(1..).unwrap_or_default(), parts.attributes);
            let looped = self.own.is_some_and(|own| asns.contains(&own));
            for (key, _) in prefixes(v6, nlri) {
                if looped {
                    self.routes.remove(&key);
                } else {
                    self.routes.insert(key, digest);
                }
            }
        }
        parts.withdrawn.is_some() || parts.announced.is_some()
    }

    /// Compares with what ought to be there.
    pub(crate) fn difference(&self, wanted: &Self) -> Difference {
        let mut found = Difference::default();
        for (key, digest) in &wanted.routes {
            match self.routes.get(key) {
                None => found.missing += 1,
                Some(other) if other != digest => found.other += 1,
                Some(_) => {}
            }
        }
        found.surplus = (self.routes.len() + found.missing).saturating_sub(wanted.routes.len());
        found
    }
}

fn digest(origin: u8, path: &[u32], attributes: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(1).build_hasher();
    hasher.write_u8(origin);
    path.iter().for_each(|asn| hasher.write_u32(*asn));
    for (code, _, value) in each(attributes) {
        let size = match code {
            8 => 4,
            32 => 12,
            _ => continue,
        };
        let mut entries: Vec<&[u8]> = value.chunks_exact(size).collect();
        entries.sort_unstable();
        entries.dedup();
        entries.into_iter().for_each(|entry| hasher.write(entry));
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::stream::{messages, synthetic, write};

    #[test]
    fn a_view_of_octets_is_the_view_of_their_pieces_and_every_difference_counts() {
        let pieces = synthetic(900, 90);
        let sender = Sender { asn: 65101, times: 1, v4: Ipv4Addr::LOCALHOST, v6: Ipv6Addr::LOCALHOST };
        // The daemon's own AS before the sender's: to a view both are one.
        let daemon = Sender { times: 2, ..sender.clone() };
        let mut wanted = View::default();
        wanted.apply(&pieces, &sender);
        let mut seen = View::default();
        let octets = write(&pieces, &daemon).unwrap();
        let routes = messages(&octets).filter(|message| seen.take(message)).count();
        assert_eq!(routes, messages(&octets).count() - 2, "all but the two End-of-RIB");
        assert_eq!(seen.difference(&wanted), Difference::default());
        assert_eq!(View::default().difference(&wanted).missing, 990);
        assert_eq!(seen.difference(&View::default()).surplus, 990);
        let mut other = View::default();
        other.apply(&pieces, &daemon);
        assert_eq!(other.difference(&wanted).other, 990);
        // To the sender itself they are no routes.
        let mut own = View::of(65101);
        assert_eq!(messages(&octets).filter(|message| own.take(message)).count(), routes);
        assert_eq!(own.difference(&View::default()), Difference::default());
    }
}
