//! Prefix lists, and the words `import` and `export` as policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp_policy::{Policy, PrefixList, Rule, RuleError};
use bgp_wire::prefix::PrefixError;
use toml::Spanned;

use super::super::fault::{Fault, Sink};
use super::super::file::{self, Named, Text};
use super::super::{secret, suggest};

/// Every prefix list by its name. One that has faults is there as `None`, so that its users are not faulted too.
pub(super) struct PrefixLists(BTreeMap<String, Option<Arc<PrefixList>>>);

impl PrefixLists {
    /// The policy that a typed word means.
    pub(super) fn policy(&self, key: &str, typed: &Spanned<Text<63>>, sink: &mut Sink) -> Option<Policy> {
        let word = typed.get_ref().0.as_str();
        match (word, self.0.get(word)) {
            ("all", _) => Some(Policy::All),
            ("none", _) => Some(Policy::None),
            (_, Some(list)) => list.clone().map(Policy::PrefixList),
            (_, None) => {
                sink.push(self.unknown(key, typed));
                None
            }
        }
    }

    fn unknown(&self, key: &str, typed: &Spanned<Text<63>>) -> Fault {
        let word = typed.get_ref().0.as_str();
        let mut words = vec!["all", "none"];
        words.extend(self.0.keys().map(String::as_str));
        let title = format!("`{key}`: there is no prefix list {}", secret::quoted(word));
        let fault = Fault::error(typed.span(), title)
            .label("neither \"all\" nor \"none\" nor a prefix list")
            .help(format!(
                "could be {}; a list is defined by [prefix-list.NAME]",
                suggest::alternatives(&words)
            ));
        match suggest::nearest(word, words.iter().copied()) {
            Some(meant) => fault.fix(typed.span(), format!("\"{meant}\"")),
            None => fault,
        }
    }

    pub(super) fn into_lists(self) -> BTreeMap<String, Arc<PrefixList>> {
        self.0.into_iter().filter_map(|(name, list)| Some((name, list?))).collect()
    }
}

pub(super) fn prefix_lists(typed: Option<&Spanned<Named<file::PrefixList>>>, sink: &mut Sink) -> PrefixLists {
    let mut lists = BTreeMap::new();
    for (name, list) in typed.map(Spanned::get_ref).into_iter().flat_map(|named| &named.0) {
        lists.insert(name.get_ref().clone(), prefix_list(name, list, sink));
    }
    PrefixLists(lists)
}

fn prefix_list(
    name: &Spanned<String>,
    typed: &Spanned<file::PrefixList>,
    sink: &mut Sink,
) -> Option<Arc<PrefixList>> {
    if matches!(name.get_ref().as_str(), "all" | "none") {
        let title = format!(
            "a prefix list cannot be named \"{name}\", which `import` and `export` understand already"
        );
        sink.push(Fault::error(name.span(), title).label("needs another name"));
    }
    name_fits("prefix list", name, 63, sink);
    let Some(rules) = &typed.get_ref().rules else {
        sink.missing(
            "rules",
            Fault::error(
                name.span(),
                format!("the prefix list {} has no `rules`", secret::quoted(name.get_ref())),
            ),
        );
        return None;
    };
    if rules.get_ref().is_empty() {
        sink.push(
            Fault::warning(rules.span(), "a prefix list without rules refuses every route").label("no rules"),
        );
    }
    let typed = rules.get_ref().len();
    let rules: Vec<Rule> = rules.get_ref().iter().filter_map(|rule| self::rule(rule, sink)).collect();
    (rules.len() == typed).then(|| Arc::new(PrefixList::new(name.get_ref(), rules)))
}

fn rule(typed: &Spanned<Text<255>>, sink: &mut Sink) -> Option<Rule> {
    let text = typed.get_ref().0.as_str();
    let error = match text.parse::<Rule>() {
        Ok(rule) => return Some(rule),
        Err(error) => error,
    };
    let fault =
        Fault::error(typed.span(), format!("this is no rule: {}", secret::mask(&error.to_string(), &[])))
            .label("a rule is \"permit|deny PREFIX [ge LENGTH] [le LENGTH]\"");
    sink.push(match &error {
        RuleError::Prefix(typed_prefix, PrefixError::HostBits(network)) => {
            fault.fix(typed.span(), format!("\"{}\"", text.replacen(typed_prefix, &network.to_string(), 1)))
        }
        RuleError::Action(word) if !word.is_empty() => match suggest::nearest(word, ["permit", "deny"]) {
            Some(meant) => fault.fix(typed.span(), format!("\"{}\"", text.replacen(word, meant, 1))),
            None => fault,
        },
        _ => fault,
    });
    None
}

/// Whether a name that the operator gave can be used and shown.
pub(super) fn name_fits(what: &str, name: &Spanned<String>, max: usize, sink: &mut Sink) {
    let text = name.get_ref();
    if text.is_empty() || text.len() > max || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let title = format!("a {what}'s name has 1 to {max} bytes, none of them a blank");
        sink.push(Fault::error(name.span(), title).label("needs another name"));
    }
}
