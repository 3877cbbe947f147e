//! What disturbs a run: drawn from the seed, undone before the quiet where it would not end by itself.

use std::time::Duration;

use bgp_session::Command;
use bgp_wire::route_refresh::{RouteRefresh, Subtype};
use bgp_wire::{Family, Prefix};

use crate::network::Item;
use crate::node::Message;
use crate::plan::{Filter, Plan};
use crate::random::Random;
use crate::world::{Event, World};

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Boot {
        node: usize,
        restarted: bool,
    },
    /// A process ends: in order, or so that the other ends hear nothing of it.
    Kill {
        node: usize,
        silently: bool,
        back_after: Duration,
    },
    Originate {
        node: usize,
        prefix: Prefix,
    },
    Withdraw {
        node: usize,
        prefix: Prefix,
    },
    Flap {
        node: usize,
        prefix: Prefix,
        times: usize,
        pause: Duration,
    },
    Command {
        link: usize,
        side: usize,
        command: Command,
    },
    Link {
        link: usize,
        up: bool,
    },
    /// Some cannot reach the others, for a time.
    Partition {
        some: Vec<usize>,
        time: Duration,
    },
    /// One end forgets a connection, and tells the other or does not.
    Drop {
        link: usize,
        side: usize,
        silently: bool,
    },
    Slow {
        node: usize,
        how: Option<(usize, usize)>,
    },
    Freeze {
        node: usize,
        time: Duration,
    },
    /// A clock runs ahead while nobody looks: that of one speaker, or of all and the network.
    Jump {
        node: Option<usize>,
        time: Duration,
    },
    Policy {
        link: usize,
        side: usize,
        import: Filter,
        export: Filter,
    },
    Multipath {
        node: usize,
        paths: usize,
        relax: bool,
    },
    /// A peer asks for everything again.
    Refresh {
        link: usize,
        side: usize,
        family: Family,
    },
    /// Somebody takes a route, or a next-hop object, out of the kernel.
    Meddle {
        node: usize,
        prefix: Prefix,
        object: bool,
    },
    /// The kernel's reports are lost.
    Overrun {
        node: usize,
    },
}

/// Schedules everything; the time after which it is quiet.
pub(crate) fn schedule(world: &mut World) -> Duration {
    let mut random = world.random.clone();
    let plan = world.plan.clone();
    let span = random.between(5, 150);
    for _ in 0..random.between(3, 60) {
        let at = random.millis(0, span * 1000);
        let act = random_act(&plan, &mut random);
        world.at(at, Event::Act(act.clone()));
        undo(world, &mut random, at, act);
    }
    let end = Duration::from_secs(span as u64 + 60);
    for link in 0..plan.links.len() {
        let up = random.chance(88);
        world.at(end, Event::Act(Act::Link { link, up }));
    }
    for node in 0..plan.nodes.len() {
        world.at(end, Event::Act(Act::Slow { node, how: None }));
    }
    world.random = random;
    end
}

fn undo(world: &mut World, random: &mut Random, at: Duration, act: Act) {
    let later = at + random.millis(10, 40_000);
    match act {
        Act::Command { link, side, command: Command::Shutdown(_) } => {
            world.at(later, Event::Act(Act::Command { link, side, command: Command::Start }));
        }
        Act::Link { link, up: false } => world.at(later, Event::Act(Act::Link { link, up: true })),
        Act::Slow { node, .. } => world.at(later, Event::Act(Act::Slow { node, how: None })),
        _ => {}
    }
}

