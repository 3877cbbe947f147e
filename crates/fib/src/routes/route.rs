//! One route in 32 octets: what is wanted, what the kernel holds and what is on its way to it, each a number.
//!
//! What few routes have (an error, a pause, a second route beside it) is kept apart, in [`Rare`].

use crate::guard::{Guard, Trouble};
use crate::objects::{Flight, Held};
use crate::routes::body::BodyId;

/// No slot, no set.
pub(crate) const NONE: u32 = u32::MAX;

/// See [`Route::born`].
pub(crate) const LONG_AGO: u16 = 0;
/// See [`Route::wanted_at`].
pub(crate) const ARRIVED: u32 = 0;

const ABSENT: u32 = 0;
const DOUBT: u32 = 1;
const GROUNDED: u32 = 0;
const DELETION: u32 = 1;

/// Something that a route is or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flag {
    /// The slot is taken.
    Used = 1,
    /// In the queue.
    Queued = 2,
    /// While in flight something happened that the answer will not tell.
    Doubt = 4,
    /// The kernel says that a route is there and we know of none: the next dump will tell.
    Look = 8,
    /// Found at start and not yet replaced or confirmed.
    Leftover = 16,
    /// There is a [`Rare`] for it.
    Rare = 32,
    /// Among the removals that wait.
    PutOff = 64,
    /// Acknowledged, and not shown when the kernel was read back.
    Missed = 128,
}

/// How far a route has come, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Removing,
    Leftover,
    Pending,
    Installed,
    Blocked,
    Failed,
    Paused,
    Unresolved,
}

impl Stage {
    /// How many there are.
    pub(super) const COUNT: usize = 8;
}

/// One prefix.
#[derive(Debug)]
pub(crate) struct Route {
    /// The set that is wanted, [`NONE`] for nothing.
    pub(crate) set: u32,
    /// Neighbours in the list of the set's routes.
    pub(crate) before: u32,
    pub(crate) after: u32,
    held: u32,
    flight: u32,
    /// When what it is to be was wanted, in the units of `fib::Clock`; [`ARRIVED`] from when it is so for the first time: what is
    /// put back later was not wanted anew.
    pub(crate) wanted_at: u32,
    /// The dump that has seen it last, and the one that was asked for before it was changed last.
    pub(crate) seen: u16,
    pub(crate) touched: u16,
    /// When it was wanted first, in the seconds of `fib::Clock`: no flow by it is older. [`LONG_AGO`] where that is not known,
    /// or so long ago that it makes no difference.
    pub(crate) born: u16,
    flags: u8,
    pub(crate) stage: Stage,
}

impl Route {
    pub(super) fn new() -> Self {
        Self { flags: Flag::Used as u8, ..Self::vacant(NONE) }
    }

    /// An unused slot, which names the next.
    pub(super) fn vacant(next_free: u32) -> Self {
        Self {
            set: NONE,
            before: NONE,
            after: next_free,
            held: ABSENT,
            flight: GROUNDED,
            wanted_at: ARRIVED,
            seen: 0,
            touched: 0,
            born: LONG_AGO,
            flags: 0,
            stage: Stage::Removing,
        }
    }

    pub(super) fn next_free(&self) -> u32 {
        self.after
    }

    #[inline]
    pub(crate) fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    /// Nothing about it is odd: what it is to be, what the kernel holds and what is on its way is all that there is to know.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        const ODD: u8 = Flag::Doubt as u8
            | Flag::Look as u8
            | Flag::Leftover as u8
            | Flag::Rare as u8
            | Flag::Missed as u8;
        self.flags & ODD == 0
    }

    /// Plain, and waits in no queue.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.flags == Flag::Used as u8
    }

    pub(crate) fn set_flag(&mut self, flag: Flag) {
        self.flags |= flag as u8;
    }

    /// Clears the flag; says whether it was set.
    pub(crate) fn take_flag(&mut self, flag: Flag) -> bool {
        let was = self.is(flag);
        self.flags &= !(flag as u8);
        was
    }

    /// What the kernel holds, as far as we know.
    pub(crate) fn held(&self) -> Held<BodyId> {
        match self.held {
            ABSENT => Held::Absent,
            DOUBT => Held::Doubt,
            body => Held::Present(BodyId::from_raw(body)),
        }
    }

    /// Returns what was held before.
    pub(crate) fn set_held(&mut self, held: &Held<BodyId>) -> Held<BodyId> {
        let before = self.held();
        self.held = match held {
            Held::Absent => ABSENT,
            Held::Doubt => DOUBT,
            Held::Present(body) => body.raw(),
        };
        before
    }

    /// The kernel holds something, or may.
    pub(crate) fn holds_any(&self) -> bool {
        self.held != ABSENT
    }

    /// The kernel holds a route through an object of ours, or may.
    pub(crate) fn holds_plainly(&self) -> bool {
        match self.held() {
            Held::Absent => false,
            Held::Doubt => true,
            Held::Present(body) => !body.is_rare(),
        }
    }

    pub(crate) fn holds(&self, body: BodyId) -> bool {
        self.held == body.raw()
    }

    /// What is on its way.
    pub(crate) fn flight(&self) -> Option<Flight<BodyId>> {
        match self.flight {
            GROUNDED => None,
            DELETION => Some(Flight::Del),
            body => Some(Flight::Put(BodyId::from_raw(body))),
        }
    }

    /// Packets may go by it: the kernel has a route of ours, or may have.
    pub(crate) fn may_carry(&self) -> bool {
        self.holds_any() || self.is_flying()
    }

    pub(crate) fn is_flying(&self) -> bool {
        self.flight != GROUNDED
    }

    pub(crate) fn set_flight(&mut self, flight: &Flight<BodyId>) {
        self.flight = match flight {
            Flight::Del => DELETION,
            Flight::Put(body) => body.raw(),
        };
    }

    /// The answer is there.
    pub(crate) fn land(&mut self) -> Option<Flight<BodyId>> {
        let flight = self.flight();
        self.flight = GROUNDED;
        flight
    }
}

/// What few routes have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Further routes of ours for the prefix, which must go.
    pub(crate) extra: Vec<BodyId>,
    /// Whose route is in the way.
    pub(crate) blocked: Option<u8>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) guard: Option<Guard>,
}

impl Rare {
    pub(super) fn is_empty(&self) -> bool {
        self.extra.is_empty() && self.blocked.is_none() && self.trouble.is_none() && self.guard.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_takes_32_octets() {
        assert_eq!(size_of::<Route>(), 32);
    }
}
