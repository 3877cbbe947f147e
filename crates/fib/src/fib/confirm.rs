//! What the kernel said to an operation, and what follows from it.
//!
//! Refusals come in classes. *Taken*: look at what is there before anything is replaced. *Out of memory, no answer*: wait,
//! read everything again, go on. *No next-hop objects*: routes carry their hops from now on. Everything else belongs to
//! the one object or route: it is shown, and tried again after a while or when something changes.

use std::time::Instant;

use crate::event::Kind;
use crate::fib::Fib;
use crate::fib::flights::What;
use crate::guard::Trouble;
use crate::kernel::{KernelError, errno};
use crate::objects::{Flight, Held};
use crate::op::OpId;
use crate::view::{Arrivals, Installed, Notice};

pub(super) type Answer = Result<(), KernelError>;

impl Fib {
    /// Takes in the kernel's answer to one operation. Says so where a prefix has thereby reached what was wanted.
    pub fn confirm(&mut self, id: OpId, result: Answer, now: Instant) -> Option<Installed> {
        let mut arrivals = Arrivals::with_names();
        match result {
            Ok(()) => self.confirm_run(id, 1, now, &mut arrivals),
            Err(error) => {
                self.refused(id, error, now, &mut arrivals);
            }
        }
        let (prefix, wanted_at) = (arrivals.prefixes.pop()?, arrivals.wanted_at.pop()?);
        Some(Installed { prefix, wanted_at })
    }

    /// Takes in that the kernel has done `count` operations from `first` on, and what has thereby become as it was wanted.
    pub fn confirm_run(&mut self, first: OpId, count: u32, now: Instant, arrivals: &mut Arrivals) {
        self.now = self.now.max(now);
        let now = self.now;
        self.congested.take_if(|trouble| count > 0 && !trouble.holds(now));
        for at in 0..u64::from(count) {
            match self.flights.end(OpId(first.0.wrapping_add(at))) {
                Some(What::PutRoute { slot }) => self.route_put(slot, arrivals),
                Some(What::DelRoute { slot }) => self.route_deleted(slot, arrivals),
                Some(other) => self.answered(other, Ok(()), arrivals),
                None => {}
            }
        }
    }

    /// Takes in that the kernel has refused an operation, or that it is not known whether it was done. What was to be removed
    /// and is not there has become as it was wanted. Says whether it counts as an error.
    pub fn refused(&mut self, id: OpId, error: KernelError, now: Instant, arrivals: &mut Arrivals) -> bool {
        self.now = self.now.max(now);
        let Some(what) = self.flights.end(id) else { return false };
        let counts = !is_harmless(&what, &error);
        self.errors += u64::from(counts);
        // A question that the kernel had no room for, or a table that could not be read, leaves no doubt about what it holds.
        if what.is_write() && is_congestion(&error) {
            self.congest(&error);
        }
        self.answered(what, Err(error), arrivals);
        counts
    }

    fn answered(&mut self, what: What, result: Answer, arrivals: &mut Arrivals) {
        match what {
            What::PutHop { id, exclusive } => self.hop_put(id, exclusive, result),
            What::DelHop { id } | What::DelGroup { id } => self.object_deleted(id, result),
            What::PutGroup { id, exclusive } => self.group_put(id, exclusive, result),
            What::PutRoute { slot } => self.odd_route_put(slot, result, arrivals),
            What::DelRoute { slot } => self.odd_route_deleted(slot, result, arrivals),
            What::DelExtra { slot, body } => self.extra_deleted(slot, body, result),
            What::Probe => {}
            What::Dump(kind) => self.dump_answered(kind, &result),
            What::Audit => self.audit_answered(result),
        }
    }

    fn congest(&mut self, error: &KernelError) {
        let now = self.now;
        if !self.congested.as_ref().is_some_and(|trouble| trouble.holds(now)) {
            self.congested = Some(Trouble::refused(self.congested.as_ref(), error.clone(), now));
        }
        self.ask_dump(Kind::Nexthops);
        self.ask_dump(Kind::Routes);
    }

    fn hop_put(&mut self, id: u32, exclusive: bool, result: Answer) {
        let touch = self.nexthop_dump.touch;
        let now = self.now;
        let Some(hop) = self.objects.hops.get_mut(&id) else { return };
        let via = hop.wanted;
        hop.flight = None;
        hop.touched = touch;
        let doubt = std::mem::take(&mut hop.doubt);
        self.objects.work.insert(id);
        self.sets.mark_object(id);
        match result {
            Ok(()) => {
                hop.trouble = None;
                hop.held = Held::Present(via);
                self.objects_work = Some(true);
                self.refusals.remove(&via);
                self.host_has_changed();
                if doubt {
                    let doubtful = self.objects.doubt_hop(id);
                    self.routes_gone_with(&doubtful, &Held::Doubt);
                }
            }
            Err(_) if doubt => hop.held = Held::Doubt,
            Err(error) if is_congestion(&error) => hop.held = Held::Doubt,
            Err(error) if error.errno == errno::EOPNOTSUPP && self.objects_work != Some(true) => {
                self.fall_back();
            }
            Err(error) if error.errno == errno::EEXIST && exclusive => self.id_taken(id),
            Err(error) => {
                let trouble = Trouble::refused(self.refusals.get(&via), error.clone(), now);
                self.refuse(via, trouble, &error.to_string());
                self.notice(Notice::NexthopFailed { id, error });
            }
        }
    }