fn random_act(plan: &Plan, random: &mut Random) -> Act {
    let node = random.below(plan.nodes.len());
    let link = random.below(plan.links.len());
    let side = random.below(2);
    let prefix = random.pick(&plan.prefixes);
    match random.below(30) {
        0..5 => Act::Originate { node, prefix },
        5..8 => Act::Withdraw { node, prefix },
        8 | 9 => Act::Flap { node, prefix, times: random.between(3, 60), pause: random.millis(0, 300) },
        10 => Act::Command { link, side, command: Command::Reset("again".into()) },
        11 => Act::Command { link, side, command: Command::Shutdown("rest".into()) },
        12 | 13 => Act::Kill { node, silently: random.chance(40), back_after: random.millis(0, 25_000) },
        14 | 15 => Act::Link { link, up: false },
        16 => {
            let some = (0..plan.nodes.len()).filter(|_| random.chance(50)).collect();
            Act::Partition { some, time: random.millis(100, 50_000) }
        }
        17 | 18 => Act::Drop { link, side, silently: random.chance(60) },
        19 => Act::Slow { node, how: Some((random.between(1, 300), random.between(5, 3_000))) },
        20 => Act::Freeze { node, time: random.millis(50, 45_000) },
        21 => Act::Jump { node: random.chance(60).then_some(node), time: random.millis(100, 60_000) },
        22..25 => {
            let (import, export) = (plan.random_filter(link, random), plan.random_filter(link, random));
            Act::Policy { link, side, import, export }
        }
        25 => Act::Multipath { node, paths: random.between(1, 4), relax: random.chance(50) },
        26 => Act::Refresh { link, side, family: random.pick(&Family::ALL) },
        27 | 28 => Act::Meddle { node, prefix, object: random.chance(50) },
        _ => Act::Overrun { node },
    }
}

impl World {
    pub(crate) fn act(&mut self, act: Act) {
        match act {
            Act::Boot { node, restarted } => self.boot(node, restarted),
            Act::Kill { node, silently, back_after } => self.kill(node, silently, back_after),
            Act::Originate { node, prefix } => self.originate(node, prefix, true),
            Act::Withdraw { node, prefix } => self.originate(node, prefix, false),
            Act::Flap { node, prefix, times, pause } => {
                let on = !self.announces(node, prefix);
                self.originate(node, prefix, on);
                if times > 0 {
                    self.at(pause, Event::Act(Act::Flap { node, prefix, times: times - 1, pause }));
                }
            }
            Act::Command { link, side, command } => {
                if let Some((node, peer)) = self.end(link, side) {
                    self.with_session(node, peer, |session, now, out| session.command(command, now, out));
                    self.pump(node, peer);
                }
            }
            Act::Link { link, up } => self.plan.links[link].up = up,
            Act::Partition { some, time } => {
                for link in 0..self.plan.links.len() {
                    let [a, b] = &self.plan.links[link].ends;
                    if some.contains(&a.node) != some.contains(&b.node) {
                        self.plan.links[link].up = false;
                        self.at(time, Event::Act(Act::Link { link, up: true }));
                    }
                }
            }
            Act::Drop { link, side, silently } => self.drop_connection(link, side, silently),
            Act::Slow { node, how } => self.nodes[node].slow = how,
            Act::Freeze { node, time } => self.nodes[node].frozen_until = Some(self.now + time),
            Act::Jump { node: None, time } => self.now += time,
            Act::Jump { node: Some(node), time } => {
                self.nodes[node].ahead += time;
                for peer in 0..self.nodes[node].peers.len() {
                    self.pump(node, peer);
                }
                self.turn_in(node, Duration::ZERO);
            }
            Act::Policy { link, side, import, export } => {
                let end = &mut self.plan.links[link].ends[side];
                (end.import, end.export) = (import, export);
                if let Some((node, peer)) = self.end(link, side) {
                    self.nodes[node].peers[peer].pending.push_back(Message::Settings);
                    self.pump(node, peer);
                }
            }
            Act::Multipath { node, paths, relax } => {
                (self.plan.nodes[node].maximum_paths, self.plan.nodes[node].relax) = (paths, relax);
                self.nodes[node].rib.set_multipath(paths, relax);
                self.turn_in(node, Duration::ZERO);
            }
            Act::Refresh { link, side, family } => self.ask_again(link, side, family),
            Act::Meddle { node, prefix, object } => {
                let kernel = &mut self.nodes[node].kernel;
                match kernel.nhid(prefix).filter(|_| object) {
                    Some(id) => kernel.delete_object(id),
                    None => kernel.delete_route(prefix, 186),
                }
                self.turn_in(node, Duration::ZERO);
            }
            Act::Overrun { node } => {
                // Dumps come over another socket.
                let mut dump = false;
                let events = &mut self.nodes[node].kernel.events;
                events.retain(|event| {
                    dump |= matches!(event, bgp_fib::Event::DumpStart(_));
                    let kept = dump;
                    dump &= !matches!(event, bgp_fib::Event::DumpEnd(_));
                    kept
                });
                events.push_back(bgp_fib::Event::Overrun);
                self.turn_in(node, Duration::ZERO);
            }
        }
    }

