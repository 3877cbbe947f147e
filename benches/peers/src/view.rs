//! What a receiver holds, and what it ought to hold: every prefix with a digest of the attributes that must travel.
//!
//! Digested are ORIGIN, AS_PATH behind this daemon's own AS, and every other attribute, by code; lists that a daemon may sort
//! whatever their order. A receiver is an external peer: what may not go to one is not wanted, and makes another digest where
//! it comes all the same. Next hops differ from daemon to daemon (its own address, or the feeder's on the same link), so
//! that they count only where they are no address of that link.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashMap;

use crate::stream::{Key, Piece, Sender, attribute, each, parts, path, prefixes};

/// `::1`.
const LOOPBACK: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Prefixes and the digests of their attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    routes: HashMap<Key, u64, RandomState>,
    /// The AS of whom it is, if it is one's that has sent routes.
    own: Option<u32>,
    /// Whether `::1` counts as an address of the link.
    loopback_hops: bool,
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
    /// tells a peer its own routes again. `loopback_hops` is [`Name::tells_loopback_hops`](crate::daemon::Name).
    pub(crate) fn of(asn: u32, loopback_hops: bool) -> Self {
        Self { own: Some(asn), loopback_hops, ..Self::default() }
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
            let others = for_an_external_peer(&piece.others);
            let digest = digest(piece.origin, &path, &others);
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
            let mut hop: &[u8] = &[];
            for (code, _, value) in each(parts.attributes) {
                match code {
                    1 => origin = value.first().copied().unwrap_or_default(),
                    2 => asns = path(value),
                    3 if !v6 => hop = value,
                    14 if v6 => hop = value.get(4..20).unwrap_or_default(),
                    _ => {}
                }
            }
            let digest = digest(origin, asns.get(1..).unwrap_or_default(), parts.attributes);
            let digest =
                if is_on_the_link(hop) || self.loopback_hops && hop == LOOPBACK { digest } else { !digest };
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

    /// How many prefixes.
    pub(crate) fn len(&self) -> usize {
        self.routes.len()
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

/// Whether it is an address of the cable between a daemon and its peers.
fn is_on_the_link(hop: &[u8]) -> bool {
    match hop {
        [10, 77, ..] => hop.len() == 4,
        [0xfd, 0x77, ..] => true,
        // As some write the address of an IPv4 session.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 77, _, _] => true,
        _ => false,
    }
}

/// What of a feeder's attributes goes on to an external peer: no MULTI_EXIT_DISC, no LOCAL_PREF, no non-transitive extended
/// community (RFC 4271 section 5.1.4 and 5.1.5, RFC 4360 section 6), nothing unknown that is not transitive.
fn for_an_external_peer(attributes: &[u8]) -> Vec<u8> {
    const TRANSITIVE: u8 = 0x40;
    let mut out = Vec::with_capacity(attributes.len());
    for (code, whole, value) in each(attributes) {
        let transitive = whole.first().is_some_and(|flags| flags & TRANSITIVE != 0);
        match code {
            4 | 5 => {}
            16 => {
                let stay = value
                    .chunks_exact(8)
                    .filter(|community| community.first().is_some_and(|kind| kind & 0x40 == 0));
                attribute(0xc0, 16, &stay.flatten().copied().collect::<Vec<_>>(), &mut out);
            }
            _ if transitive => out.extend_from_slice(whole),
            _ => {}
        }
    }
    out
}

fn digest(origin: u8, path: &[u32], attributes: &[u8]) -> u64 {
    let mut hasher = FixedState::with_seed(1).build_hasher();
    hasher.write_u8(origin);
    path.iter().for_each(|asn| hasher.write_u32(*asn));
    let mut others: Vec<_> = each(attributes).filter(|(code, ..)| !matches!(code, 1..=3 | 14 | 15)).collect();
    others.sort_unstable_by_key(|(code, ..)| *code);
    for (code, _, value) in others {
        hasher.write_u8(code);
        let size = match code {
            8 => 4,
            16 => 8,
            32 => 12,
            _ => {
                hasher.write(value);
                continue;
            }
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

    fn sender() -> Sender {
        let (v4, v6) = (Ipv4Addr::new(10, 77, 0, 2), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
        Sender { asn: 65101, times: 1, v4, v6 }
    }

    /// What a receiver differs from `wanted` that is told `others` beside ORIGIN and AS_PATH, with this next hop.
    fn told(others: &[u8], hop: Ipv4Addr, wanted: &View) -> Difference {
        let piece =
            Piece { path: vec![1, 2], others: others.to_vec(), nlri: vec![8, 11], ..Piece::default() };
        let daemon = Sender { times: 2, v4: hop, ..sender() };
        let mut seen = View::default();
        for message in messages(&write(&[piece], &daemon).unwrap()) {
            seen.take(message);
        }
        seen.difference(wanted)
    }

    #[test]
    fn every_attribute_counts_and_what_may_not_go_out_is_not_wanted() {
        let aggregator = &[0xc0, 7, 8, 0, 0, 0, 1, 10, 0, 0, 1][..];
        let extended = &[0xc0, 16, 8, 0, 2, 0, 0, 0, 0, 0, 1][..];
        let inside = &[0xc0, 16, 16, 0x40, 4, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 1][..];
        let unknown = &[0xe0, 99, 1, 7][..];
        let med = &[0x80, 4, 4, 0, 0, 0, 1][..];
        let wanted = |others: &[&[u8]]| {
            let nlri = vec![8, 11];
            let piece = Piece { path: vec![1, 2], others: others.concat(), nlri, ..Piece::default() };
            let mut wanted = View::default();
            wanted.apply(&[piece], &sender());
            wanted
        };
        let (same, other) = (Difference::default(), Difference { other: 1, ..Difference::default() });
        let hop = sender().v4;
        let all = wanted(&[med, aggregator, inside, unknown]);
        assert_eq!(told(&[unknown, extended, aggregator].concat(), hop, &all), same, "whatever the order");
        assert_eq!(told(&[unknown, extended].concat(), hop, &all), other, "AGGREGATOR is missing");
        assert_eq!(
            told(&[med, unknown, extended, aggregator].concat(), hop, &all),
            other,
            "MED of another AS"
        );
        assert_eq!(told(&[unknown, inside, aggregator].concat(), hop, &all), other, "not transitive");
        assert_eq!(told(&[extended, aggregator].concat(), hop, &all), other, "an unknown one is missing");
        assert_eq!(told(&[], hop, &wanted(&[])), same);
        assert_eq!(told(&[], Ipv4Addr::LOCALHOST, &wanted(&[])), other, "an address of nobody there");
    }

    #[test]
    fn a_view_of_octets_is_the_view_of_their_pieces_and_every_difference_counts() {
        let pieces = synthetic(900, 90);
        let sender = sender();
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
        // `::1` is the next hop of one daemon alone.
        let octets_by_loopback =
            write(&pieces, &Sender { v6: Ipv6Addr::LOCALHOST, ..daemon.clone() }).unwrap();
        for (loopback_hops, other) in [(false, 90), (true, 0)] {
            let mut seen = View::of(1, loopback_hops);
            messages(&octets_by_loopback)
                .for_each(|message| assert!(seen.take(message) || message.len() < 32));
            assert_eq!(seen.difference(&wanted), Difference { other, ..Difference::default() });
        }
        // To the sender itself they are no routes.
        let mut own = View::of(65101, false);
        assert_eq!(messages(&octets).filter(|message| own.take(message)).count(), routes);
        assert_eq!(own.difference(&View::default()), Difference::default());
    }
}
