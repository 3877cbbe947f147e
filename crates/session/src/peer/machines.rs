//! The two machines of a peer: one for each connection, RFC 4271 section 8.2.1.
//!
//! Owns which machine takes which connection, and what one means for the other. After [`Peer::settle`] these hold:
//!
//! - a rival has a connection, and the peer opened it;
//! - an Established machine is the main one, and nothing is dialled beside it;
//! - the main machine has a connection if the rival is past OpenSent.

use std::time::Instant;

use super::Peer;
use crate::collision::{self, Other};
use crate::config::OwnRestart;
use crate::connection::{Connection, ConnectionId, Direction};
use crate::counters::MessageKind;
use crate::output::{Note, Output};
use crate::state::{Active, Context, Event, State};
use crate::status::StateName;

/// Which machine of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Main,
    Rival,
}

impl Peer {
    pub(super) fn dialled(&mut self, connection: Connection, now: Instant, out: &mut Vec<Output>) {
        match self.main {
            State::Connect(_) => self.step(Slot::Main, Event::Connected(connection), now, out),
            // The dial had been given up; an OPEN here would be a word that is not kept, see `collision`.
            State::Idle(_)
            | State::Active(_)
            | State::OpenSent(_)
            | State::OpenConfirm(_)
            | State::Established(_) => out.push(Output::Close(connection.id)),
        }
    }

    /// The peer has dialled: only a stopped peer, and one that is configured to dial alone, refuses it.
    pub(super) fn accept(&mut self, connection: Connection, now: Instant, out: &mut Vec<Output>) {
        if !matches!(self.main, State::Idle(_)) && !self.config.mode.accepts() {
            return self.reject(connection.id, out);
        }
        // A peer dials one connection at a time: an earlier one of its own that is no session is one that it has lost.
        if self.is_unfinished_incoming() {
            self.step(Slot::Main, Event::CollisionLost, now, out);
        }
        if self.rival.is_some() {
            self.step(Slot::Rival, Event::CollisionLost, now, out);
            self.rival = None;
        }
        match self.main {
            State::Idle(_) | State::Active(_) => {
                self.step(Slot::Main, Event::Connected(connection), now, out);
            }
            State::Connect(_) | State::OpenSent(_) | State::OpenConfirm(_) | State::Established(_) => {
                self.rival = Some(State::Active(Active { next_dial: None }));
                self.step(Slot::Rival, Event::Connected(connection), now, out);
            }
        }
    }

    fn is_unfinished_incoming(&self) -> bool {
        !matches!(self.main, State::Established(_))
            && self.main.connection().is_some_and(|connection| connection.direction == Direction::Incoming)
    }

    fn reject(&mut self, id: ConnectionId, out: &mut Vec<Output>) {
        let octets = collision::rejected().encode();
        self.record.counters.sent(MessageKind::Notification, 1, octets.len());
        out.push(Output::Send(id, octets));
        out.push(Output::Close(id));
        let reason = "the configuration has us dial, not the peer".to_owned();
        out.push(Output::Note(Note::Refused { connection: id, reason }));
    }

    /// Hands an event to a machine and does what it wants of the other one.
    pub(super) fn step(&mut self, slot: Slot, event: Event, now: Instant, out: &mut Vec<Output>) {
        let (this, other) = match slot {
            Slot::Main => (Some(self.take_main()), self.rival.as_ref()),
            Slot::Rival => (self.rival.take(), Some(&self.main)),
        };
        let Some(this) = this else { return };
        let mut cx = Context {
            config: &self.config,
            now,
            dials: slot == Slot::Main && self.config.mode.dials(),
            other: other.and_then(Other::of),
            give_up_other: false,
            pace: &mut self.pace,
            record: &mut self.record,
            out,
        };
        let next = this.on(event, &mut cx);
        let give_up_other = cx.give_up_other;
        match slot {
            Slot::Main => self.main = next,
            Slot::Rival => self.rival = Some(next),
        }
        if give_up_other {
            // The other one has no other to give up in turn: this ends here.
            self.step(slot.other(), Event::CollisionLost, now, out);
        }
    }

    fn take_main(&mut self) -> State {
        std::mem::replace(&mut self.main, State::Active(Active { next_dial: None }))
    }

    /// Brings the two machines into one of the shapes that the head of this file lists.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.rival.take_if(|rival| rival.connection().is_none());
        let ahead = match &self.rival {
            None => false,
            Some(State::OpenConfirm(_) | State::Established(_)) => self.main.connection().is_none(),
            Some(_) => matches!(self.main, State::Active(_)),
        };
        if ahead && let Some(rival) = self.rival.take() {
            // A dial that is under way, or would be soon, is not needed any more.
            self.step(Slot::Main, Event::CollisionLost, now, out);
            self.main = rival;
        }
        self.show(now, out);
    }

    fn show(&mut self, now: Instant, out: &mut Vec<Output>) {
        let (from, to) = (self.shown.0, self.furthest().name());
        if from != to {
            self.shown = (to, now);
            if to == StateName::Established {
                // RFC 4724 section 4.1: R is for the first session after a restart; from now on what we forward stays.
                self.config.own_restart = OwnRestart::default();
            }
            out.push(Output::Note(Note::State { from, to }));
        }
    }

    /// The machine that the operator is shown.
    pub(super) fn furthest(&self) -> &State {
        match &self.rival {
            Some(rival) if rival.name() > self.main.name() => rival,
            Some(_) | None => &self.main,
        }
    }

    pub(super) fn due(&self, slot: Slot, now: Instant) -> Option<Event> {
        let due = self.at(slot)?.timers().filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at);
        due.map(|(_, timer)| timer.into())
    }

    pub(super) fn at(&self, slot: Slot) -> Option<&State> {
        match slot {
            Slot::Main => Some(&self.main),
            Slot::Rival => self.rival.as_ref(),
        }
    }

    pub(super) fn slot(&self, id: ConnectionId) -> Option<Slot> {
        let has = |slot: &Slot| self.at(*slot).and_then(State::connection).is_some_and(|c| c.id == id);
        [Slot::Main, Slot::Rival].into_iter().find(has)
    }

    pub(super) fn machine(&mut self, id: ConnectionId) -> Option<&mut State> {
        match self.slot(id)? {
            Slot::Main => Some(&mut self.main),
            Slot::Rival => self.rival.as_mut(),
        }
    }
}

impl Slot {
    fn other(self) -> Self {
        match self {
            Self::Main => Self::Rival,
            Self::Rival => Self::Main,
        }
    }
}
