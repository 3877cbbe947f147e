//! Rules of a prefix list as anybody may type them, and routes that they meet: the verdict is that of a reading bit by
//! bit, with the reason of the first rule that matches.
#![no_main]

use std::net::IpAddr;

use bgp_policy::{Action, Policy, PrefixList, Reason, Rule, Verdict};
use bgp_wire::{PathAttributes, Prefix};
use libfuzzer_sys::fuzz_target;

/// The bits of a prefix, first one first.
fn bits(prefix: Prefix) -> Vec<bool> {
    let octets = match prefix.address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}

/// `permit|deny PREFIX [ge N] [le N]`, read a second time: what `text` says of `prefix`, if it speaks of it.
fn says(text: &str, prefix: Prefix) -> Option<Action> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after =
        |word| words.iter().position(|w| *w == word).map(|at| words[at + 1].parse::<u8>().expect("a number"));
    let covering: Prefix = words[1].parse().expect("a prefix");
    let (ge, le) = (after("ge"), after("le"));
    let low = ge.unwrap_or(covering.len());
    let high = match (ge, le) {
        (None, None) => covering.len(),
        (Some(_), None) => u8::try_from(bits(covering).len()).expect("at most 128"),
        (_, Some(le)) => le,
    };
    let (ours, theirs) = (bits(covering), bits(prefix));
    let inside = ours.len() == theirs.len()
        && ours.iter().zip(&theirs).take(covering.len().into()).all(|(a, b)| a == b)
        && prefix.len() >= covering.len();
    let action = if words[0] == "permit" { Action::Permit } else { Action::Deny };
    (inside && (low..=high).contains(&prefix.len())).then_some(action)
}

fuzz_target!(|input: &str| {
    let (mut lines, mut rules, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
    for line in input.lines().take(64) {
        match line.parse::<Rule>() {
            Ok(rule) => {
                assert_eq!(rule.to_string().parse(), Ok(rule));
                lines.push(line);
                rules.push(rule);
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                prefixes.extend(line.trim().parse::<Prefix>());
            }
        }
    }
    let list = PrefixList::new("list", rules.clone());
    let attributes = PathAttributes::default().to_bytes();
    for prefix in prefixes {
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        let policy = Policy::PrefixList(list.clone().into());
        // What was typed is read a second time, not what the rule says of itself.
        let mut typed = lines.iter().zip(&rules);
        let found = typed.find_map(|(line, rule)| says(line, prefix).map(|action| (rule, action)));
        let expected = match found {
            Some((_, Action::Permit)) => Verdict::Accept,
            Some((rule, Action::Deny)) => {
                Verdict::Reject(Reason::DeniedByRule { list: "list".into(), rule: *rule })
            }
            None => Verdict::Reject(Reason::NoRuleMatches { list: "list".into() }),
        };
        assert_eq!(policy.evaluate(prefix, attributes.as_slice()), expected);
        assert_eq!(policy.accepts(prefix, attributes.as_slice()), expected == Verdict::Accept);
    }
});
