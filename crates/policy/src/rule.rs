//! One rule of a prefix list and its text form: `permit|deny PREFIX [ge N] [le N]`.

use std::fmt;
use std::str::FromStr;

use bgp_wire::Prefix;
use bgp_wire::prefix::PrefixError;

/// What happens to a route that the rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It passes.
    Permit,
    /// It is refused.
    Deny,
}

/// Prefixes inside one prefix, within a range of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    action: Action,
    prefix: Prefix,
    ge: Option<u8>,
    le: Option<u8>,
}

impl Rule {
    /// A rule whose lengths make sense: `prefix length <= ge <= le <= bits of an address`.
    pub fn new(action: Action, prefix: Prefix, ge: Option<u8>, le: Option<u8>) -> Result<Self, RuleError> {
        let max = prefix.family().address_bits();
        for (word, value) in [("ge", ge), ("le", le)] {
            if let Some(value) = value
                && !(prefix.len()..=max).contains(&value)
            {
                return Err(RuleError::Range { word, value, min: prefix.len(), max });
            }
        }
        match (ge, le) {
            (Some(ge), Some(le)) if ge > le => Err(RuleError::Crossed { ge, le }),
            _ => Ok(Self { action, prefix, ge, le }),
        }
    }

    /// What happens to a route that matches.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Whether `prefix` lies inside and its length fits. Without `ge` and `le` the prefix must be the same; with `ge`
    /// alone every longer length fits too.
    pub fn matches(&self, prefix: Prefix) -> bool {
        let (min, max) = match (self.ge, self.le) {
            (None, None) => (self.prefix.len(), self.prefix.len()),
            (Some(ge), None) => (ge, self.prefix.family().address_bits()),
            (None, Some(le)) => (self.prefix.len(), le),
            (Some(ge), Some(le)) => (ge, le),
        };
        (min..=max).contains(&prefix.len()) && self.prefix.covers(prefix)
    }
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// The first word is neither `permit` nor `deny`.
    Action(String),
    /// The second word is no prefix.
    Prefix(String, PrefixError),
    /// A word that no rule has.
    Word(String),
    /// `ge` or `le` without a number behind it.
    Number(&'static str),
    /// `ge` or `le` twice.
    Twice(&'static str),
    /// A length outside of what the prefix allows.
    Range {
        /// `ge` or `le`.
        word: &'static str,
        /// What was given.
        value: u8,
        /// The length of the prefix.
        min: u8,
        /// The bits of an address.
        max: u8,
    },
    /// `ge` above `le`.
    Crossed {
        /// The lower bound.
        ge: u8,
        /// The upper bound.
        le: u8,
    },
}

impl std::error::Error for RuleError {}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(word) => write!(f, "a rule begins with \"permit\" or \"deny\", not with \"{word}\""),
            Self::Prefix(word, error) => write!(f, "\"{word}\" {error}"),
            Self::Word(word) => {
                write!(f, "\"{word}\" is not expected; a rule is \"permit|deny PREFIX [ge N] [le N]\"")
            }
            Self::Number(word) => write!(f, "\"{word}\" wants a prefix length behind it"),
            Self::Twice(word) => write!(f, "\"{word}\" is given twice"),
            Self::Range { word, value, min, max } => {
                write!(f, "\"{word} {value}\" is outside {min} to {max}, which the prefix allows")
            }
            Self::Crossed { ge, le } => write!(f, "\"ge {ge}\" is above \"le {le}\": nothing could match"),
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut words = text.split_whitespace();
        let action = match words.next().unwrap_or_default() {
            "permit" => Action::Permit,
            "deny" => Action::Deny,
            other => return Err(RuleError::Action(other.to_owned())),
        };
        let word = words.next().unwrap_or_default();
        let prefix = word.parse().map_err(|error| RuleError::Prefix(word.to_owned(), error))?;
        let (mut ge, mut le) = (None, None);
        while let Some(word) = words.next() {
            let (word, slot) = match word {
                "ge" => ("ge", &mut ge),
                "le" => ("le", &mut le),
                other => return Err(RuleError::Word(other.to_owned())),
            };
            let value = words.next().and_then(|value| value.parse().ok()).ok_or(RuleError::Number(word))?;
            if slot.replace(value).is_some() {
                return Err(RuleError::Twice(word));
            }
        }
        Self::new(action, prefix, ge, le)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Permit => "permit",
            Action::Deny => "deny",
        };
        write!(f, "{action} {}", self.prefix)?;
        if let Some(ge) = self.ge {
            write!(f, " ge {ge}")?;
        }
        if let Some(le) = self.le {
            write!(f, " le {le}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(rule: &str, prefix: &str) -> bool {
        rule.parse::<Rule>().unwrap().matches(prefix.parse().unwrap())
    }

    #[test]
    fn lengths_bound_what_matches() {
        assert!(matches("permit 2004::/64 ge 128 le 128", "2004::1/128"));
        assert!(!matches("permit 2004::/64 ge 128 le 128", "2004::/127"));
        assert!(!matches("permit 2004::/64 ge 128 le 128", "2005::1/128"));
        assert!(matches("permit 10.0.0.0/8", "10.0.0.0/8"));
        assert!(!matches("permit 10.0.0.0/8", "10.1.0.0/16"));
        assert!(matches("permit 10.0.0.0/8 ge 16", "10.1.0.0/16"));
        assert!(matches("permit 10.0.0.0/8 ge 16", "10.1.2.3/32"));
        assert!(!matches("permit 10.0.0.0/8 ge 16", "10.0.0.0/15"));
        assert!(matches("permit 10.0.0.0/8 le 16", "10.0.0.0/8"));
        assert!(!matches("permit 10.0.0.0/8 le 16", "10.0.0.0/17"));
        assert!(!matches("permit 0.0.0.0/0 le 32", "2004::1/128"));
        assert!(matches("permit ::/0 le 128", "2004::1/128"));
    }

    #[test]
    fn text_round_trips_and_bad_text_says_why() {
        for text in
            ["permit 2004::/64 ge 128 le 128", "deny 10.0.0.0/8 le 24", "permit ::/0", "deny 0.0.0.0/0 ge 25"]
        {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for (text, says) in [
            ("allow ::/0", "a rule begins with \"permit\" or \"deny\", not with \"allow\""),
            ("", "a rule begins with \"permit\" or \"deny\", not with \"\""),
            ("permit", "\"\" is not an IPv4 or IPv6 address"),
            ("permit 10.0.0.1/8", "\"10.0.0.1/8\" has host bits set; the network is 10.0.0.0/8"),
            ("permit ::/0 eq 5", "\"eq\" is not expected; a rule is \"permit|deny PREFIX [ge N] [le N]\""),
            ("permit ::/0 ge", "\"ge\" wants a prefix length behind it"),
            ("permit ::/0 ge x", "\"ge\" wants a prefix length behind it"),
            ("permit ::/0 ge 1 ge 2", "\"ge\" is given twice"),
            ("permit 10.0.0.0/8 le 33", "\"le 33\" is outside 8 to 32, which the prefix allows"),
            ("permit 10.0.0.0/8 ge 7", "\"ge 7\" is outside 8 to 32, which the prefix allows"),
            ("permit ::/0 ge 9 le 8", "\"ge 9\" is above \"le 8\": nothing could match"),
        ] {
            assert_eq!(text.parse::<Rule>().unwrap_err().to_string(), says);
        }
    }
}
