//! What a reload changed, would change, and what became of its confirmation.

use std::collections::BTreeMap;

use bgp_api::{ConfirmReply, ImpactKind, ReloadPlan, ReloadReply, RouteImpact, RouteImpacts};

use crate::text::{clean, duration};

/// `reload`.
pub(crate) fn done(reply: &ReloadReply) -> String {
    let mut text = headline(&reply.path, &reply.changes);
    list(&mut text, "", &reply.changes);
    list(&mut text, "session reset: ", &reply.reset);
    if let Some(seconds) = reply.confirm_seconds {
        text.push_str(&format!(
            "not confirmed: the former config comes back in {} unless `bgpctl confirm` says that this one stays\n",
            duration(seconds)
        ));
    }
    text
}

/// `reload --dry-run`.
pub(crate) fn plan(plan: &ReloadPlan) -> String {
    let mut text = headline(&plan.path, &plan.changes);
    list(&mut text, "", &plan.changes);
    list(&mut text, "warning: ", &plan.warnings);
    list(&mut text, "neighbor added: ", &plan.added);
    list(&mut text, "neighbor removed: ", &plan.removed);
    list(&mut text, "session reset: ", &plan.reset);
    if plan.reset.is_empty() && plan.removed.is_empty() {
        text.push_str("  no session is reset\n");
    }
    text.push_str(&routes(&plan.routes));
    if !plan.reset.is_empty() {
        text.push_str("  until a session that is reset is back, its peer's routes are gone as well\n");
    }
    if let Some(seconds) = plan.confirm_seconds {
        text.push_str(&format!(
            "another reload waits for `bgpctl confirm` ({} left); until then this one is refused\n",
            duration(seconds)
        ));
    }
    text.push_str("nothing was changed: this is what `bgpctl reload` would do\n");
    text
}

/// `confirm`.
pub(crate) fn confirmed(reply: &ConfirmReply) -> String {
    format!("{}: confirmed, {} before the end\n", clean(&reply.path), duration(reply.left_seconds))
}

fn headline(path: &str, changes: &[String]) -> String {
    match changes.len() {
        0 => format!("{}: nothing changed\n", clean(path)),
        1 => format!("{}: 1 change\n", clean(path)),
        n => format!("{}: {n} changes\n", clean(path)),
    }
}

fn list(text: &mut String, lead: &str, items: &[String]) {
    for item in items {
        text.push_str(&format!("  {lead}{}\n", clean(item)));
    }
}

/// Each kind with its count, and below it the routes that the daemon has named.
fn routes(impacts: &RouteImpacts) -> String {
    if impacts.counts.is_empty() {
        return "  no route changes\n".to_owned();
    }
    let mut by_kind: BTreeMap<ImpactKind, Vec<&RouteImpact>> = BTreeMap::new();
    for detail in &impacts.details {
        by_kind.entry(detail.kind).or_default().push(detail);
    }
    let mut text = String::new();
    for count in &impacts.counts {
        let noun = if count.count == 1 { "route" } else { "routes" };
        text.push_str(&format!("  {} {noun} {}\n", count.count, count.kind));
        let named = by_kind.remove(&count.kind).unwrap_or_default();
        named.iter().for_each(|route| text.push_str(&line(route)));
        let rest = count.count.saturating_sub(u64::try_from(named.len()).unwrap_or(u64::MAX));
        if rest > 0 {
            text.push_str(&format!("    and {rest} more; --all names them\n"));
        }
    }
    text
}

fn line(route: &RouteImpact) -> String {
    let mut text = format!("    {}", clean(&route.prefix));
    if let Some(peer) = &route.peer {
        let word = match route.kind {
            ImpactKind::Announced | ImpactKind::Reannounced => "to",
            _ => "from",
        };
        text.push_str(&format!(" {word} {}", clean(peer)));
    }
    if let Some(detail) = &route.detail {
        let mark = if route.peer.is_some() { ": " } else { " " };
        text.push_str(&format!("{mark}{}", clean(detail)));
    }
    text.push('\n');
    text
}
