//! Two speakers over a link that loses, delays, reorders and repeats packets: what must hold whatever happens on it.

#![expect(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use bgp_bfd::{Arrival, Config, ControlPacket, Output, Peer, Sessions, State};
use proptest::prelude::*;

const ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(std::net::Ipv4Addr::new(172, 50, 0, 1)), IpAddr::V4(std::net::Ipv4Addr::new(172, 50, 0, 2))];

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What the link does to a packet: how often it arrives, and after how long.
#[derive(Clone, Copy, Debug)]
struct Weather {
    copies: u8,
    delay: u64,
}

/// Something that somebody does at one side.
#[derive(Clone, Copy, Debug)]
enum Act {
    Nothing,
    Configure(u64, u8),
    Remove,
    Set,
    /// The process goes on in another one, with what it knew.
    HandOver,
    /// The process is killed and begins anew.
    Kill,
}

struct World {
    now: Instant,
    sides: [Sessions; 2],
    configs: [Config; 2],
    /// When, to whom, what.
    flying: Vec<(Instant, usize, Vec<u8>)>,
    weather: Vec<Weather>,
    sent: usize,
    seed: u64,
    failures: usize,
}

impl World {
    fn new(configs: [Config; 2], weather: Vec<Weather>) -> Self {
        let now = Instant::now();
        let sides = [Sessions::new(1), Sessions::new(2)];
        let mut world =
            Self { now, sides, configs, flying: Vec::new(), weather, sent: 0, seed: 3, failures: 0 };
        world.act(0, Act::Set);
        world.act(1, Act::Set);
        world
    }

    fn peer(side: usize) -> Peer {
        Peer { address: ADDRESSES[1 - side], interface: None }
    }

    fn act(&mut self, side: usize, act: Act) {
        let (now, mut out) = (self.now, Vec::new());
        self.seed += 1;
        match act {
            Act::Nothing => {}
            Act::Configure(interval, multiplier) => {
                let multiplier = NonZeroU8::new(multiplier).unwrap();
                let config =
                    Config { min_tx: ms(interval), min_rx: ms(interval), multiplier, passive: false };
                self.configs[side] = config;
                self.sides[side].set(Self::peer(side), config, now, &mut out);
            }
            Act::Set => self.sides[side].set(Self::peer(side), self.configs[side], now, &mut out),
            Act::Remove => self.sides[side].remove(ADDRESSES[1 - side], now, &mut out),
            Act::HandOver => {
                let rest = self.sides[side].suspend(now, &mut out);
                self.sides[side] = Sessions::new(self.seed);
                for (_, rest) in &rest {
                    self.sides[side].resume(Self::peer(side), self.configs[side], rest, now, &mut out);
                }
                self.sides[side].set(Self::peer(side), self.configs[side], now, &mut out);
            }
            Act::Kill => {
                self.sides[side] = Sessions::new(self.seed);
                self.sides[side].set(Self::peer(side), self.configs[side], now, &mut out);
            }
        }
        self.carry_out(side, out);
    }

    fn carry_out(&mut self, side: usize, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Send(to, packet) => {
                    assert_eq!(to, ADDRESSES[1 - side]);
                    assert!(!(packet.poll && packet.is_final), "never both: {packet:?}");
                    let slow = packet.state != State::Up && packet.desired_min_tx < Duration::from_secs(1);
                    assert!(!slow, "not Up and faster than a second: {packet:?}");
                    let octets = packet.encode().to_vec();
                    assert_eq!(ControlPacket::decode(&octets), Ok(packet));
                    let Weather { copies, delay } =
                        self.weather.get(self.sent).copied().unwrap_or(Weather { copies: 1, delay: 1 });
                    self.sent += 1;
                    for copy in 0..copies {
                        let at = self.now + ms(delay) * (u32::from(copy) + 1);
                        self.flying.push((at, 1 - side, octets.clone()));
                    }
                }
                Output::Changed(_, change) => self.failures += usize::from(change.is_failure()),
                Output::Ended(_) => {}
            }
        }
    }

    /// Runs for so long; how many packets went out.
    fn run(&mut self, time: Duration) -> usize {
        let (end, before) = (self.now + time, self.sent);
        loop {
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let ticks = self.sides.iter().filter_map(Sessions::next_deadline);
            let Some(at) = ticks.chain(arrival).min().filter(|at| *at <= end) else { break };
            assert!(self.sent - before < 100_000, "an endless conversation");
            self.now = self.now.max(at);
            let (arrived, flying) =
                std::mem::take(&mut self.flying).into_iter().partition(|(at, ..)| *at <= self.now);
            self.flying = flying;
            let arrived: Vec<(Instant, usize, Vec<u8>)> = arrived;
            for (_, side, octets) in arrived {
                let arrival = Arrival { source: ADDRESSES[1 - side], interface: 1, ttl: 255 };
                let mut out = Vec::new();
                // What is for a session before is dropped, and that is right.
                self.sides[side].receive(&octets, arrival, self.now, &mut out).ok();
                self.carry_out(side, out);
            }
            for side in 0..2 {
                let mut out = Vec::new();
                self.sides[side].tick(self.now, &mut out);
                self.carry_out(side, out);
            }
        }
        self.now = end;
        self.sent - before
    }

    fn states(&self) -> Vec<State> {
        self.sides.iter().filter_map(|side| side.status().next()).map(|(_, status)| status.state).collect()
    }
}

