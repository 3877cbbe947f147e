//! BFD of a peer: whether, and with which intervals.

use std::time::Duration;

use bgp_bfd::Config;
use toml::Spanned;

use super::super::fault::{Fault, Sink};
use super::super::file::{Bfd, BfdChoice};
use super::super::model::Ttl;

/// What applies, from the innermost level out: that level says whether, and each key comes from the innermost table that
/// has it.
pub(super) fn check(
    levels: &[&Spanned<BfdChoice>],
    ttl: Ttl,
    external: bool,
    sink: &mut Sink,
) -> Option<Config> {
    let innermost = levels.first()?;
    if matches!(innermost.get_ref(), BfdChoice::Off) {
        return None;
    }
    let hops = match ttl {
        Ttl::Multihop(hops) if external => hops,
        // Internal peers have it without saying so, and may well be on the link.
        Ttl::Direct | Ttl::Multihop(_) => 1,
        Ttl::Security { hops } => hops,
    };
    if hops > 1 {
        let title = format!("`bfd` is for peers on the link, and this one may be {hops} hops away");
        let fault = Fault::error(innermost.span(), title).label("single hop only (RFC 5881)");
        sink.push(fault.help("its packets must arrive with TTL 255; leave out `bfd`, or the distance"));
    }
    let tables = || {
        levels.iter().filter_map(|level| match level.get_ref() {
            BfdChoice::Table(table) => Some(table.as_ref()),
            BfdChoice::On | BfdChoice::Off => None,
        })
    };
    let default = Config::default();
    let interval = |key: fn(&Bfd) -> Option<Duration>, default| tables().find_map(key).unwrap_or(default);
    let min_tx = interval(|table| Some(table.min_tx.as_ref()?.get_ref().get()), default.min_tx);
    let min_rx = interval(|table| Some(table.min_rx.as_ref()?.get_ref().get()), default.min_rx);
    let multiplier = tables().find_map(|table| table.multiplier.as_ref());
    let multiplier = multiplier.and_then(|typed| std::num::NonZeroU8::new(typed.get_ref().get()));
    let passive = tables().find_map(|table| table.passive.as_ref()).is_some_and(|typed| *typed.get_ref());
    Some(Config { min_tx, min_rx, multiplier: multiplier.unwrap_or(default.multiplier), passive })
}
