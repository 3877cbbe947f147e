//! The settings of one peer: what it says itself, then its group, then `[bgp]`, then the default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bgp_policy::Policy;
use bgp_wire::{Asn, Family, PerFamily};
use toml::Spanned;

use super::super::fault::{Fault, Sink, Span};
use super::super::file::{self, Action, Peer, Text, Timers};
use super::super::model::{
    LimitAction, MaximumPrefix, Mode, Password, RemoteAsn, Session, Settings, Shutdown, Ttl,
};
use super::policies::PrefixLists;
use super::{bfd, known, password, session};

/// What all peers share.
pub(super) struct Context<'a> {
    /// Our own AS, if the file says it.
    pub(super) asn: Option<Asn>,
    /// `[bgp]`'s.
    pub(super) timers: &'a Timers,
    pub(super) prefix_lists: &'a PrefixLists,
    /// What relative paths begin at.
    pub(super) directory: &'a Path,
}

/// A peer's own settings over those of its group.
pub(super) struct Levels<'a> {
    pub(super) own: &'a Peer,
    pub(super) group: Option<&'a Peer>,
    /// Where to say what is missing.
    pub(super) place: Span,
}

impl<'a> Levels<'a> {
    fn pick<T>(&self, key: impl Fn(&'a Peer) -> &'a Option<Spanned<T>>) -> Option<&'a Spanned<T>> {
        key(self.own).as_ref().or_else(|| key(self.group?).as_ref())
    }

    fn copied<T: Copy + 'a>(&self, key: impl Fn(&'a Peer) -> &'a Option<Spanned<T>>) -> Option<T> {
        self.pick(key).map(|typed| *typed.get_ref())
    }

    /// The typed local address.
    pub(super) fn local_address(&self) -> Option<&'a Spanned<std::net::IpAddr>> {
        self.pick(|peer| &peer.local_address)
    }

    /// What the inner level that says anything about it says; for keys that exclude each other and so go together.
    fn first<T>(&self, mut of: impl FnMut(&'a Peer) -> Option<T>) -> Option<T> {
        let own = of(self.own);
        let group = self.group.map(&mut of);
        own.or(group.flatten())
    }

    fn timers(&self, cx: &'a Context<'_>) -> Vec<&'a Timers> {
        let mut levels = vec![&self.own.timers];
        levels.extend(self.group.map(|group| &group.timers));
        levels.push(cx.timers);
        levels
    }
}

/// Resolves everything but the remote AS, whose absence only the caller can judge.
pub(super) fn settings(
    levels: &Levels<'_>,
    remote_asn: RemoteAsn,
    cx: &Context<'_>,
    sink: &mut Sink,
) -> Settings {
    let external = remote_asn.is_external(known(cx.asn));
    let session = session(levels, external, cx, sink);
    let bfd_levels: Vec<_> =
        [Some(levels.own), levels.group].into_iter().flatten().filter_map(|peer| peer.bfd.as_ref()).collect();
    let bfd = bfd::check(&bfd_levels, session.ttl, external, sink);
    Settings {
        description: levels.pick(|peer| &peer.description).map(|text| text.get_ref().0.clone()),
        remote_asn,
        session,
        bfd,
        import: policy("import", levels.pick(|peer| &peer.import), cx, sink),
        export: policy("export", levels.pick(|peer| &peer.export), cx, sink),
        maximum_prefix: levels
            .pick(|peer| &peer.maximum_prefix)
            .and_then(|typed| maximum_prefix(typed.get_ref(), typed.span(), sink)),
        allow_own_as: levels.pick(|peer| &peer.allow_own_as).map_or(0, |times| times.get_ref().get()),
        enforce_first_as: levels.copied(|peer| &peer.enforce_first_as).unwrap_or(true),
        next_hop_self: levels.copied(|peer| &peer.next_hop_self).unwrap_or(false),
        graceful_shutdown: levels.copied(|peer| &peer.graceful_shutdown).unwrap_or(false),
        weight: levels.pick(|peer| &peer.weight).map(|weight| weight.get_ref().get()),
    }
}

fn policy(key: &str, typed: Option<&Spanned<Text<63>>>, cx: &Context<'_>, sink: &mut Sink) -> Option<Policy> {
    typed.and_then(|typed| cx.prefix_lists.policy(key, typed, sink))
}

fn session(levels: &Levels<'_>, external: bool, cx: &Context<'_>, sink: &mut Sink) -> Session {
    let timer_levels = levels.timers(cx);
    let timers = session::timers(&timer_levels, sink);
    let distance = levels.first(|peer| session::ttl(peer, external, sink));
    let (password, password_file) = password(levels, cx, sink).unzip();
    Session {
        families: families(levels, sink),
        mode: levels.copied(|peer| &peer.mode).unwrap_or(Mode::Both),
        port: levels.pick(|peer| &peer.port).map_or(179, |port| port.get_ref().get()),
        local_address: levels.pick(|peer| &peer.local_address).and_then(|typed| local_address(typed, sink)),
        ttl: distance.unwrap_or(if external { Ttl::Direct } else { Ttl::Multihop(255) }),
        password,
        password_file: password_file.flatten(),
        hold_time: timers.hold_time,
        keepalive: timers.keepalive,
        connect_retry: timers.connect_retry,
        send_hold: timers.send_hold,
        tcp_user_timeout: timers.tcp_user_timeout,
        graceful_restart: session::graceful_restart(&timer_levels),
        shutdown: shutdown(levels, sink),
    }
}

