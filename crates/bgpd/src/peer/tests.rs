//! A peer's task as the supervisor and routing meet it.

use std::io::Read;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use bgp_rib::PeerId;
use bgp_session::{Command, Mode, Output, Peer, PeerConfig, RemoteAs, RouteRetention};
use bgp_wire::update::encode;
use bgp_wire::{Asn, Family, PeerKind, PerFamily, RouterId};
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::handover::{FIRST, Resumed, Routes};
use super::*;
use crate::config::load_str;
use crate::handover;
use crate::handover::state::tests::sample;
use crate::routing::{Outlet, Part, lanes};

const ADDRESS: &str = "172.50.0.2";

/// The task of a peer, and what it tells routing.
struct World {
    handle: Handle,
    routing: Outlet,
}

fn settings() -> Arc<Settings> {
    let text = format!("[bgp]\nasn = 64513\n[neighbor.\"{ADDRESS}\"]\nremote-asn = 64512\n");
    let address: IpAddr = ADDRESS.parse().unwrap();
    Arc::new(load_str(&text, "t").unwrap().config.neighbors[&address].settings.clone())
}

fn config() -> PeerConfig {
    let router_id = RouterId::new(0xAC32_0001).unwrap();
    PeerConfig { mode: Mode::Passive, ..PeerConfig::new(Asn(64513), router_id, RemoteAs::External) }
}

fn dial_options() -> DialOptions {
    DialOptions::new(format!("{ADDRESS}:179").parse().unwrap())
}

/// A session of the process before, with routes that take several parts.
fn resumed(stream: Option<TcpStream>) -> (Peer, Start) {
    let (session, mut outputs) = (sample().peers.remove(0).session, Vec::new());
    let peer = Peer::resume(config(), &session, FIRST, 1, Instant::now(), &mut outputs).unwrap();
    let mark = encode::end_of_rib(Family::Ipv6Unicast);
    let streams = handover::Routes {
        received: Bytes::from(mark.repeat(200 * 1024 / mark.len())).into(),
        ..handover::Routes::default()
    };
    let (kind, refresh) = (PeerKind::External, PerFamily::default());
    let routes = Some(Box::new(Routes { kind, streams, refresh, spoken: true }));
    let (inbound, outbound) = (BytesMut::new(), Bytes::new());
    (peer, Start::GoesOn(Box::new(Resumed { outputs, stream, inbound, outbound, routes })))
}

impl World {
    fn new(session: Peer, start: Start) -> Self {
        let identity = Identity { id: PeerId(1), address: ADDRESS.parse().unwrap() };
        let (inlet, routing) = lanes();
        let beginning = Beginning { session, start, dial: dial_options(), settings: settings() };
        let handle = spawn(identity, beginning, Links { routing: inlet, hub: Hub::default() });
        Self { handle, routing }
    }

    /// With a peer that nobody speaks with.
    fn away() -> Self {
        Self::new(Peer::new(config(), 1, Instant::now()), Start::Anew)
    }

    async fn tell(&self, message: ToPeer) {
        self.handle.inbox.send(message).await.unwrap();
    }

    /// What routing is told, until the peer is removed, in words.
    async fn told(mut self) -> Vec<String> {
        let (done, _ended) = oneshot::channel();
        self.tell(ToPeer::End(Command::Deconfigure, done)).await;
        let mut told = Vec::new();
        while told.last().is_none_or(|last| last != "removed") {
            let delivery = self.routing.next().await.unwrap();
            delivery.work(|message| {
                told.push(words(&message));
                None
            });
        }
        told
    }
}

