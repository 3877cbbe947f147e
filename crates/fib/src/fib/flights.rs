//! Operations given out and not yet answered.
//!
//! Their numbers go up by one, and answers come in about the same order, so they are a window.

use std::collections::VecDeque;

use bgp_wire::{Family, PerFamily};

use crate::event::Kind;
use crate::op::OpId;
use crate::routes::{BodyId, family_of};

/// What an operation in flight was.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    PutHop { id: u32, exclusive: bool },
    DelHop { id: u32 },
    PutGroup { id: u32, exclusive: bool },
    DelGroup { id: u32 },
    PutRoute { slot: u32 },
    DelRoute { slot: u32 },
    DelExtra { slot: u32, body: BodyId },
    Probe,
    Dump(Kind),
    Audit,
}

impl What {
    pub(super) fn is_write(&self) -> bool {
        !matches!(self, Self::Probe | Self::Dump(_) | Self::Audit)
    }

    /// The body that only it remembers.
    pub(super) fn body(&self) -> Option<BodyId> {
        match self {
            Self::DelExtra { body, .. } => Some(*body),
            Self::PutHop { .. }
            | Self::DelHop { .. }
            | Self::PutGroup { .. }
            | Self::DelGroup { .. }
            | Self::PutRoute { .. }
            | Self::DelRoute { .. }
            | Self::Probe
            | Self::Dump(_)
            | Self::Audit => None,
        }
    }

    /// The family of the route that it is about.
    fn route(&self) -> Option<Family> {
        match self {
            Self::PutRoute { slot } | Self::DelRoute { slot } | Self::DelExtra { slot, .. } => {
                Some(family_of(*slot))
            }
            Self::PutHop { .. }
            | Self::DelHop { .. }
            | Self::PutGroup { .. }
            | Self::DelGroup { .. }
            | Self::Probe
            | Self::Dump(_)
            | Self::Audit => None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// The number of the first in the window.
    first: u64,
    window: VecDeque<Option<What>>,
    all: usize,
    writes: usize,
    routes: PerFamily<usize>,
}

impl Flights {
    #[inline]
    pub(super) fn start(&mut self, what: What) -> OpId {
        let id = self.next_id();
        self.window.push_back(Some(what));
        self.all += 1;
        self.writes += usize::from(what.is_write());
        if let Some(family) = what.route() {
            self.routes[family] += 1;
        }
        id
    }

    /// The number that the next one gets.
    pub(super) fn next_id(&self) -> OpId {
        OpId(self.first.wrapping_add(u64::try_from(self.window.len()).unwrap_or(u64::MAX)))
    }

    /// Ends a flight; `None` where there is none of this number.
    #[inline]
    pub(super) fn end(&mut self, OpId(id): OpId) -> Option<What> {
        let what = if id == self.first {
            self.first += u64::from(!self.window.is_empty());
            self.window.pop_front()?
        } else {
            let place = usize::try_from(id.checked_sub(self.first)?).ok()?;
            self.window.get_mut(place)?.take()
        };
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first += 1;
        }
        let what = what?;
        self.all -= 1;
        self.writes -= usize::from(what.is_write());
        if let Some(family) = what.route() {
            self.routes[family] -= 1;
        }
        Some(what)
    }

    pub(super) fn len(&self) -> usize {
        self.all
    }

    /// Operations that change something in the kernel.
    pub(super) fn writes(&self) -> usize {
        self.writes
    }

    /// Operations on routes of a family.
    pub(super) fn routes(&self, family: Family) -> usize {
        self.routes[family]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &What> {
        self.window.iter().flatten()
    }
}
