//! What faults cost, by two readings of RFC 7606: the messages of the corpus as they are, and with a few octets wrong.

mod messages;

use bytes::Bytes;
use oracle::remedy::{ours, theirs};
use proptest::prelude::*;

/// Something that happens to a body on its way.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    /// A length, a flag or a count that is a little off.
    Add(prop::sample::Index, i8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let octet = prop_oneof![any::<u8>(), prop::sample::select(vec![0, 1, 4, 14, 15, 0x40, 0x80, 0xc0, 255])];
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), octet.clone()).prop_map(|(at, octet)| Damage::Set(at, octet)),
        (at(), octet).prop_map(|(at, octet)| Damage::Insert(at, octet)),
        at().prop_map(Damage::Remove),
        (at(), -4_i8..=4).prop_map(|(at, by)| Damage::Add(at, by)),
    ]
}

fn damaged(body: &[u8], damages: &[Damage]) -> Bytes {
    let mut octets = body.to_vec();
    for damage in damages.iter().filter(|_| !body.is_empty()) {
        let len = octets.len().max(1);
        match damage {
            Damage::Set(at, octet) => {
                octets.iter_mut().skip(at.index(len)).take(1).for_each(|old| *old = *octet)
            }
            Damage::Insert(at, octet) => octets.insert(at.index(len).min(octets.len()), *octet),
            Damage::Remove(at) if !octets.is_empty() => drop(octets.remove(at.index(len))),
            Damage::Remove(_) => {}
            Damage::Add(at, by) => {
                octets
                    .iter_mut()
                    .skip(at.index(len))
                    .take(1)
                    .for_each(|old| *old = old.wrapping_add_signed(*by));
            }
        }
    }
    octets.into()
}

#[test]
fn the_corpus_costs_what_a_second_reading_says() {
    let (messages, _) = messages::all();
    assert!(messages.len() > 500, "only {} messages", messages.len());
    for message in messages {
        assert_eq!(
            ours(&message.body, &message.context),
            theirs(&message.body, &message.context),
            "{}",
            message.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn damage_costs_what_a_second_reading_says(which: prop::sample::Index, damages in prop::collection::vec(damage(), 1..5)) {
        let message = which.get(messages::of_the_tree());
        let body = damaged(&message.body, &damages);
        prop_assert_eq!(ours(&body, &message.context), theirs(&body, &message.context));
    }
}