fn words(message: &FromPeer) -> String {
    match message {
        FromPeer::Settings { .. } => "settings".to_owned(),
        FromPeer::Up { .. } => "up".to_owned(),
        FromPeer::Restored { part: Part::End { .. }, .. } => "last part".to_owned(),
        FromPeer::Restored { .. } => "part".to_owned(),
        FromPeer::Down { retention: RouteRetention::Remove, .. } => "nothing is kept".to_owned(),
        FromPeer::Down { .. } => "down".to_owned(),
        FromPeer::Removed { .. } => "removed".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_that_is_removed_before_its_routes_are_there_brings_all_of_them_first() {
    let (session, start) = resumed(None);
    let mut told = World::new(session, start).told().await;
    told.dedup();
    assert_eq!(told[..4], ["settings", "up", "part", "last part"]);
    assert_eq!(told.last().unwrap(), "removed");
}

/// What a command costs a session that is up, it costs what is kept of one.
#[tokio::test]
async fn what_is_kept_of_a_peer_that_is_away_goes_by_command() {
    let nothing = ["settings", "removed"].map(str::to_owned);
    let gone = ["settings", "nothing is kept", "removed"].map(str::to_owned);
    let why = || "maintenance".to_owned();
    for (command, told) in [
        (Command::Shutdown(why()), &gone[..]),
        (Command::Reset(why()), &gone),
        (Command::NodeGone(why()), &gone),
        (Command::BfdDown { why: why(), forwards: false }, &gone),
        (Command::BfdDown { why: why(), forwards: true }, &nothing),
        (Command::Start, &nothing),
    ] {
        let world = World::away();
        world.handle.kept.store(true, Ordering::Relaxed);
        world.tell(ToPeer::Command(command.clone())).await;
        let kept = Arc::clone(&world.handle.kept);
        assert_eq!(world.told().await, told, "{command:?}");
        assert_eq!(kept.load(Ordering::Relaxed), told == nothing, "{command:?}");
    }
}

#[tokio::test]
async fn what_is_kept_of_a_peer_that_is_away_goes_when_it_is_configured_down() {
    let world = World::away();
    for shutdown in [None, Some("new line card".to_owned())] {
        let config = PeerConfig { shutdown, ..config() };
        let changed = Configure { config, dial: dial_options(), settings: settings() };
        world.tell(ToPeer::Configure(Box::new(changed))).await;
    }
    assert_eq!(world.told().await, ["settings", "settings", "settings", "nothing is kept", "removed"]);
}

#[tokio::test]
async fn a_peer_that_is_kept_down_by_command_does_not_begin() {
    let world = World::new(Peer::new(config(), 1, Instant::now()), Start::Down("maintenance".to_owned()));
    let (reply, status) = oneshot::channel();
    world.tell(ToPeer::Status(reply)).await;
    let status = status.await.unwrap().session;
    assert_eq!(status.state.to_string(), "Idle");
    assert!(format!("{:?}", status.waiting).contains("maintenance"), "{:?}", status.waiting);
}

/// A runtime that ended at once would reset the connection of a peer that has something unread to say, and the peer would
/// not read why.
#[tokio::test]
async fn a_task_that_ends_tells_of_last_octets_until_the_peer_has_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (session, start) = resumed(Some(TcpStream::from_std(ours).unwrap()));
    let world = World::new(session, start);
    let (done, ended) = oneshot::channel();
    world.tell(ToPeer::End(Command::Shutdown("maintenance".to_owned()), done)).await;
    let told = tokio::spawn(async move {
        let mut routing = world.routing;
        while let Some(delivery) = routing.next().await {
            delivery.work(|_| None);
        }
    });
    let closing = ended.await.unwrap();
    assert_eq!(closing.iter().map(|closing| closing.is_finished()).collect::<Vec<_>>(), [false]);
    let read = tokio::task::spawn_blocking(move || {
        let mut octets = Vec::new();
        peer.read_to_end(&mut octets).map(|_| octets)
    });
    let octets = read.await.unwrap().unwrap();
    assert!(octets.windows(11).any(|found| found == b"maintenance"), "{octets:?}");
    for closing in closing {
        closing.await.unwrap();
    }
    told.abort();
}

#[test]
fn a_session_that_goes_on_is_up_first() {
    let (_, Start::GoesOn(resumed)) = resumed(None) else { panic!("it goes on") };
    assert!(matches!(resumed.outputs[..], [Output::Up(_)]));
}
