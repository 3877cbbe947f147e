//! Octets at a hand-over: what was read or written in part goes on where it stopped, and no peer's patience is tried.
//!
//! The peers are of our own, so that a test says which octets leave before and after, and sees every octet that comes.
#![cfg(feature = "labs")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::open::HoldTime;
use bgp_wire::{Asn, Message, Prefix};
use interop::daemon::Daemon;
use interop::lab::{HOST_V6, Lab};
use interop::speaker::{Announced, Settings, Wire};
use interop::wait::{PATIENCE, seconds};

/// How another process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Road {
    /// `--replace`.
    Replace,
    /// The service manager's store, with TCP MD5: nobody is there for a moment.
    Store,
}

const PASSWORD: &str = "lab123";

impl Road {
    fn password(self) -> Option<&'static str> {
        (self == Self::Store).then_some(PASSWORD)
    }

    fn start(self, lab: &Lab) -> Result<Daemon> {
        let password =
            self.password().map(|password| format!("password = \"{password}\"")).unwrap_or_default();
        let config = format!(
            "[bgp]\nasn = 64513\nrouter-id = \"172.50.0.1\"\n\n[peer-group.lab]\nimport = \"all\"\nexport = \"all\"\n\
             mode = \"passive\"\n{password}\n\n[neighbor.\"2001:3200:3200::2\"]\npeer-group = \"lab\"\nremote-asn = 64512\n\n\
             [neighbor.\"2001:3200:3200::3\"]\npeer-group = \"lab\"\nremote-asn = 64514\n\n[kernel]\ninstall = false\n"
        );
        match self {
            Self::Replace => Daemon::start(lab, &config),
            Self::Store => Daemon::start_managed(lab, &config),
        }
    }

    /// Has another process go on. `meanwhile` is done when the first one has ended; by the store, nobody is there yet.
    fn hand_over(
        self,
        lab: &Lab,
        daemon: &mut Daemon,
        meanwhile: impl FnOnce(&Daemon) -> Result<()>,
    ) -> Result<()> {
        match self {
            Self::Replace => {
                daemon.replace(lab)?;
                meanwhile(daemon)
            }
            Self::Store => {
                daemon.hand_over()?;
                meanwhile(daemon)?;
                daemon.start_again(lab)
            }
        }
    }

    /// A peer on a node, which has the AS that it is configured with.
    fn peer(self, lab: &Lab, node: usize, change: impl FnOnce(&mut Settings)) -> Result<Wire> {
        let node = &lab.nodes[node];
        let mut settings = Settings::cilium(&node.name)?;
        settings.asn = if node.v6().ends_with(":2") { Asn(64512) } else { Asn(64514) };
        settings.password = self.password().map(str::to_owned);
        change(&mut settings);
        Wire::on(node, HOST_V6, &settings)
    }
}

/// Prefixes by number.
fn prefixes(numbers: std::ops::Range<usize>) -> Result<Vec<Prefix>> {
    let text = |n: usize| format!("2001:db9:{:x}:{:x}::/64", n >> 16, n & 0xffff);
    numbers.map(|n| text(n).parse().context("a prefix")).collect()
}

/// Octets of the host's connection with this port that wait to be read, and to be acknowledged.
fn queues(lab: &Lab, port: u16) -> Result<(usize, usize)> {
    let shown = lab.host.run(&format!("ss -tnH dport = :{port}"))?;
    let mut words = shown.split_whitespace().skip(1).map(str::parse);
    match (words.next(), words.next()) {
        (Some(Ok(received)), Some(Ok(sent))) => Ok((received, sent)),
        _ => anyhow::bail!("no queues in {shown:?}"),
    }
}

/// Every session is the one that it was at first, and nobody thought otherwise meanwhile.
fn expect_no_flap(lab: &Lab, daemon: &Daemon) -> Result<()> {
    ensure!(!daemon.log().contains("out of sight"), "{}", daemon.log());
    for node in &lab.nodes {
        let neighbor = daemon.neighbor(&node.v6())?;
        ensure!(neighbor["state"] == "established" && neighbor["flaps"] == 0, "{neighbor}: {}", daemon.log());
    }
    Ok(())
}

fn expect_each_once(announced: &Announced, count: usize) -> Result<()> {
    let odd: Vec<_> = announced.iter().filter(|(_, times)| **times != 1).take(5).collect();
    ensure!(
        announced.len() == count && odd.is_empty(),
        "{} of {count}, more than once: {odd:?}",
        announced.len()
    );
    Ok(())
}

