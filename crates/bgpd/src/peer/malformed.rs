//! UPDATEs of a peer that are malformed, in the log: RFC 7606 section 6 asks for the routes and for the whole message.
//!
//! Owns what is said; how often is [`Allowance`]'s matter.

use std::time::Instant;

use bgp_session::Malformed;
use bgp_wire::Update;
use tracing::warn;

use crate::log::Allowance;

/// Routes that are named.
const NAMED: usize = 20;

/// Logs one message, unless there have been many of them.
pub(super) fn log(malformed: &Malformed, allowance: &mut Allowance, now: Instant) {
    let Some(unsaid) = allowance.take(now) else { return };
    let message = format!("{:x}", malformed.body);
    let Some(update) = &malformed.update else {
        warn!(unsaid, message, "malformed UPDATE; it costs the session");
        return;
    };
    let routes = routes(update);
    for fault in &update.faults {
        warn!(attribute = fault.code, cost = ?fault.remedy, octets = format!("{:x}", fault.octets), routes, "malformed attribute: {}", fault.reason);
    }
    warn!(unsaid, message, "the UPDATE with the malformed attributes, whole, behind its header");
}

/// The destinations of an UPDATE, the first of them by name.
fn routes(update: &Update) -> String {
    let announced = update.announced.iter().map(|announcement| &announcement.nlri);
    let mut entries = update.withdrawn.iter().chain(announced).flatten();
    let mut text: Vec<String> = entries.by_ref().take(NAMED).map(|entry| entry.prefix.to_string()).collect();
    match entries.count() {
        0 => {}
        more => text.push(format!("and {more} more")),
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_named_up_to_a_number() {
        use bgp_wire::update::Nlri;
        use bgp_wire::{Family, Prefix};

        let prefix = |n: u8| format!("10.0.{n}.0/24").parse::<Prefix>().map(Into::into).unwrap();
        let nlri = |count| Nlri::from_entries(Family::Ipv4Unicast, false, (0..count).map(prefix));
        let update = |count| Update { withdrawn: [nlri(count)].into_iter().collect(), ..Update::default() };
        assert_eq!(routes(&update(2)), "10.0.0.0/24 10.0.1.0/24");
        assert!(routes(&update(23)).ends_with("10.0.19.0/24 and 3 more"));
    }
}