/// A text is the reason for which it is shut down, also one that looks like a switch.
fn shutdown(levels: &Levels<'_>, sink: &mut Sink) -> Shutdown {
    let Some(typed) = levels.pick(|peer| &peer.shutdown) else { return Shutdown::No };
    if let Shutdown::Yes { reason: Some(reason) } = typed.get_ref()
        && ["true", "false", "yes", "no", "on", "off"].iter().any(|word| reason.eq_ignore_ascii_case(word))
    {
        let title = format!("`shutdown`: \"{reason}\" is a reason, and the neighbor is shut down for it");
        sink.push(Fault::warning(typed.span(), title).help("write true or false, without quotes"));
    }
    typed.get_ref().clone()
}

/// A neighbour with a password of its own does not need its group's to be readable.
fn password(levels: &Levels<'_>, cx: &Context<'_>, sink: &mut Sink) -> Option<(Password, Option<PathBuf>)> {
    let says = |peer: &Peer| peer.password.is_some() || peer.password_file.is_some();
    let level = Some(levels.own).filter(|peer| says(peer)).or(levels.group)?;
    password::check(level, cx.directory, sink)
}

fn families(levels: &Levels<'_>, sink: &mut Sink) -> PerFamily<bool> {
    let Some(typed) = levels.pick(|peer| &peer.families) else {
        return PerFamily { ipv4: true, ipv6: true };
    };
    if typed.get_ref().is_empty() {
        let fault = Fault::error(typed.span(), "`families` is empty: no route could be exchanged");
        let fault = fault.label("needs at least one").help("leave the key out to have both families");
        sink.missing("families", fault);
    }
    let has = |family: Family| typed.get_ref().iter().any(|entry| *entry.get_ref() == family);
    PerFamily::from_fn(has)
}

fn local_address(typed: &Spanned<std::net::IpAddr>, sink: &mut Sink) -> Option<std::net::IpAddr> {
    if let Some(why) = super::unusable(*typed.get_ref()) {
        let fault = Fault::error(typed.span(), format!("`local-address`: {why}"));
        sink.push(fault.label("needs one of this host's addresses"));
        return None;
    }
    Some(*typed.get_ref())
}

fn maximum_prefix(typed: &file::MaximumPrefix, place: Span, sink: &mut Sink) -> Option<MaximumPrefix> {
    let action = typed.action.as_ref().map_or(Action::Restart, |action| *action.get_ref());
    if let Some(after) = &typed.restart_after
        && action != Action::Restart
    {
        let fault = Fault::error(after.span(), "`restart-after` goes only with action = \"restart\"");
        let fault = fault.label("would have no effect");
        sink.push(match &typed.action {
            Some(action) => fault.related(action.span(), "the action"),
            None => fault,
        });
    }
    let Some(limit) = &typed.limit else {
        let fault = Fault::error(place, "`maximum-prefix` has no `limit`").label("needs: limit = NUMBER");
        sink.missing("limit", fault);
        return None;
    };
    Some(MaximumPrefix {
        limit: limit.get_ref().get(),
        warn_at: typed.warn_at.as_ref().map_or(75, |percent| percent.get_ref().get()),
        action: match action {
            Action::Warn => LimitAction::Warn,
            Action::Stop => LimitAction::Stop,
            Action::Restart => LimitAction::Restart(Duration::from_secs(
                typed.restart_after.as_ref().map_or(300, |seconds| seconds.get_ref().get()),
            )),
        },
    })
}

/// The remote AS of a peer, if any level says it.
pub(super) fn remote_asn(levels: &Levels<'_>) -> Option<RemoteAsn> {
    levels.copied(|peer| &peer.remote_asn)
}

/// RFC 8212: an external peer without an import policy takes nothing. Said where one word would change it.
pub(super) fn warn_without_import(
    levels: &Levels<'_>,
    settings: &Settings,
    who: &str,
    cx: &Context<'_>,
    sink: &mut Sink,
) {
    let typed = levels.pick(|peer| &peer.import).is_some();
    if typed || !settings.remote_asn.is_external(known(cx.asn)) {
        return;
    }
    let title = format!("{who} has no `import`: no route is taken from an external peer without one");
    let fault = Fault::warning(levels.place.clone(), title).label("takes nothing (RFC 8212)");
    sink.push(fault.help("import = \"all\" takes every route; import = \"none\" says that none is meant"));
}