/// Where the last of several UPDATEs is cut: in the marker, behind it, in the length, behind it, behind the header, in the
/// sections, before the last octet.
const CUTS: [usize; 8] = [1, 16, 17, 18, 19, 22, 60, usize::MAX];

fn what_comes_in_halves_arrives_once(road: Road) -> Result<()> {
    const EACH: usize = 40;
    let lab = Lab::with_nodes(2)?;
    let mut daemon = road.start(&lab)?;
    let feeder = road.peer(&lab, 0, |_| {})?;
    let mut receiver = road.peer(&lab, 1, |_| {})?;
    let (mut heard, mut told) = (Announced::new(), 0);
    for (round, cut) in CUTS.into_iter().enumerate() {
        let all = prefixes(told..told + EACH)?;
        let messages = all.chunks(10).map(|some| feeder.announcement(some)).collect::<Result<Vec<_>>>()?;
        let last = messages.last().map_or(0, |message| message.len());
        let octets = messages.concat();
        let (first, rest) = octets.split_at(octets.len() - last + cut.min(last - 1));
        feeder.write(first)?;
        // Half of the times they are read; else they may as well be in the kernel.
        if round % 2 == 0 {
            let port = feeder.port()?;
            lab.until("the daemon has read it", PATIENCE, || Ok(queues(&lab, port)?.0 == 0))?;
        }
        road.hand_over(&lab, &mut daemon, |_| feeder.write(rest))?;
        told += EACH;
        receiver.count(&mut heard, PATIENCE, |heard| heard.len() == told).with_context(|| lab.explain())?;
    }
    // What would come late comes before this.
    feeder.write(&feeder.announcement(&prefixes(told..told + 1)?)?)?;
    receiver.count(&mut heard, PATIENCE, |heard| heard.len() == told + 1)?;
    expect_each_once(&heard, told + 1)?;
    expect_no_flap(&lab, &daemon)
}

#[test]
fn an_update_in_halves_arrives_once_over_replace() -> Result<()> {
    what_comes_in_halves_arrives_once(Road::Replace)
}

#[test]
fn an_update_in_halves_arrives_once_over_the_store_with_md5() -> Result<()> {
    what_comes_in_halves_arrives_once(Road::Store)
}

/// What the state has of octets that a socket did not take: sections of kind 3 behind a head of 24 octets, each with kind (2),
/// index (4) and length (8).
fn outbound(state: &[u8]) -> Option<&[u8]> {
    let mut rest = state.get(24..)?;
    loop {
        let (head, behind) = rest.split_at_checked(14)?;
        let length = u64::from_be_bytes(head.get(6..)?.try_into().ok()?);
        let (octets, next) = behind.split_at_checked(usize::try_from(length).ok()?)?;
        if head.starts_with(&[0, 3]) {
            return Some(octets);
        }
        rest = next;
    }
}

fn what_is_half_written_goes_on(road: Road) -> Result<()> {
    const ROUTES: usize = 30_000;
    /// Routes that the peer reads before each hand-over; one message has some hundreds.
    const READ: [usize; 5] = [0, 1, 2000, 2001, 7000];
    let lab = Lab::with_nodes(2)?;
    lab.host.sysctl("net.ipv4.tcp_wmem", "4096 16384 32768")?;
    let mut daemon = road.start(&lab)?;
    let mut slow = road.peer(&lab, 1, |settings| settings.receive_buffer = Some(16 * 1024))?;
    let feeder = road.peer(&lab, 0, |_| {})?;
    for some in prefixes(0..ROUTES)?.chunks(400) {
        feeder.write(&feeder.announcement(some)?)?;
    }
    let port = slow.port()?;
    // Octets that are not acknowledged may be on their way. What waits in the daemon waits for the socket, and if it is the same
    // when asked again, nothing moves.
    let mut before = None;
    let mut blocked = |daemon: &Daemon| {
        let waits = daemon.neighbor(&lab.nodes[1].v6())?["messages"]["queued_out_bytes"].as_u64();
        let now = (waits.context("queued_out_bytes")?, queues(&lab, port)?.1);
        Ok(now.0 > 0 && before.replace(now) == Some(now))
    };
    lab.until("the daemon has every route", seconds(60), || {
        Ok(daemon.neighbor(&lab.nodes[0].v6())?.to_string().contains(&format!(":{ROUTES}")))
    })?;
    let (mut heard, mut within) = (Announced::new(), 0);
    for goal in READ {
        slow.count(&mut heard, PATIENCE, |heard| heard.len() >= goal)?;
        lab.until("the daemon cannot write", PATIENCE, || blocked(&daemon))?;
        road.hand_over(&lab, &mut daemon, |daemon| {
            if road == Road::Store {
                let state = daemon.manager()?.state()?;
                let waits = outbound(&state).context("nothing waits for the socket")?;
                within += usize::from(!waits.starts_with(&[0xff; 16]));
            }
            Ok(())
        })?;
    }
    feeder.write(&feeder.announcement(&prefixes(ROUTES..ROUTES + 1)?)?)?;
    slow.count(&mut heard, PATIENCE, |heard| heard.len() == ROUTES + 1).with_context(|| lab.explain())?;
    expect_each_once(&heard, ROUTES + 1)?;
    if road == Road::Store {
        println!("{within} of {} hand-overs came within a message", READ.len());
        ensure!(within > 0, "no hand-over came within a message");
    }
    expect_no_flap(&lab, &daemon)
}

