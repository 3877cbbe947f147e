//! The thread: datagrams and the time go to the sessions, what they put out goes to the sockets, to routing and the log.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp_api::EventKind;
use bgp_bfd::{Change, Output, Peer, Sessions, State};
use nix::net::if_::if_nametoindex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{debug, error, info, warn};

use super::port::Port;
use super::way::Way;
use super::{Handle, News, Overview, Path, REQUESTS, Request, Resting, SessionView, Wish, Wishes};
use crate::events::Hub;
use crate::net::{BfdReceiver, Datagram};
use crate::random;
use crate::tasks::{answer, sleep_until};

/// Datagrams taken in before the time counts again: more than the kernel keeps for a socket.
const AT_ONCE: usize = 1024;
/// How often it is looked again for interfaces and ports that were not there, or may be others now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The Detection Time that peers are asked for while another process goes on.
const HAND_OVER: Duration = Duration::from_secs(10);
/// How long peers may take to agree.
const AGREE: Duration = Duration::from_millis(500);

/// Starts the thread. The receiver ends with it.
///
/// # Errors
/// There are no threads or descriptors left.
pub fn start(hub: Hub, news: mpsc::Sender<News>) -> io::Result<(Handle, oneshot::Receiver<()>)> {
    let (wishes, wished) = watch::channel(Wishes::new());
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (alive, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("bfd".to_owned()).spawn(move || {
        let _alive: oneshot::Sender<()> = alive;
        runtime.block_on(Task::new(hub, wished, news).run(asked));
    })?;
    Ok((Handle { wishes: wishes.into(), requests }, ended))
}

struct Task {
    sessions: Sessions,
    /// By peer; also of those that were removed and still say so.
    ways: BTreeMap<IpAddr, Way>,
    v4: Port,
    v6: Port,
    wishes: watch::Receiver<Wishes>,
    /// What was wished when it was looked last.
    known: Wishes,
    /// A peer's interface, or a port of ours, is not there.
    incomplete: bool,
    news: mpsc::Sender<News>,
    /// News that routing had no room for.
    pending: VecDeque<News>,
    hub: Hub,
    outputs: Vec<Output>,
    dropped: BTreeMap<&'static str, u64>,
    /// Who waits for peers to agree, and for how long.
    stretching: Option<(oneshot::Sender<()>, Instant)>,
}

/// What woke the thread.
enum Wake {
    /// Sockets and the time: they are looked at in any case.
    Look,
    Wished,
    Request(Request),
    Gone,
}

impl Task {
    fn new(hub: Hub, wishes: watch::Receiver<Wishes>, news: mpsc::Sender<News>) -> Self {
        Self {
            sessions: Sessions::new(random::seed()),
            ways: BTreeMap::new(),
            v4: Port::default(),
            v6: Port::default(),
            wishes,
            known: Wishes::new(),
            incomplete: false,
            news,
            pending: VecDeque::new(),
            hub,
            outputs: Vec::new(),
            dropped: BTreeMap::new(),
            stretching: None,
        }
    }

    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut look_again = look_again();
        while self.step(&mut requests, &mut look_again).await {
            self.take_datagrams();
            self.sessions.tick(Instant::now(), &mut self.outputs);
            self.carry_out();
            self.end_stretch();
        }
        debug!("the BFD thread ends");
    }

    /// Waits for something to do; false at the end.
    async fn step(&mut self, requests: &mut mpsc::Receiver<Request>, look_again: &mut Interval) -> bool {
        let patience = self.stretching.as_ref().map(|(_, until)| *until);
        let deadline = [self.sessions.next_deadline(), patience].into_iter().flatten().min();
        let named = self.incomplete || self.known.values().any(|wish| wish.interface.is_some());
        let wake = tokio::select! {
            // What never ends, if somebody floods us, comes last.
            biased;
            request = requests.recv() => request.map_or(Wake::Gone, Wake::Request),
            permit = self.news.reserve(), if !self.pending.is_empty() => {
                if let (Ok(permit), Some(news)) = (permit, self.pending.pop_front()) {
                    permit.send(news);
                }
                Wake::Look
            }
            // Whoever wishes something is there as long as requests may come.
            changed = self.wishes.changed() => if changed.is_ok() { Wake::Wished } else { Wake::Gone },
            _ = look_again.tick(), if named => Wake::Wished,
            () = sleep_until(deadline) => Wake::Look,
            () = ready(self.v4.receiver.as_ref()) => Wake::Look,
            () = ready(self.v6.receiver.as_ref()) => Wake::Look,
        };
        match wake {
            Wake::Look => {}
            Wake::Wished => self.fulfil(),
            Wake::Request(request) => return self.on_request(request),
            Wake::Gone => return false,
        }
        true
    }

    /// Brings sessions and sockets in line with what is wished.
    fn fulfil(&mut self) {
        let wishes = self.wishes.borrow_and_update().clone();
        let gone: Vec<IpAddr> =
            self.known.keys().filter(|peer| !wishes.contains_key(*peer)).copied().collect();
        for address in gone {
            self.sessions.remove(address, Instant::now(), &mut self.outputs);
            self.tell(address, Path::Unknown);
        }
        self.incomplete = !self.open_ports(&wishes);
        for (address, wish) in &wishes {
            self.place(*address, wish);
        }
        self.known = wishes;
        self.carry_out();
    }

    fn place(&mut self, address: IpAddr, wish: &Wish) {
        let way = self.ways.entry(address).or_default();
        let interface = match wish.interface.as_deref().map(if_nametoindex).transpose() {
            Ok(index) => index,
            Err(errno) => {
                let name = wish.interface.as_deref().unwrap_or_default();
                let trouble = format!("interface {name}: {errno}");
                if way.trouble.as_ref() != Some(&trouble) {
                    warn!(peer = %address, "BFD: {trouble}");
                }
                way.trouble = Some(trouble);
                self.incomplete = true;
                return;
            }
        };
        way.set(wish, interface);
        let (peer, now) = (Peer { address, interface }, Instant::now());
        match &wish.resume {
            Some(rest) if !self.known.contains_key(&address) => {
                way.resume(rest);
                self.sessions.resume(peer, wish.config, &rest.session, now, &mut self.outputs);
                info!(peer = %address, "BFD session goes on");
                self.tell(address, Path::Open);
            }
            _ => self.sessions.set(peer, wish.config, now, &mut self.outputs),
        }
    }

    /// Opens the port of each family that somebody needs, and closes it where nobody does; false where it cannot be opened.
    fn open_ports(&mut self, wishes: &Wishes) -> bool {
        let mut all = true;
        for is_v4 in [true, false] {
            let port = if is_v4 { &mut self.v4 } else { &mut self.v6 };
            let Some(peer) = wishes.keys().find(|peer| peer.is_ipv4() == is_v4) else {
                *port = Port::default();
                continue;
            };
            if let Err((error, is_news)) = port.open(*peer) {
                if is_news {
                    error!(
                        %error, ipv4 = is_v4,
                        "BFD: UDP port 3784 cannot be opened; is another BFD daemon running? (ss -lunp sport = 3784)"
                    );
                }
                all = false;
            }
        }
        all
    }

    /// What has come counts before the time that has passed: a thread that had to wait for a processor finds the packets
    /// of its peers in the sockets.
    fn take_datagrams(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(datagram) = self.next_datagram() else { return };
            let (arrival, now) = (datagram.arrival, Instant::now());
            match self.sessions.receive(datagram.payload(), arrival, now, &mut self.outputs) {
                Ok(address) => {
                    if let Some(way) = self.ways.get_mut(&address) {
                        way.heard(datagram.destination, arrival.interface);
                    }
                }
                Err(dropped) => {
                    debug!(source = %arrival.source, interface = arrival.interface, "BFD packet dropped: {dropped}");
                    *self.dropped.entry(dropped.label()).or_default() += 1;
                }
            }
            self.carry_out();
        }
    }

    fn next_datagram(&self) -> Option<Datagram> {
        let mut receivers = [&self.v4, &self.v6].into_iter().filter_map(|port| port.receiver.as_ref());
        receivers.find_map(|receiver| match receiver.next() {
            Ok(datagram) => datagram,
            Err(error) => {
                debug!(%error, "a BFD packet could not be received");
                None
            }
        })
    }

    fn carry_out(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Send(peer, packet) => {
                    if let Some(way) = self.ways.get_mut(&peer) {
                        way.send(peer, &packet);
                    }
                }
                Output::Changed(peer, change) => self.on_change(peer, &change),
                Output::Ended(peer) => {
                    if !self.known.contains_key(&peer) {
                        self.ways.remove(&peer);
                    }
                }
            }
        }
        self.outputs = outputs;
    }

    fn on_change(&mut self, peer: IpAddr, change: &Change) {
        let lasted = change.lasted.as_secs();
        if change.is_failure() {
            let (why, independent) = (change.why(), change.control_plane_independent);
            // Before anything else: routing has a leg to take out.
            self.tell(peer, Path::Failed { why: why.clone(), independent });
            warn!(%peer, reason = why, lasted, independent, "BFD session failed");
        } else if change.to == State::Up {
            self.tell(peer, Path::Open);
            info!(%peer, "BFD session up");
        } else if change.from == State::Up {
            self.tell(peer, Path::Unknown);
            info!(%peer, reason = change.why(), lasted, "BFD session put down; BGP is not concerned");
        } else {
            debug!(%peer, from = %change.from, to = %change.to, "BFD state");
            return;
        }
        self.hub.publish(|| EventKind::BfdChange {
            peer: peer.to_string(),
            state: change.to.to_string(),
            failed: change.is_failure(),
            reason: (change.to != State::Up).then(|| change.why()),
        });
    }

    /// In order, and never by waiting.
    fn tell(&mut self, peer: IpAddr, path: Path) {
        self.pending.push_back(News { peer, path });
        while let Some(news) = self.pending.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(news)) = self.news.try_send(news) {
                self.pending.push_front(news);
                return;
            }
        }
    }

    /// False where the thread has to end.
    fn on_request(&mut self, request: Request) -> bool {
        let now = Instant::now();
        match request {
            Request::Overview(reply) => answer(reply, self.overview()),
            Request::Stretch(reply) => {
                self.sessions.stretch(HAND_OVER, now, &mut self.outputs);
                self.stretching = Some((reply, now + AGREE));
            }
            Request::GoOn => self.sessions.stretch(Duration::ZERO, now, &mut self.outputs),
            Request::Rest(reply) => {
                let resting = self.rest(now);
                // The ports are free before anybody is told.
                (self.v4, self.v6) = (Port::default(), Port::default());
                self.ways.clear();
                answer(reply, resting);
                return false;
            }
            Request::Stop(reply) => {
                let all: Vec<IpAddr> = self.known.keys().copied().collect();
                all.iter().for_each(|address| self.sessions.remove(*address, now, &mut self.outputs));
                self.carry_out();
                answer(reply, ());
                return false;
            }
        }
        true
    }

    fn rest(&mut self, now: Instant) -> Vec<Resting> {
        // What has come is known to the next process, too.
        self.take_datagrams();
        let sessions = self.sessions.suspend(now, &mut self.outputs);
        self.carry_out();
        let resting = sessions.into_iter().filter_map(|(address, session)| {
            let (local, interface, source_port) = self.ways.get(&address)?.rest();
            Some(Resting { address, local, interface, source_port, session })
        });
        resting.collect()
    }

    fn end_stretch(&mut self) {
        let over = |until: Instant| until <= Instant::now() || self.sessions.are_agreed();
        if self.stretching.as_ref().is_some_and(|(_, until)| over(*until))
            && let Some((reply, _)) = self.stretching.take()
        {
            answer(reply, ());
        }
    }

    fn overview(&self) -> Overview {
        let status: BTreeMap<IpAddr, _> =
            self.sessions.status().map(|(peer, status)| (peer.address, status)).collect();
        let sessions = self.known.iter().map(|(address, wish)| {
            let way = self.ways.get(address);
            SessionView {
                address: *address,
                interface: wish.interface.clone(),
                local: way.and_then(Way::local),
                status: status.get(address).cloned(),
                send_errors: way.map_or(0, |way| way.errors),
                trouble: way.and_then(|way| way.trouble.clone()).or_else(|| self.port_missing(*address)),
            }
        });
        Overview { sessions: sessions.collect(), dropped: self.dropped.clone() }
    }

    fn port_missing(&self, peer: IpAddr) -> Option<String> {
        let port = if peer.is_ipv4() { &self.v4 } else { &self.v6 };
        port.receiver.is_none().then(|| "UDP port 3784 is taken by another program".to_owned())
    }
}

/// When to look again. Where nobody had to for long, not once for each time that was missed.
fn look_again() -> Interval {
    let mut interval = tokio::time::interval(LOOK_AGAIN);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn ready(receiver: Option<&BfdReceiver>) {
    match receiver {
        Some(receiver) => receiver.ready().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn days_without_a_look_are_made_up_for_by_one() {
        let mut interval = look_again();
        interval.tick().await;
        tokio::time::advance(Duration::from_secs(3 * 24 * 3600)).await;
        interval.tick().await;
        assert!(timeout(LOOK_AGAIN / 2, interval.tick()).await.is_err(), "the next one is a second later");
        assert!(timeout(LOOK_AGAIN, interval.tick()).await.is_ok());
    }
}
