//! The supervisor as the daemon meets it: what operators have ordered, who is let in, what is handed over.

use std::net::{IpAddr, TcpListener};
use std::path::Path;

use bgp_rib::handover::Carried;
use bgp_session::Waiting;
use nix::net::if_::if_nametoindex;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::config::load_str;
use crate::peer::ToPeer;
use crate::routing::{Frozen, Order, Outlet};

/// Nobody is dialled.
const CONFIG: &str = r#"[bgp]
asn = 64513

[neighbor."172.50.0.2"]
remote-asn = 64512
mode = "passive"

[neighbor."172.50.0.3"]
remote-asn = 64512
mode = "passive"

[neighbor."fe80::2"]
remote-asn = 64512
mode = "passive"
interface = "lo"

[peer-group.nodes]
remote-asn = 64512
listen-range = ["172.50.1.0/24"]
listen-limit = 2
mode = "passive"
"#;

/// A supervisor, with what stands in for routing.
struct World {
    requests: mpsc::Sender<Request>,
    routing: JoinHandle<()>,
}

impl World {
    fn start(state: Option<crate::handover::State>) -> Self {
        Self::start_with(CONFIG, Path::new("/nowhere"), state, Vec::new())
    }

    /// With routing that is asked to come to rest and has these peers.
    fn start_with(
        config: &str,
        path: &Path,
        state: Option<crate::handover::State>,
        frozen: Vec<(IpAddr, Carried)>,
    ) -> Self {
        let (inlet, outlet) = routing::lanes();
        let (orders, ordered) = mpsc::channel(8);
        let (requests, received) = mpsc::channel(8);
        let (news, _) = mpsc::channel(8);
        let (bfd, _) = crate::bfd::start(Hub::default(), news).unwrap();
        let known = OwnRestart { restarted: false, preserved: PerFamily::default() };
        let supervisor = Supervisor::new(Parts {
            config: load_str(config, "t").unwrap().config,
            config_path: path.to_owned(),
            router_id: RouterId::new(1).unwrap(),
            hostname: None,
            listeners: Arc::new(Listeners::bind(&[], Vec::new()).unwrap()),
            routing: inlet,
            orders,
            hub: Hub::default(),
            own_restart: watch::Sender::new(Some(known)).subscribe(),
            bfd,
            inherited: Inherited { state, ..Inherited::default() },
        });
        tokio::spawn(supervisor.run(received));
        Self { requests, routing: tokio::spawn(route(outlet, ordered, frozen)) }
    }

    async fn ask<A>(&self, make: impl FnOnce(oneshot::Sender<A>) -> Request) -> A {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.unwrap();
        answer.await.unwrap()
    }

    async fn act(&self, address: &str, action: NeighborAction, reason: &str) {
        let (address, reason) = (address.parse().ok(), Some(reason.to_owned()));
        self.ask(|reply| Request::Act { address, action, reason, reply }).await.unwrap();
    }

    /// Somebody connects, as far as the supervisor can see.
    async fn connect(&self, address: &str, interface: Option<u32>) -> std::net::TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, local) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let remote = (address.parse::<IpAddr>().unwrap(), 40_000).into();
        let stream = TcpStream::from_std(stream).unwrap();
        let accepted = Accepted { stream, local, remote, interface };
        self.requests.send(Request::Incoming(accepted)).await.unwrap();
        peer
    }

    async fn peer(&self, address: &str) -> Option<PeerInfo> {
        let address: IpAddr = address.parse().unwrap();
        self.ask(Request::Peers).await.into_iter().find(|peer| peer.address == address)
    }

    /// Why a peer is down, where an operator wants it to be.
    async fn kept_down(&self, address: &str) -> Option<String> {
        let (reply, status) = oneshot::channel();
        let peer = self.peer(address).await.unwrap();
        peer.handle.inbox.send(ToPeer::Status(reply)).await.unwrap();
        match status.await.unwrap().session.waiting {
            Waiting::Operator(reason) => Some(reason),
            _ => None,
        }
    }

    async fn refused(&self) -> u64 {
        self.ask(Request::Summary).await.refused.unknown
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.routing.abort();
    }
}

/// Takes everything, and answers what is asked.
async fn route(mut outlet: Outlet, mut orders: mpsc::Receiver<Order>, peers: Vec<(IpAddr, Carried)>) {
    let mut peers = Some(peers);
    loop {
        tokio::select! {
            Some(delivery) = outlet.next() => drop(delivery.work(|_| None)),
            Some(order) = orders.recv() => match order {
                Order::TakeOver { knows, .. } => answer(knows, ()),
                Order::Freeze(reply) => {
                    let peers = peers.take().unwrap_or_default();
                    answer(reply, Frozen { peers, orphans: false, drains: Vec::new() });
                }
                _ => {}
            },
            else => return,
        }
    }
}

