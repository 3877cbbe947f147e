//! What the kernel said to an operation, and what follows from it.
//!
//! Refusals come in classes. *Taken*: look at what is there before anything is replaced. *Out of memory, no answer*: wait,
//! read everything again, go on. *No next-hop objects*: routes carry their hops from now on. Everything else belongs to
//! the one object or route: it is shown, and tried again after a while or when something changes.

use std::time::{Duration, Instant};

use bgp_wire::Prefix;

use crate::event::Kind;
use crate::fib::Fib;
use crate::fib::flights::What;
use crate::guard::Trouble;
use crate::kernel::{KernelError, errno};
use crate::objects::{Flight, Held};
use crate::op::OpId;
use crate::routes::{BodyId, Flag, NONE, Stage};
use crate::view::{Installed, Notice};

/// How often a route that another protocol's route blocks is tried nevertheless.
pub(super) const BLOCKED_RETRY: Duration = Duration::from_secs(30);

type Answer = Result<(), KernelError>;

impl Fib {
    /// Takes in the kernel's answer to one operation. Says so where a prefix has thereby reached what was wanted.
    pub fn confirm(&mut self, id: OpId, result: Answer, now: Instant) -> Option<Installed> {
        self.now = self.now.max(now);
        let what = self.flights.end(id)?;
        match &result {
            Ok(()) => {
                let now = self.now;
                self.congested.take_if(|trouble| !trouble.holds(now));
            }
            Err(error) => {
                self.errors += u64::from(!is_gone_already(&what, error));
                if is_congestion(error) {
                    self.congest(error);
                }
            }
        }
        match what {
            What::PutHop { id, exclusive } => self.hop_put(id, exclusive, result),
            What::DelHop { id } | What::DelGroup { id } => self.object_deleted(id, result),
            What::PutGroup { id, exclusive } => self.group_put(id, exclusive, result),
            What::PutRoute { slot } => return self.route_put(slot, result),
            What::DelRoute { slot } => return self.route_deleted(slot, result),
            What::DelExtra { slot, body } => self.extra_deleted(slot, body, result),
            What::Probe => {}
            What::Dump(kind) => self.dump_answered(kind, &result),
            What::Audit => self.audit_answered(result),
        }
        None
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
        let now = self.now;
        let touch = self.nexthop_dump.touch;
        let Some(group) = self.objects.groups.get_mut(&id) else { return };
        let Some(Flight::Put(put)) = group.flight.take() else { return };
        group.touched = touch;
        let doubt = std::mem::take(&mut group.doubt);
        self.objects.work.insert(id);
        let unclaimed = self.objects.hops.iter().filter(|(_, hop)| hop.claims == 0).map(|(id, _)| *id);
        self.objects.work.extend(unclaimed);
        self.sets.mark_object(id);
        match result {
            Ok(()) | Err(_) if doubt => {
                group.held = Held::Doubt;
                self.routes_gone_with(&[id], &Held::Doubt);
            }
            Ok(()) => {
                group.trouble = None;
                group.held = Held::Present(put);
                self.host_has_changed();
            }
            Err(error) if is_congestion(&error) => group.held = Held::Doubt,
            Err(error) if error.errno == errno::EEXIST && exclusive => self.id_taken(id),
            // Its last member had gone meanwhile, and with it the group and its routes.
            Err(error) if error.errno == errno::ENOENT && !exclusive => self.vanish(&[id]),
            Err(error) => {
                let same = group.wanted == put;
                let trouble = Trouble::refused(group.trouble.as_ref(), error.clone(), now);
                let works = self.objects_work != Some(false);
                if works && same && put.members.iter().all(|(member, _)| self.objects.available(*member)) {
                    self.object_trouble(id, trouble);
                    self.ask_dump(Kind::Nexthops);
                    self.notice(Notice::NexthopFailed { id, error });
                }
            }
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
        let now = self.now;
        let gone = match &result {
            Ok(()) => true,
            Err(error) => is_missing(error),
        };
        let touch = self.nexthop_dump.touch;
        if let Some(hop) = self.objects.hops.get_mut(&id) {
            hop.flight = None;
            hop.doubt = false;
            hop.touched = touch;
            hop.held = if gone { Held::Absent } else { Held::Doubt };
        } else if let Some(group) = self.objects.groups.get_mut(&id) {
            group.flight = None;
            group.doubt = false;
            group.touched = touch;
            group.held = if gone { Held::Absent } else { Held::Doubt };
        }
        if let Err(error) = result
            && !gone
        {
            self.object_trouble(id, Trouble::refused(None, error, now));
            self.ask_dump(Kind::Nexthops);
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
    }

    fn route_put(&mut self, slot: u32, result: Answer) -> Option<Installed> {
        let touch = self.route_dump.touch;
        let prefix = self.routes.prefix(slot)?;
        let route = self.routes.get_mut(slot)?;
        let Some(Flight::Put(body)) = route.land() else { return None };
        route.touched = touch;
        let wanted_at = route.wanted_at;
        let doubt = route.take_flag(Flag::Doubt);
        let missed = self.proven(slot, result.is_ok());
        match result {
            Ok(()) => {
                let route = self.routes.get_mut(slot)?;
                route.take_flag(Flag::Leftover);
                if route.is(Flag::Rare) {
                    self.relieve(slot, prefix);
                }
                if doubt {
                    self.set_held(slot, Held::Doubt);
                    self.unuse(body);
                } else {
                    self.hold_what_flew(slot, body);
                }
            }
            // It is there, as it was acknowledged.
            Err(error) if missed && !doubt && error.errno == errno::EEXIST => self.unuse(body),
            Err(error) => {
                if missed {
                    self.set_held(slot, Held::Doubt);
                }
                if !doubt {
                    self.route_refused(slot, body, error);
                }
                self.unuse(body);
            }
        }
        self.recount(slot);
        let is_installed = self.routes.get(slot).is_some_and(|route| route.stage == Stage::Installed);
        if is_installed && !self.stopping && !self.routes.has_extra(slot) {
            return Some(Installed { prefix, wanted_at: self.clock.instant(wanted_at, self.now) });
        }
        self.enqueue(slot);
        None
    }

    /// The kernel holds what was on its way; the object counts it as the same user.
    fn hold_what_flew(&mut self, slot: u32, body: BodyId) {
        let Some(route) = self.routes.get_mut(slot) else { return };
        if let Held::Present(before) = route.set_held(&Held::Present(body)) {
            self.unuse(before);
        }
    }

    /// A route no longer points to what is behind a body.
    fn unuse(&mut self, body: BodyId) {
        if let Some(id) = self.bodies.nexthop_id(body) {
            self.objects.use_by_route(id, false);
        }
    }

    /// The kernel has taken the route, so nothing is in its way and nothing wrong with it.
    fn relieve(&mut self, slot: u32, prefix: Prefix) {
        let unblocked = self.routes.edit_rare(slot, |rare| {
            rare.trouble = None;
            rare.blocked.take().is_some()
        });
        if unblocked == Some(true) {
            let (table, metric) = (self.config.table, self.config.metric);
            self.tracker.facts.routes.clear_place(prefix, table, metric);
        }
    }

    fn route_refused(&mut self, slot: u32, body: BodyId, error: KernelError) {
        let (table, metric) = (self.config.table, self.config.metric);
        let still_wanted = self.is_desired(slot, body);
        let Some(prefix) = self.routes.prefix(slot) else { return };
        if is_congestion(&error) {
            self.set_held(slot, Held::Doubt);
        } else if error.errno == errno::EEXIST {
            if let Some(protocol) = self.tracker.facts.routes.blocker(prefix, table, metric) {
                self.set_held(slot, Held::Absent);
                self.block(slot, protocol);
            } else {
                // Never replaced unseen: whose it is, the dump tells.
                if let Some(route) = self.routes.get_mut(slot) {
                    route.set_flag(Flag::Look);
                }
                self.ask_dump(Kind::Routes);
            }
        } else if still_wanted {
            let before = self.routes.trouble(slot).and_then(|trouble| trouble.error.as_ref());
            let news = before != Some(&error);
            self.retry_later(slot, error.clone());
            if matches!(error.errno, errno::EINVAL | errno::ENOENT) {
                self.ask_dump(Kind::Nexthops);
            }
            if news {
                self.notice(Notice::Failed { prefix, error });
            }
        }
    }

    /// The kernel refused something about a route: nothing is done about it for a while.
    fn retry_later(&mut self, slot: u32, error: KernelError) {
        let now = self.now;
        let Some(rare) = self.routes.rare_mut(slot) else { return };
        let trouble = Trouble::refused(rare.trouble.as_ref(), error, now);
        self.route_timers.insert((trouble.until, slot));
        rare.trouble = Some(trouble);
    }

    /// Somebody else's route is in the way: ours waits until it goes.
    pub(super) fn block(&mut self, slot: u32, protocol: u8) {
        let until = self.now + BLOCKED_RETRY;
        let Some(prefix) = self.routes.prefix(slot) else { return };
        let Some(rare) = self.routes.rare_mut(slot) else { return };
        let news = rare.blocked.replace(protocol) != Some(protocol);
        rare.trouble = Some(Trouble::paused(until));
        self.route_timers.insert((until, slot));
        self.recount(slot);
        if news {
            self.notice(Notice::Blocked { prefix, protocol });
        }
    }

    fn route_deleted(&mut self, slot: u32, result: Answer) -> Option<Installed> {
        let touch = self.route_dump.touch;
        let prefix = self.routes.prefix(slot)?;
        let route = self.routes.get_mut(slot)?;
        route.land();
        route.touched = touch;
        let doubt = route.take_flag(Flag::Doubt);
        let (removed, wanted_at) = (route.set == NONE, route.wanted_at);
        let done = match result {
            Err(error) if !is_missing(&error) => {
                self.retry_later(slot, error.clone());
                if is_congestion(&error) {
                    self.set_held(slot, Held::Doubt);
                } else {
                    self.notice(Notice::Failed { prefix, error });
                }
                false
            }
            Ok(()) | Err(_) => {
                let extra = self.routes.edit_rare(slot, |rare| rare.extra.pop()).flatten();
                let held = match extra {
                    Some(body) => Held::Present(body),
                    None if doubt => Held::Doubt,
                    None => Held::Absent,
                };
                self.set_held(slot, held);
                removed
            }
        };
        self.enqueue(slot);
        done.then(|| Installed { prefix, wanted_at: self.clock.instant(wanted_at, self.now) })
    }

    fn extra_deleted(&mut self, slot: u32, body: BodyId, result: Answer) {
        let touch = self.route_dump.touch;
        let Some(route) = self.routes.get_mut(slot) else { return };
        route.land();
        route.touched = touch;
        let doubt = route.take_flag(Flag::Doubt);
        if let Err(error) = result
            && !is_missing(&error)
        {
            if let Some(rare) = self.routes.rare_mut(slot) {
                rare.extra.push(body);
            }
            self.retry_later(slot, error);
        }
        if doubt {
            self.set_held(slot, Held::Doubt);
        }
        self.enqueue(slot);
    }
}

/// The kernel could not, whatever it was that was asked; or it is not known whether it did.
fn is_congestion(error: &KernelError) -> bool {
    matches!(error.errno, errno::ENOBUFS | errno::ENOMEM | errno::ETIMEDOUT | errno::EAGAIN | errno::EINTR)
}

/// The kernel did not hold what it was told to remove.
fn is_missing(error: &KernelError) -> bool {
    matches!(error.errno, errno::ENOENT | errno::ESRCH)
}

/// To remove what is not there is no error.
fn is_gone_already(what: &What, error: &KernelError) -> bool {
    let removal = match what {
        What::DelHop { .. } | What::DelGroup { .. } | What::DelRoute { .. } | What::DelExtra { .. } => true,
        What::PutHop { .. }
        | What::PutGroup { .. }
        | What::PutRoute { .. }
        | What::Probe
        | What::Dump(_)
        | What::Audit => false,
    };
    removal && is_missing(error)
}