    fn group_put(&mut self, id: u32, exclusive: bool, result: Answer) {
        let touch = self.nexthop_dump.touch;
        let Some(group) = self.objects.groups.get_mut(&id) else { return };
        let Some(Flight::Put(put)) = group.flight.take() else { return };
        group.touched = touch;
        let doubt = std::mem::take(&mut group.doubt);
        self.objects.work.insert(id);
        let unclaimed = self.objects.hops.iter().filter(|(_, hop)| hop.claims == 0).map(|(id, _)| *id);
        self.objects.work.extend(unclaimed);
        self.sets.mark_object(id);
        if doubt {
            group.held = Held::Doubt;
            self.routes_gone_with(&[id], &Held::Doubt);
            return;
        }
        match result {
            Ok(()) => {
                group.trouble = None;
                self.objects.has_become(id, put, exclusive);
                self.host_has_changed();
            }
            Err(error) if is_congestion(&error) => group.held = Held::Doubt,
            Err(error) if error.errno == errno::EEXIST && exclusive => self.id_taken(id),
            // Its last member had gone meanwhile, and with it the group and its routes.
            Err(error) if error.errno == errno::ENOENT && !exclusive => self.vanish(&[id]),
            Err(error) => {
                let before = group.trouble.take();
                let works = self.objects_work != Some(false);
                // Without a member it waits for that one.
                if works && put.members.iter().all(|(member, _)| self.objects.available(*member)) {
                    self.object_refused(id, before.as_ref(), error);
                }
            }
        }
    }

    /// The kernel refused something about an object: nothing is done about it for a while, from refusal to refusal longer.
    fn object_refused(&mut self, id: u32, before: Option<&Trouble>, error: KernelError) {
        let news = before.and_then(|trouble| trouble.error.as_ref()) != Some(&error);
        self.object_trouble(id, Trouble::refused(before, error.clone(), self.now));
        self.ask_dump(Kind::Nexthops);
        if news && !is_congestion(&error) {
            self.notice(Notice::NexthopFailed { id, error });
        }
    }

    pub(super) fn object_trouble(&mut self, id: u32, trouble: Trouble) {
        self.object_timers.insert((trouble.until, id));
        if let Some(hop) = self.objects.hops.get_mut(&id) {
            hop.trouble = Some(trouble);
        } else if let Some(group) = self.objects.groups.get_mut(&id) {
            group.trouble = Some(trouble);
        }
    }

    fn object_deleted(&mut self, id: u32, result: Answer) {
        let refusal = result.err().filter(|error| !is_missing(error));
        let touch = self.nexthop_dump.touch;
        let gone = refusal.is_none();
        let before = match (self.objects.hops.get_mut(&id), self.objects.groups.get_mut(&id)) {
            (Some(hop), _) => hop.removal_answered(gone, touch),
            (None, Some(group)) => group.removal_answered(gone, touch),
            (None, None) => None,
        };
        if let Some(error) = refusal {
            self.object_refused(id, before.as_ref(), error);
        }
        self.objects.work.insert(id);
        let unclaimed = self.objects.hops.iter().filter(|(_, hop)| hop.claims == 0).map(|(id, _)| *id);
        self.objects.work.extend(unclaimed);
        self.sets.mark_object(id);
    }

    /// The kernel says that the id of an object we were to add is in use.
    fn id_taken(&mut self, id: u32) {
        if self.tracker.facts.nexthops.get(&id).is_some() {
            self.give_up_id(id);
            return;
        }
        if let Some(hop) = self.objects.hops.get_mut(&id) {
            hop.look = true;
        } else if let Some(group) = self.objects.groups.get_mut(&id) {
            group.look = true;
        }
        self.ask_dump(Kind::Nexthops);
    }

    /// The id belongs to somebody else: another one is drawn.
    pub(super) fn give_up_id(&mut self, id: u32) {
        self.objects.taken.insert(id);
        self.sets.disclaim(id, &mut self.objects);
        self.objects.forget(id);
    }

    /// This kernel has no next-hop objects.
    pub(super) fn fall_back(&mut self) {
        if self.objects_work == Some(false) {
            return;
        }
        self.objects_work = Some(false);
        self.sets.release_all(&mut self.objects);
        self.notice(Notice::NoNexthopObjects);
        // Without objects a route is known by its marks alone: what was taken for another's may be ours.
        if self.was_ready() {
            self.ask_dump(Kind::Routes);
        }
    }
}

/// The kernel could not, whatever it was that was asked; or it is not known whether it did.
pub(super) fn is_congestion(error: &KernelError) -> bool {
    matches!(error.errno, errno::ENOBUFS | errno::ENOMEM | errno::ETIMEDOUT | errno::EAGAIN | errno::EINTR)
}

/// The kernel did not hold what it was told to remove.
pub(super) fn is_missing(error: &KernelError) -> bool {
    matches!(error.errno, errno::ENOENT | errno::ESRCH)
}

/// What is no error: to remove what is not there, to ask for a neighbour whose entry is gone, to end an audit by a dump.
fn is_harmless(what: &What, error: &KernelError) -> bool {
    match what {
        What::DelHop { .. } | What::DelGroup { .. } | What::DelRoute { .. } | What::DelExtra { .. } => {
            is_missing(error)
        }
        What::Probe => error.errno == errno::ENOENT,
        What::Audit => error.errno == errno::ECANCELED,
        What::PutHop { .. } | What::PutGroup { .. } | What::PutRoute { .. } | What::Dump(_) => false,
    }
}