#[tokio::test]
async fn what_an_operator_has_ordered_goes_on_in_the_next_process_with_a_session_or_without() {
    let world = World::start(None);
    let _dynamic = world.connect("172.50.1.9", None).await;
    world.act("172.50.0.2", NeighborAction::GracefulShutdown, "").await;
    world.act("172.50.0.3", NeighborAction::Shutdown, "new line card").await;
    world.act("172.50.1.9", NeighborAction::Shutdown, "node is drained").await;
    let state = world.ask(Request::Rest).await.state;
    let text = serde_json::to_string(&state).unwrap();

    let next = World::start(Some(serde_json::from_str(&text).unwrap()));
    assert!(next.peer("172.50.0.2").await.unwrap().closing);
    assert_eq!(next.kept_down("172.50.0.2").await, None);
    assert_eq!(next.kept_down("172.50.0.3").await.as_deref(), Some("new line card"));
    assert_eq!(next.kept_down("172.50.1.9").await.as_deref(), Some("node is drained"));
    assert_eq!(next.ask(Request::Summary).await.peers.shutdown, 2);
    // An operator takes it back.
    next.act("172.50.1.9", NeighborAction::Start, "").await;
    assert_eq!(next.kept_down("172.50.1.9").await, None);
    next.act("172.50.0.2", NeighborAction::NoGracefulShutdown, "").await;
    let orders = next.ask(Request::Rest).await.state.orders;
    assert_eq!(orders.keys().map(ToString::to_string).collect::<Vec<_>>(), ["172.50.0.3"]);
}

#[tokio::test]
async fn a_state_without_orders_is_of_an_older_process() {
    let world = World::start(Some(serde_json::from_str(r#"{"program":"0.0.1","peers":[]}"#).unwrap()));
    assert!(!world.peer("172.50.0.2").await.unwrap().closing);
    assert_eq!(world.kept_down("172.50.0.2").await, None);
}

#[tokio::test]
async fn an_order_for_all_is_none_for_each() {
    let world = World::start(None);
    let all = |action| Request::Act { address: None, action, reason: None, reply: oneshot::channel().0 };
    world.requests.send(all(NeighborAction::GracefulShutdown)).await.unwrap();
    assert!(world.peer("172.50.0.3").await.unwrap().closing);
    world.requests.send(all(NeighborAction::NoGracefulShutdown)).await.unwrap();
    assert!(!world.peer("172.50.0.3").await.unwrap().closing);
    let state = world.ask(Request::Rest).await.state;
    assert_eq!((state.closing, state.orders.len()), (false, 0));
}

#[tokio::test]
async fn an_order_outlives_the_way_in_which_a_peer_is_configured() {
    let path = std::env::temp_dir().join(format!("bgpd-rs-orders-{}.toml", std::process::id()));
    let world = World::start_with(CONFIG, &path, None, Vec::new());
    let _dynamic = world.connect("172.50.1.9", None).await;
    world.act("172.50.1.9", NeighborAction::GracefulShutdown, "").await;
    let named = "\n[neighbor.\"172.50.1.9\"]\nremote-asn = 64512\nmode = \"passive\"\n";
    for (text, by_range) in [(format!("{CONFIG}{named}"), false), (CONFIG.to_owned(), true)] {
        std::fs::write(&path, text).unwrap();
        let reloaded = world.ask(|reply| Request::Reload { patience: None, reply: Some(reply) }).await;
        assert!(reloaded.is_ok(), "{reloaded:?}");
        let peer = world.peer("172.50.1.9").await.unwrap();
        assert_eq!((peer.closing, peer.range.is_some()), (true, by_range));
    }
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_link_local_neighbour_is_met_on_its_link_alone() {
    let world = World::start(None);
    let loopback = if_nametoindex("lo").unwrap();
    let _ours = world.connect("fe80::2", Some(loopback)).await;
    assert_eq!(world.refused().await, 0);
    let _other = world.connect("fe80::2", Some(loopback + 1)).await;
    assert_eq!(world.refused().await, 1);
}

/// RFC 4724: what the kernel has of a session that broke on the way stays until its peer is back.
#[tokio::test]
async fn a_session_that_breaks_before_it_is_handed_over_leaves_orphans() {
    let address: IpAddr = "172.50.0.2".parse().unwrap();
    for (frozen, orphans) in [(vec![(address, Carried::default())], true), (Vec::new(), false)] {
        let world = World::start_with(CONFIG, Path::new("/nowhere"), None, frozen);
        let handed = world.ask(Request::Rest).await;
        assert_eq!((handed.state.peers.len(), handed.state.orphans), (0, orphans));
    }
}

#[tokio::test]
async fn a_reload_leaves_in_force_what_takes_a_restart_and_says_so_each_time() {
    let path = std::env::temp_dir().join(format!("bgpd-rs-pending-{}.toml", std::process::id()));
    std::fs::write(&path, CONFIG.replace("asn = 64513", "asn = 64520")).unwrap();
    let world = World::start_with(CONFIG, &path, None, Vec::new());
    let pending = ["bgp.asn takes effect when the daemon is restarted"];
    for _ in 0..2 {
        let reload = |reply| Request::Reload { patience: None, reply: Some(reply) };
        assert_eq!(world.ask(reload).await.unwrap().needs_restart, pending);
    }
    assert_eq!(world.ask(Request::Plan).await.unwrap().0.needs_restart, pending);
    assert_eq!(world.ask(Request::Summary).await.asn, Asn(64513));
    assert_eq!(world.ask(Request::Config).await.config["bgp"]["asn"], 64513);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn who_may_only_look_hears_nothing_that_stands_in_a_refused_file() {
    let path = std::env::temp_dir().join(format!("bgpd-rs-refused-{}.toml", std::process::id()));
    std::fs::write(&path, format!("{CONFIG}hold-tiem = 3\n")).unwrap();
    let world = World::start_with(CONFIG, &path, None, Vec::new());
    let reload = |reply| Request::Reload { patience: None, reply: Some(reply) };
    assert!(world.ask(reload).await.unwrap_err().error.message.contains("hold-tiem"));
    let said = world.ask(Request::Summary).await.config.last_reload_error.unwrap();
    assert!(said.starts_with("1 fault in ") && !said.contains("hold-tiem"), "{said}");
    std::fs::remove_file(path).unwrap();
}
