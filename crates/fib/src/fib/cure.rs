//! What could cure a refusal of the kernel, and trying again when that happens.
//!
//! A refused route is tried again after a while whatever happens, ever more rarely; but a route that waits for an address
//! should be there when the address is.

use std::fmt;
use std::time::{Duration, Instant};

use crate::fib::Fib;
use crate::kernel::{KernelError, errno};

/// All refused routes are tried again for an event, but no more often than this.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What could change the kernel's mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// A link, an address, a connected route or a next-hop object that is not there or not usable yet.
    Host,
    /// Memory, or room in a table.
    Room,
    /// The right to write routes.
    Privilege,
    /// A kernel that can do it.
    Kernel,
    /// Not known.
    Unknown,
}

impl Cure {
    /// By the kind of refusal.
    pub fn of(error: &KernelError) -> Self {
        match error.errno {
            errno::ENODEV
            | errno::ENETDOWN
            | errno::ENETUNREACH
            | errno::EHOSTUNREACH
            | errno::EADDRNOTAVAIL
            | errno::ENOENT
            | errno::ESRCH
            | errno::EINVAL => Self::Host,
            errno::ENOMEM
            | errno::ENOBUFS
            | errno::ENOSPC
            | errno::EAGAIN
            | errno::EINTR
            | errno::ETIMEDOUT => Self::Room,
            errno::EPERM | errno::EACCES => Self::Privilege,
            errno::EOPNOTSUPP => Self::Kernel,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "when a link, an address or a next-hop object of this host changes",
            Self::Room => "when the kernel has room for it",
            Self::Privilege => "when the daemon is started with CAP_NET_ADMIN",
            Self::Kernel => "with a kernel that can do it",
            Self::Unknown => "for reasons that are not known",
        })
    }
}

/// When refused routes are tried again for an event.
#[derive(Debug, Default)]
pub(super) struct Retries {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Retries {
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl Fib {
    /// Something has changed that could cure refusals.
    pub(super) fn host_has_changed(&mut self) {
        if self.has_refused_routes() && self.retries.due.is_none() {
            let earliest = self.retries.last.map_or(self.now, |last| last + TRY_AGAIN);
            self.retries.due = Some(earliest.max(self.now));
            self.retry_refused();
        }
    }

    /// Tries the refused routes again, if it is time for that.
    pub(super) fn retry_refused(&mut self) {
        let now = self.now;
        if self.retries.due.is_none_or(|due| due > now) {
            return;
        }
        (self.retries.last, self.retries.due) = (Some(now), None);
        let curable = |error: &KernelError| Cure::of(error) == Cure::Host;
        let refused: Vec<u32> = self
            .routes
            .rares()
            .filter(|(_, rare)| {
                let error = rare.trouble.as_ref().and_then(|trouble| trouble.error.as_ref());
                error.is_some_and(curable)
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in refused {
            self.routes.edit_rare(slot, |rare| {
                if let Some(trouble) = &mut rare.trouble {
                    trouble.until = now;
                }
            });
            self.enqueue(slot);
        }
    }

    /// Of the routes that the kernel refuses one, with what it said.
    pub fn a_refusal(&self) -> Option<(bgp_wire::Prefix, KernelError)> {
        let mut refused = self.routes.rares().filter_map(|(slot, rare)| {
            let error = rare.trouble.as_ref()?.error.clone()?;
            Some((self.routes.prefix(slot)?, error))
        });
        refused.next().filter(|_| self.has_refused_routes())
    }
}
