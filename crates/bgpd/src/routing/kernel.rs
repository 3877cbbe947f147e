//! What the kernel says: answers, events; and what of it belongs into the log, the metrics and the event stream.

use std::collections::BTreeSet;
use std::time::Instant;

use bgp_api::{EventKind, NexthopState};
use bgp_fib::{Arrivals, Differences, Notice, Reachability};
use bgp_netlink::{Answers, Report, Said};
use metrics::histogram;
use tracing::{debug, error, info, warn};

use super::views::protocol_name;
use super::{Routing, undone};

impl Routing {
    pub(super) fn on_report(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Events(events) => {
                for event in events {
                    let Self { fib, rib, .. } = self;
                    fib.observe(event, &|prefix| rib.number(prefix), now);
                }
            }
            Report::Answers(answers) => self.on_answers(answers, now),
        }
    }

    fn on_answers(&mut self, answers: Answers, now: Instant) {
        let mut arrivals = if self.hub.is_heard() { Arrivals::with_names() } else { Arrivals::default() };
        for said in answers.into_said() {
            match said {
                Said::Done { first, count } => self.fib.confirm_run(first, count, now, &mut arrivals),
                Said::Refused(id, error) => {
                    let errno = error.errno;
                    if self.fib.refused(id, error, now, &mut arrivals) {
                        *self.errors.entry(errno).or_default() += 1;
                    }
                }
            }
        }
        arrivals.prefixes.iter().for_each(|prefix| self.publish_installed(prefix));
        let wanted_at: BTreeSet<Instant> = arrivals.wanted_at.into_iter().collect();
        // Routes that came together and arrived together count once: a whole table is no million observations.
        for wanted_at in wanted_at {
            let took = now.saturating_duration_since(wanted_at);
            histogram!("bgpd_update_to_kernel_seconds").record(took.as_secs_f64());
        }
    }

    fn publish_installed(&self, prefix: &bgp_wire::Prefix) {
        self.hub.publish(|| match self.fib_view(prefix) {
            Some(route) if !route.wanted.is_empty() => EventKind::FibInstall {
                prefix: prefix.to_string(),
                nhid: route.nexthop_id,
                next_hops: route.via.iter().map(|via| via.gateway.to_string()).collect(),
            },
            _ => EventKind::FibRemove { prefix: prefix.to_string() },
        });
    }

    /// Says that the kernel is as it is to be left, once it is. Routing goes on until the daemon ends: sessions may still
    /// be closing.
    pub(super) fn report_stop(&mut self) {
        if self.stopping.is_some()
            && self.fib.is_settled()
            && let Some(reply) = self.stopping.take()
        {
            // The daemon may have lost its patience.
            reply.send(()).ok();
        }
    }

    pub(super) fn take_notices(&mut self) {
        let mut notices = Vec::new();
        self.fib.take_notices(&mut notices);
        for notice in notices {
            self.publish_notice(&notice);
            log_notice(&notice);
            if let Notice::Undone(meddling) = notice {
                let hub = self.hub.clone();
                // Files are read to find out who it was.
                tokio::task::spawn_blocking(move || undone::tell(&meddling, &hub));
            }
        }
    }

    fn publish_notice(&self, notice: &Notice) {
        match notice {
            Notice::Blocked { prefix, protocol } => self.hub.publish(|| EventKind::FibError {
                prefix: prefix.to_string(),
                error: format!("a route of protocol {} has its place", protocol_name(*protocol)),
                errno: None,
            }),
            Notice::Failed { prefix, error } => self.hub.publish(|| EventKind::FibError {
                prefix: prefix.to_string(),
                error: error.to_string(),
                errno: Some(error.errno),
            }),
            Notice::NextHop { next_hop, reachability, .. } => self.hub.publish(|| EventKind::NexthopChange {
                next_hop: next_hop.next_hop.to_string(),
                state: match reachability {
                    Reachability::Reachable { .. } => NexthopState::Reachable,
                    Reachability::Unreachable(_) => NexthopState::Unreachable,
                },
                resolution: match reachability {
                    Reachability::Reachable { metric } => format!("reachable, metric {metric}"),
                    Reachability::Unreachable(reason) => reason.to_string(),
                },
            }),
            Notice::Undone(_)
            | Notice::NexthopFailed { .. }
            | Notice::Paused { .. }
            | Notice::Mapped { .. }
            | Notice::NoNexthopObjects
            | Notice::Found { .. }
            | Notice::Swept { .. }
            | Notice::NodeDrained { .. }
            | Notice::NodeNeeded { .. }
            | Notice::Resync
            | Notice::Audited { .. }
            | Notice::Differ { .. } => {}
        }
    }
}