    /// The peer task at one end of a link, if its process lives.
    pub(crate) fn end(&self, link: usize, side: usize) -> Option<(usize, usize)> {
        let node = self.plan.links[link].ends[side].node;
        let peer = self.nodes[node].peers.iter().position(|peer| peer.link == link)?;
        self.nodes[node].alive.then_some((node, peer))
    }

    fn kill(&mut self, node: usize, silently: bool, back_after: Duration) {
        if !self.nodes[node].alive {
            return;
        }
        self.nodes[node].alive = false;
        for connection in 0..self.connections.len() {
            let link = self.connections[connection].link;
            for side in 0..2 {
                if self.plan.links[link].ends[side].node != node {
                    continue;
                }
                self.connections[connection].accepting[side] = false;
                if self.connections[connection].ids[side].take().is_some() {
                    self.connections[connection].streams[1 - side].arrived.clear();
                    self.connections[connection].streams[side].outbound.clear();
                    if !silently {
                        self.send_item(connection, side, Item::End);
                    }
                }
            }
        }
        self.nodes[node].peers.clear();
        self.at(back_after, Event::Act(Act::Boot { node, restarted: true }));
    }

    fn announces(&self, node: usize, prefix: Prefix) -> bool {
        let plan = &self.plan.nodes[node];
        plan.networks.contains(&prefix) || plan.fed.contains_key(&prefix)
    }

    fn originate(&mut self, node: usize, prefix: Prefix, on: bool) {
        if self.plan.nodes[node].feeder {
            let mut random = self.random.clone();
            if on {
                let fed = self.plan.random_fed(node, prefix, &mut random);
                self.plan.nodes[node].fed.insert(prefix, fed);
            } else {
                self.plan.nodes[node].fed.remove(&prefix);
            }
            self.random = random;
            self.nodes[node].feeder.dirty.insert(prefix);
        } else if on {
            self.plan.nodes[node].networks.insert(prefix);
            self.nodes[node].rib.originate(prefix);
        } else {
            self.plan.nodes[node].networks.remove(&prefix);
            self.nodes[node].rib.withdraw_origin(prefix);
        }
        if self.nodes[node].alive {
            self.turn_in(node, Duration::ZERO);
        }
    }

    fn drop_connection(&mut self, link: usize, side: usize, silently: bool) {
        let Some((node, peer)) = self.end(link, side) else { return };
        let Some((id, connection)) = self.nodes[node].peers[peer].connections.first().copied() else {
            return;
        };
        if !silently {
            self.send_item(connection, side, Item::Reset);
        }
        self.connections[connection].streams[side].outbound.clear();
        self.lost(node, peer, id, connection, side, "connection reset by peer");
    }

    fn ask_again(&mut self, link: usize, side: usize, family: Family) {
        let Some((node, peer)) = self.end(link, side) else { return };
        let Some(id) = self.nodes[node].peers[peer].established else { return };
        let octets = RouteRefresh { family: family.code(), subtype: Subtype::Request }.encode();
        self.queue(node, peer, id, &octets);
        self.pump(node, peer);
    }
}
