//! Prefix lists: rules in order, the first that matches decides, what none matches is refused.

use std::sync::Arc;

use bgp_wire::Prefix;

use crate::rule::{Action, Rule};
use crate::{Reason, Verdict};

/// A named list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixList {
    /// The name under which the configuration knows it.
    pub name: Arc<str>,
    /// In the order in which they are tried.
    pub rules: Vec<Rule>,
}

impl PrefixList {
    /// A list of this name.
    pub fn new(name: &str, rules: Vec<Rule>) -> Self {
        Self { name: name.into(), rules }
    }

    /// The name under which the configuration knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The verdict with its reason.
    pub fn evaluate(&self, prefix: Prefix) -> Verdict {
        match self.first_match(prefix) {
            Some(rule) => match rule.action() {
                Action::Permit => Verdict::Accept,
                Action::Deny => {
                    Verdict::Reject(Reason::DeniedByRule { list: Arc::clone(&self.name), rule: *rule })
                }
            },
            None => Verdict::Reject(Reason::NoRuleMatches { list: Arc::clone(&self.name) }),
        }
    }

    /// Whether the list permits `prefix`.
    pub fn accepts(&self, prefix: Prefix) -> bool {
        self.first_match(prefix).is_some_and(|rule| rule.action() == Action::Permit)
    }

    fn first_match(&self, prefix: Prefix) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matches(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_decides_and_no_match_denies() {
        let rules = ["deny 2004::bad/128", "permit 2004::/64 ge 128"];
        let list = PrefixList::new("services", rules.iter().map(|text| text.parse().unwrap()).collect());
        let verdict = |prefix: &str| list.evaluate(prefix.parse().unwrap());
        let reason = |prefix: &str| match verdict(prefix) {
            Verdict::Accept => "accepted".to_owned(),
            Verdict::Reject(reason) => reason.to_string(),
        };
        assert_eq!(reason("2004::1/128"), "accepted");
        assert_eq!(reason("2004::bad/128"), "prefix-list services: deny 2004::bad/128");
        assert_eq!(reason("2005::1/128"), "prefix-list services: no rule matches");
        for prefix in ["2004::1/128", "2004::bad/128", "2005::1/128"] {
            let prefix = prefix.parse().unwrap();
            assert_eq!(list.accepts(prefix), list.evaluate(prefix) == Verdict::Accept);
        }
    }
}