fn log_notice(notice: &Notice) {
    match notice {
        Notice::Blocked { prefix, protocol } => warn!(
            %prefix,
            protocol = protocol_name(*protocol),
            "not installed: another program's route has the same metric; remove it, or set kernel.metric to another value"
        ),
        Notice::Failed { prefix, error } => {
            warn!(%prefix, %error, "the kernel refused the route; it is tried again")
        }
        Notice::NexthopFailed { id, error } => {
            warn!(id, %error, "the kernel refused the nexthop object; it is tried again")
        }
        // See `undone`.
        Notice::Undone(_) => {}
        Notice::Paused { prefix, .. } => {
            error!(%prefix, "somebody keeps removing our route; we pause before the next try")
        }
        Notice::Mapped { how } => info!("IPv4-mapped next hop resolved: {how}"),
        // What every route with a new next hop finds is nothing to wake somebody for.
        Notice::NextHop { next_hop, reachability: Reachability::Reachable { .. }, first: true } => {
            debug!(next_hop = %next_hop.next_hop, "next hop is reachable");
        }
        Notice::NextHop { next_hop, reachability: Reachability::Reachable { .. }, first: false } => {
            info!(next_hop = %next_hop.next_hop, "next hop is reachable");
        }
        Notice::NextHop { next_hop, reachability: Reachability::Unreachable(reason), .. } => {
            info!(next_hop = %next_hop.next_hop, %reason, "next hop is unreachable");
        }
        Notice::NoNexthopObjects => {
            warn!(
                "this kernel has no nexthop objects; routes carry their next hops, and changes take longer"
            );
        }
        Notice::Found { routes: 0, nexthops: 0 } => debug!("no routes of an earlier run in the kernel"),
        Notice::Found { routes, nexthops } => {
            info!(routes, nexthops, "found what an earlier run left in the kernel")
        }
        Notice::NodeDrained { node, after } => {
            info!(
                node,
                after = format!("{:.1} s", after.as_secs_f32()),
                "the node carries no flow any more: its legs are taken out"
            )
        }
        Notice::NodeNeeded { node } => warn!(
            node,
            "the node was drained and is the last leg of a route now: it carries flows again; bgpctl drain NODE --force removes such routes"
        ),
        Notice::Swept { routes } => {
            info!(routes, "removed routes of an earlier run that nobody announces any more")
        }
        Notice::Audited { routes, took } => {
            debug!(routes, took_ms = took.as_millis(), "the kernel's routes were read back")
        }
        Notice::Differ { found, examples } => {
            let Differences { missing, changed, unexpected } = found;
            let examples: Vec<String> = examples.iter().map(ToString::to_string).collect();
            warn!(
                missing,
                changed,
                unexpected,
                first = examples.join(", "),
                "the kernel did not hold what it had acknowledged, and had not said so; it is put right"
            );
        }
        Notice::Resync => warn!("kernel notifications were lost; reading everything again"),
    }
}

/// The symbolic name of an error number, or the number.
pub(super) fn errno_name(errno: i32) -> String {
    match nix::errno::Errno::from_raw(errno) {
        nix::errno::Errno::UnknownErrno => errno.to_string(),
        known => format!("{known:?}"),
    }
}
