//! Timers, TTL, graceful restart and the rest of what the session machine needs.

use std::time::Duration;

use bgp_session::SendHold;
use bgp_wire::open::HoldTime;
use toml::Spanned;

use super::super::fault::{Fault, Sink};
use super::super::file::{Number, Peer, Timers};
use super::super::model::{GracefulRestart, GracefulRestartMode, Ttl};

/// The timers of a peer.
pub(super) struct Resolved {
    pub(super) hold_time: HoldTime,
    pub(super) keepalive: Option<u16>,
    pub(super) connect_retry: Duration,
    pub(super) send_hold: SendHold,
    pub(super) tcp_user_timeout: Option<Duration>,
}

/// The faults that a level of timers has by itself, whoever inherits from it.
pub(super) fn check_timers(timers: &Timers, sink: &mut Sink) {
    if let Some(typed) = &timers.hold_time
        && HoldTime::new(typed.get_ref().get()).is_none()
    {
        let title = format!("`hold-time` cannot be {}", typed.get_ref().get::<u32>());
        let fault = Fault::error(typed.span(), title).label("0 (off) or at least 3");
        sink.push(fault.help("RFC 4271 section 4.2 forbids 1 and 2 seconds"));
    }
}

/// The innermost of the levels that says something.
fn pick<'a, T>(
    levels: &[&'a Timers],
    key: impl Fn(&'a Timers) -> &'a Option<Spanned<T>>,
) -> Option<&'a Spanned<T>> {
    levels.iter().find_map(|timers| key(timers).as_ref())
}

/// The timers that apply, from the innermost level out.
pub(super) fn timers(levels: &[&Timers], sink: &mut Sink) -> Resolved {
    levels.iter().for_each(|timers| check_timers(timers, sink));
    let hold = pick(levels, |timers| &timers.hold_time);
    // What is no hold time has its fault already.
    let hold_time = HoldTime::new(hold.map_or(90, |hold| hold.get_ref().get())).unwrap_or(HoldTime::Off);
    let keepalive = pick(levels, |timers| &timers.keepalive);
    if let Some(keepalive) = keepalive {
        check_keepalive(keepalive, hold, hold_time, sink);
    }
    let retry = pick(levels, |timers| &timers.connect_retry_time);
    Resolved {
        hold_time,
        keepalive: keepalive.map(|keepalive| keepalive.get_ref().get()),
        connect_retry: Duration::from_secs(retry.map_or(10, |retry| retry.get_ref().get())),
        send_hold: send_hold(pick(levels, |timers| &timers.send_hold_time), hold_time, sink),
        tcp_user_timeout: user_timeout(pick(levels, |timers| &timers.tcp_user_timeout), hold_time),
    }
}

fn check_keepalive(
    typed: &Spanned<Number<1, 21845>>,
    hold: Option<&Spanned<Number<0, 65535>>>,
    hold_time: HoldTime,
    sink: &mut Sink,
) {
    let (keepalive, seconds) = (typed.get_ref().get::<u16>(), hold_time.as_secs());
    let fault = if hold_time == HoldTime::Off {
        Fault::warning(typed.span(), "`keepalive` has no effect: `hold-time` is 0").label("never sent")
    } else if keepalive >= seconds {
        Fault::error(typed.span(), format!("`keepalive` must be less than `hold-time`, which is {seconds}"))
            .label("the peer's hold timer would expire first")
            .help(format!("a third is usual: {}", seconds / 3))
    } else if keepalive > seconds / 3 {
        Fault::warning(
            typed.span(),
            format!("`keepalive` is more than a third of `hold-time`, which is {seconds}"),
        )
        .label("one lost packet may cost the session")
        .help(format!("at most {} is usual (RFC 4271 section 4.4)", seconds / 3))
    } else {
        return;
    };
    sink.push(match hold {
        Some(hold) => fault.related(hold.span(), "the hold time"),
        None => fault,
    });
}

/// RFC 9687: never shorter than the hold time, or the send hold timer would end sessions that the hold timer keeps.
fn send_hold(typed: Option<&Spanned<Number<0, 65535>>>, hold: HoldTime, sink: &mut Sink) -> SendHold {
    let Some(typed) = typed else { return SendHold::Recommended };
    let (seconds, hold) = (typed.get_ref().get::<u16>(), hold.as_secs());
    if seconds != 0 && seconds <= hold {
        let title = format!("`send-hold-time` must be more than `hold-time`, which is {hold}");
        let fault = Fault::error(typed.span(), title).label(format!("0 (off) or more than {hold}"));
        sink.push(fault.help("RFC 9687 section 6 recommends 480 or twice the hold time, whichever is more"));
    }
    match seconds {
        0 => SendHold::Off,
        seconds => SendHold::After(Duration::from_secs(seconds.into())),
    }
}

/// RFC 5482. By default the hold time: a peer that acknowledges nothing for so long, or has no room for so long, hears no
/// KEEPALIVE of ours and gives the session up itself. Less would end sessions that a slow peer could keep.
fn user_timeout(typed: Option<&Spanned<Number<0, 65535>>>, hold: HoldTime) -> Option<Duration> {
    let seconds = typed.map_or(hold.as_secs(), |typed| typed.get_ref().get());
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

/// RFC 4724, each key from the innermost level that says it.
pub(super) fn graceful_restart(levels: &[&Timers]) -> GracefulRestart {
    let tables = || levels.iter().filter_map(|timers| timers.graceful_restart.as_ref()).map(Spanned::get_ref);
    let mode = tables().find_map(|table| table.mode.as_ref()).map(|mode| *mode.get_ref());
    let restart_time =
        tables().find_map(|table| table.restart_time.as_ref()).map(|time| time.get_ref().get());
    let stale_time = tables().find_map(|table| table.stale_time.as_ref()).map(|time| time.get_ref().get());
    let long_lived =
        tables().find_map(|table| table.long_lived_stale_time.as_ref()).map(|time| time.get_ref().get());
    GracefulRestart {
        long_lived_stale_time: Duration::from_secs(long_lived.unwrap_or(0)),
        mode: mode.unwrap_or(GracefulRestartMode::Helper),
        restart_time: restart_time.unwrap_or(120),
        stale_time: Duration::from_secs(stale_time.unwrap_or(300)),
    }
}

/// How far away the peer may be, as one level says; `None` where it says nothing.
pub(super) fn ttl(peer: &Peer, external: bool, sink: &mut Sink) -> Option<Ttl> {
    match (&peer.ebgp_multihop, &peer.ttl_security) {
        (None, None) => None,
        (Some(multihop), Some(security)) => {
            let fault =
                Fault::error(security.span(), "`ttl-security` and `ebgp-multihop` exclude each other");
            sink.push(
                fault
                    .label("must arrive from near")
                    .related(multihop.span(), "may come from afar")
                    .help("for a peer some hops away, ttl-security = HOPS alone says both"),
            );
            None
        }
        (Some(multihop), None) => {
            if !external {
                let fault =
                    Fault::warning(multihop.span(), "`ebgp-multihop` has no effect: the peer is internal");
                sink.push(fault.label("internal peers may always be any distance away"));
                return None;
            }
            Some(Ttl::Multihop(multihop.get_ref().get()))
        }
        (None, Some(security)) => Some(Ttl::Security { hops: security.get_ref().get() }),
    }
}
