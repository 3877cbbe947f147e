//! What a changed setting of one peer costs it.

use std::fmt;

use super::super::model::{Neighbor, Session, Settings};

/// What has to be done for a changed setting, cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The session stays; the new value is used from now on or from the next connection on.
    Soft,
    /// The session stays; its routes are judged and announced anew.
    Policy,
    /// The session is ended and opened again, because the peer has agreed to the old value.
    Reset,
}

/// The settings of one peer that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Each key with what it costs.
    pub keys: Vec<(&'static str, Effect)>,
}

impl Change {
    /// The dearest effect of all; `None` if nothing differs.
    pub fn effect(&self) -> Option<Effect> {
        self.keys.iter().map(|(_, effect)| *effect).max()
    }

    pub(super) fn of_neighbor(old: &Neighbor, new: &Neighbor) -> Self {
        let mut change = Self::of_settings(&old.settings, &new.settings);
        change.add("peer-group", Effect::Soft, old.group != new.group);
        change.add("interface", Effect::Reset, old.interface != new.interface);
        change
    }

    /// What differs between two settings.
    pub fn of_settings(old: &Settings, new: &Settings) -> Self {
        let mut change = Self::default();
        change.add("description", Effect::Soft, old.description != new.description);
        change.add("remote-asn", Effect::Reset, old.remote_asn != new.remote_asn);
        change.add("import", Effect::Policy, old.import != new.import);
        change.add("export", Effect::Policy, old.export != new.export);
        change.add("maximum-prefix", Effect::Policy, old.maximum_prefix != new.maximum_prefix);
        change.add("allow-own-as", Effect::Policy, old.allow_own_as != new.allow_own_as);
        change.add("enforce-first-as", Effect::Policy, old.enforce_first_as != new.enforce_first_as);
        change.add("next-hop-self", Effect::Policy, old.next_hop_self != new.next_hop_self);
        let graceful_shutdown = old.graceful_shutdown != new.graceful_shutdown;
        change.add("graceful-shutdown", Effect::Policy, graceful_shutdown);
        change.add("weight", Effect::Policy, old.weight != new.weight);
        change.add("bfd", Effect::Soft, old.bfd != new.bfd);
        change.session(&old.session, &new.session);
        change
    }

    fn session(&mut self, old: &Session, new: &Session) {
        self.add("families", Effect::Reset, old.families != new.families);
        self.add("mode", Effect::Soft, old.mode != new.mode);
        self.add("port", Effect::Soft, old.port != new.port);
        self.add("local-address", Effect::Reset, old.local_address != new.local_address);
        self.add("ebgp-multihop or ttl-security", Effect::Reset, old.ttl != new.ttl);
        // RFC 2385 section 4.1 leaves changing a key to the two ends; the kernel takes a new one for a live connection,
        // but a connection that has none cannot begin to sign.
        let replaced = old.password.is_some() && new.password.is_some();
        self.add(
            "password",
            if replaced { Effect::Soft } else { Effect::Reset },
            old.password != new.password,
        );
        self.add("hold-time", Effect::Reset, old.hold_time != new.hold_time);
        self.add("keepalive", Effect::Reset, old.keepalive != new.keepalive);
        self.add("connect-retry-time", Effect::Soft, old.connect_retry != new.connect_retry);
        self.add("send-hold-time", Effect::Soft, old.send_hold != new.send_hold);
        self.add("tcp-user-timeout", Effect::Soft, old.tcp_user_timeout != new.tcp_user_timeout);
        self.add("graceful-restart", Effect::Reset, old.graceful_restart != new.graceful_restart);
        self.add("shutdown", Effect::Reset, old.shutdown != new.shutdown);
    }

    fn add(&mut self, key: &'static str, effect: Effect, differs: bool) {
        if differs {
            self.keys.push((key, effect));
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.keys.iter().map(|(key, _)| *key).collect();
        f.write_str(&keys.join(", "))?;
        match self.effect() {
            Some(Effect::Reset) => f.write_str(" (session reset)"),
            Some(Effect::Policy) => f.write_str(" (routes judged anew, session kept)"),
            Some(Effect::Soft) | None => f.write_str(" (session kept)"),
        }
    }
}