fn config() -> impl Strategy<Value = Config> {
    (10u64..2000, 10u64..2000, 1u8..6).prop_map(|(tx, rx, multiplier)| Config {
        min_tx: ms(tx),
        min_rx: ms(rx),
        multiplier: NonZeroU8::new(multiplier).unwrap(),
        passive: false,
    })
}

fn weather() -> impl Strategy<Value = Vec<Weather>> {
    prop::collection::vec((0u8..3, 0u64..500).prop_map(|(copies, delay)| Weather { copies, delay }), 0..200)
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act, u64)>> {
    let act = prop_oneof![
        3 => Just(Act::Nothing),
        2 => (10u64..2000, 1u8..6).prop_map(|(interval, multiplier)| Act::Configure(interval, multiplier)),
        1 => Just(Act::Remove),
        1 => Just(Act::Set),
        1 => Just(Act::HandOver),
        1 => Just(Act::Kill),
    ];
    prop::collection::vec((0usize..2, act, 0u64..3000), 0..12)
}

/// The slower side takes two seconds, and six may be missed.
const LONG: Duration = Duration::from_secs(60);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever was done and lost: once the link works and both sides are asked for, both are Up, and stay so without a
    /// failure, with everything agreed.
    #[test]
    fn both_come_up_and_stay_up(configs in [config(), config()], weather in weather(), acts in acts()) {
        let mut world = World::new(configs, weather);
        for (side, act, pause) in acts {
            world.act(side, act);
            world.run(ms(pause));
        }
        world.weather.clear();
        world.act(0, Act::Set);
        world.act(1, Act::Set);
        world.run(LONG);
        prop_assert_eq!(world.states(), [State::Up, State::Up]);
        let failures = world.failures;
        world.run(LONG);
        prop_assert_eq!((world.states(), world.failures), (vec![State::Up, State::Up], failures));
        prop_assert!(world.sides.iter().all(Sessions::are_agreed));
    }

    /// A link that carries nothing any more is found by both sides within the longer Detection Time, as a failure each.
    #[test]
    fn a_dead_link_is_found_in_time(configs in [config(), config()]) {
        let mut world = World::new(configs, Vec::new());
        world.run(LONG);
        prop_assert_eq!(world.states(), [State::Up, State::Up]);
        let detection = world.sides.iter().filter_map(|side| side.status().next()?.1.detection_time).max();
        world.weather = vec![Weather { copies: 0, delay: 0 }; 1_000_000];
        world.run(detection.unwrap() + ms(2));
        prop_assert_eq!((world.states(), world.failures), (vec![State::Down, State::Down], 2));
    }

    /// The rate: no side sends more than its interval and jitter allow, beside an answer to each packet of the other.
    #[test]
    fn nobody_sends_more_than_agreed(configs in [config(), config()]) {
        let mut world = World::new(configs, Vec::new());
        world.run(LONG);
        let agreed: Vec<Duration> =
            world.sides.iter().filter_map(|side| Some(side.status().next()?.1.transmit_interval)).collect();
        prop_assert_eq!(agreed[0], configs[0].min_tx.max(configs[1].min_rx));
        let sent = world.run(LONG);
        let most: u128 = agreed.iter().map(|interval| LONG.as_millis() * 4 / 3 / interval.as_millis() + 1).sum();
        let least: u128 = agreed.iter().map(|interval| LONG.as_millis() / interval.as_millis()).sum();
        prop_assert!((least - 2..=most).contains(&(sent as u128)), "{} packets, {} to {}", sent, least, most);
    }

    /// A process that goes on in another one does not lose the session, if that takes less than the time it has asked for.
    #[test]
    fn a_session_outlives_a_pause_that_was_asked_for(configs in [config(), config()], pause in 0u64..4500) {
        let mut world = World::new(configs, Vec::new());
        world.run(LONG);
        let mut out = Vec::new();
        world.sides[0].stretch(Duration::from_secs(5), world.now, &mut out);
        world.carry_out(0, out);
        world.run(Duration::from_secs(3));
        prop_assert!(world.sides[0].are_agreed());
        let mut out = Vec::new();
        let rest = world.sides[0].suspend(world.now, &mut out);
        world.carry_out(0, out);
        world.sides[0] = Sessions::new(9);
        world.run(ms(pause));
        let mut out = Vec::new();
        world.sides[0].resume(World::peer(0), configs[0], &rest[0].1, world.now, &mut out);
        world.carry_out(0, out);
        world.run(LONG);
        prop_assert_eq!((world.states(), world.failures), (vec![State::Up, State::Up], 0));
    }
}

/// RFC 5882 section 3.2: who puts a session down by hand has not failed.
#[test]
fn a_session_that_is_put_down_is_no_failure() {
    let mut world = World::new([Config::default(); 2], Vec::new());
    world.run(LONG);
    world.act(1, Act::Remove);
    world.run(ms(10));
    assert_eq!((world.states(), world.failures), (vec![State::Down], 0));
    world.run(LONG);
    world.act(1, Act::Set);
    world.run(LONG);
    assert_eq!((world.states(), world.failures), (vec![State::Up, State::Up], 0));
}

/// Two passive sides have nothing to say, one is enough to begin.
#[test]
fn a_passive_side_waits_to_be_spoken_to() {
    let passive = Config { passive: true, ..Config::default() };
    let mut world = World::new([passive, passive], Vec::new());
    assert_eq!(world.run(LONG), 0);
    world.configs[0].passive = false;
    world.act(0, Act::Set);
    world.run(LONG);
    assert_eq!(world.states(), [State::Up, State::Up]);
}