#[test]
fn what_is_half_written_goes_on_over_replace() -> Result<()> {
    what_is_half_written_goes_on(Road::Replace)
}

#[test]
fn what_is_half_written_goes_on_over_the_store_with_md5() -> Result<()> {
    what_is_half_written_goes_on(Road::Store)
}

/// Hears everything that the host says, says that it is there every second, and counts; when the messages came.
fn listen(mut peer: Wire, count: &AtomicUsize, over: &AtomicBool) -> Result<Vec<Instant>> {
    let (mut times, mut said) = (vec![Instant::now()], Instant::now());
    while !over.load(Ordering::Relaxed) {
        if let Some(message) = peer.hear(Duration::from_millis(50))? {
            ensure!(matches!(message, Message::Keepalive | Message::Update(_)), "the host says {message:?}");
            times.push(Instant::now());
            count.fetch_add(1, Ordering::Relaxed);
        }
        if said.elapsed() >= seconds(1) {
            peer.keep_alive()?;
            said = Instant::now();
        }
    }
    times.push(Instant::now());
    Ok(times)
}

/// RFC 4271 section 4.4: a peer waits for as long as its hold time. Judged by what the peers hear.
fn no_hold_timer_is_near_its_end(road: Road) -> Result<()> {
    const HAND_OVERS: usize = 8;
    // No shorter: what the peers themselves say has to come in time as well.
    const HOLD_TIMES: [u16; 2] = [9, 12];
    let lab = Lab::with_nodes(2)?;
    let mut daemon = road.start(&lab)?;
    let mut peers = Vec::new();
    for (node, hold_time) in HOLD_TIMES.into_iter().enumerate() {
        let hold_time = HoldTime::new(hold_time).context("hold time")?;
        peers.push(road.peer(&lab, node, |settings| settings.hold_time = hold_time)?);
    }
    let (counts, over) = ([AtomicUsize::new(0), AtomicUsize::new(0)], AtomicBool::new(false));
    let times = thread::scope(|scope| {
        let listening: Vec<_> = peers
            .into_iter()
            .zip(&counts)
            .map(|(peer, count)| scope.spawn(|| listen(peer, count, &over)))
            .collect();
        let outcome = (0..HAND_OVERS).try_for_each(|_| {
            road.hand_over(&lab, &mut daemon, |_| Ok(()))?;
            let before = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            lab.until("each peer has heard something", PATIENCE, || {
                let now = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
                Ok(before.iter().zip(now).all(|(before, now)| now > *before))
            })?;
            Ok::<_, anyhow::Error>(())
        });
        let outcome = outcome.and_then(|()| expect_no_flap(&lab, &daemon));
        over.store(true, Ordering::Relaxed);
        let times =
            listening.into_iter().map(|peer| peer.join().map_err(|_| anyhow::anyhow!("a peer panicked"))?);
        let times = times.collect::<Result<Vec<_>>>();
        outcome.and(times)
    })?;
    for (hold_time, times) in HOLD_TIMES.into_iter().zip(times) {
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let longest = gaps.max().unwrap_or_default();
        println!("{road:?}, hold time {hold_time} s: {} messages, longest gap {longest:?}", times.len() - 2);
        ensure!(
            longest < seconds(hold_time.into()),
            "{longest:?}: a peer with {hold_time} s has lost its patience"
        );
    }
    Ok(())
}

#[test]
fn keepalives_go_on_over_replace() -> Result<()> {
    no_hold_timer_is_near_its_end(Road::Replace)
}

#[test]
fn keepalives_go_on_over_the_store_with_md5() -> Result<()> {
    no_hold_timer_is_near_its_end(Road::Store)
}
