//! Socket options against the real TCP stack, in namespaces. Needs root.
//!
//! What must not arrive leaves a counter of the kernel behind; the tests wait for that instead of for time to pass.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bgp_netlink::TcpMd5Counters;
use bgpd_rs::config::{self, Password, Ttl};
use bgpd_rs::net::{Accepted, DialOptions, Listener, dial, prepare};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::netns::Namespace;

#[path = "../../netlink/tests/netns/mod.rs"]
mod netns;

const PATIENCE: Duration = Duration::from_secs(20);
const PORT: u16 = 179;

/// Two namespaces with a link: .1 and ::1 are the host's, .2 and ::2 the peer's.
struct Link {
    host: Namespace,
    peer: Namespace,
}

impl Link {
    fn new() -> Self {
        let link = Self { host: Namespace::new(), peer: Namespace::new() };
        link.host.connect("eth0", &link.peer, "eth0");
        for (side, last) in [(&link.host, 1), (&link.peer, 2)] {
            side.ip(&format!("addr add 10.0.0.{last}/24 dev eth0"));
            side.ip(&format!("addr add 2001:db8::{last}/64 dev eth0 nodad"));
        }
        link
    }
}

/// Sockets belong to the namespace of the thread that opens them: the runtime is the caller's, the opening is not.
fn new_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn listen(at: &Namespace, runtime: &tokio::runtime::Runtime, address: &str) -> Listener {
    let address: IpAddr = address.parse().unwrap();
    let handle = runtime.handle().clone();
    at.run(move || {
        let _inside = handle.enter();
        Listener::bind(SocketAddr::new(address, PORT)).unwrap()
    })
}

/// Dials from `from` on a runtime of its own, in which the connection then lives; `talk` uses it.
fn dialled<T: Send + 'static, F: Future<Output = T>>(
    from: &Namespace,
    options: DialOptions,
    talk: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let (ready, started) = std::sync::mpsc::channel();
    let handle = from.run(move || {
        // The thread inherits the namespace.
        std::thread::spawn(move || {
            ready.send(()).unwrap();
            new_runtime().block_on(async { talk(dial(options).await.expect("the dial")).await })
        })
    });
    started.recv().unwrap();
    handle
}

fn to(address: &str) -> DialOptions {
    DialOptions::new(SocketAddr::new(address.parse().unwrap(), PORT))
}

/// Starts a dial in `from` that nobody will answer, and waits until `reached` holds; then gives it up.
fn dial_in_vain(from: &Namespace, options: DialOptions, reached: impl Fn() -> bool) {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let attempt = from.run(move || {
        std::thread::spawn(move || {
            new_runtime().block_on(async {
                tokio::select! {
                    result = dial(options) => Some(result.map(|_| ())),
                    _ = stopped => None,
                }
            })
        })
    });
    wait_until(reached);
    drop(stop);
    let outcome = attempt.join().unwrap();
    assert!(!matches!(outcome, Some(Ok(()))), "it was let in");
}

/// Looks again and again, without a runtime; what is waited for is a counter that has no event.
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not happen");
        std::thread::yield_now();
    }
}

/// A counter of `/proc/net/netstat` or `snmp`.
fn counter(of: &Namespace, file: &'static str, group: &'static str, name: &'static str) -> u64 {
    of.run(move || {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
        let mut rows = text.lines().filter_map(|line| line.strip_prefix(group));
        let (names, values) = (rows.next().unwrap(), rows.next().unwrap());
        let counters: HashMap<_, _> = names.split_whitespace().zip(values.split_whitespace()).collect();
        counters[name].parse().unwrap()
    })
}

async fn accept(listener: &Listener) -> Accepted {
    tokio::time::timeout(PATIENCE, listener.accept()).await.expect("a connection").unwrap()
}

fn session(ttl: Ttl) -> config::Session {
    let text =
        "[bgp]\nasn = 64513\nrouter-id = \"10.0.0.1\"\n\n[neighbor.\"10.0.0.2\"]\nremote-asn = 64512\n";
    let config = config::load_str(text, "test.toml").expect("a valid configuration").config;
    let neighbor = config.neighbors.values().next().unwrap();
    config::Session { ttl, ..neighbor.settings.session.clone() }
}

async fn read_one(mut stream: TcpStream) -> u8 {
    let mut octet = [0];
    stream.read_exact(&mut octet).await.unwrap();
    octet[0]
}

async fn say_hello(mut stream: TcpStream) {
    stream.write_all(b"!").await.unwrap();
}

#[test]
fn both_families_listen_on_one_port_and_say_who_connects() {
    let link = Link::new();
    let runtime = new_runtime();
    for (any, host, peer) in [("0.0.0.0", "10.0.0.1", "10.0.0.2"), ("::", "2001:db8::1", "2001:db8::2")] {
        let listener = listen(&link.host, &runtime, any);
        let client = dialled(&link.peer, to(host), |stream| async move {
            assert!(stream.nodelay().unwrap());
            read_one(stream).await
        });
        runtime.block_on(async {
            let accepted = accept(&listener).await;
            assert_eq!(accepted.local, SocketAddr::new(host.parse().unwrap(), PORT));
            assert_eq!(accepted.remote.ip(), peer.parse::<IpAddr>().unwrap());
            assert_eq!(accepted.interface, None);
            prepare(&accepted.stream, &session(Ttl::Direct)).unwrap();
            assert!(accepted.stream.nodelay().unwrap());
            let socket = SockRef::from(&accepted.stream);
            let (ttl, class) = match accepted.local {
                SocketAddr::V4(_) => (socket.ttl_v4().unwrap(), socket.tos_v4().unwrap()),
                SocketAddr::V6(_) => (socket.unicast_hops_v6().unwrap(), socket.tclass_v6().unwrap()),
            };
            assert_eq!((ttl, class), (1, 0xc0));
            say_hello(accepted.stream).await;
        });
        assert_eq!(client.join().unwrap(), b'!');
    }
}

#[test]
fn a_link_local_peer_is_reached_and_known_by_its_link() {
    let link = Link::new();
    let runtime = new_runtime();
    link.host.ip("addr add fe80::1/64 dev eth0 nodad");
    link.peer.ip("addr add fe80::2/64 dev eth0 nodad");
    let listener = listen(&link.host, &runtime, "::");
    let options = DialOptions {
        interface: Some("eth0".into()),
        local_address: Some("fe80::2".parse().unwrap()),
        ..to("fe80::1")
    };
    let client = dialled(&link.peer, options, read_one);
    let ifindex = link.host.ifindex("eth0");
    runtime.block_on(async {
        let accepted = accept(&listener).await;
        assert_eq!(accepted.interface, Some(ifindex));
        assert_eq!(accepted.remote.ip(), "fe80::2".parse::<IpAddr>().unwrap());
        say_hello(accepted.stream).await;
    });
    client.join().unwrap();

    let refused = link.peer.run(|| {
        let options = DialOptions { interface: Some("eth7".into()), ..to("fe80::1") };
        new_runtime().block_on(dial(options)).unwrap_err()
    });
    assert!(refused.to_string().starts_with("interface eth7: "), "{refused}");
    let refused = link.peer.run(|| {
        let options = DialOptions { local_address: Some("192.0.2.7".parse().unwrap()), ..to("10.0.0.1") };
        new_runtime().block_on(dial(options)).unwrap_err()
    });
    assert!(refused.to_string().starts_with("local address 192.0.2.7: "), "{refused}");
}

#[test]
fn an_address_that_is_tentative_or_not_there_yet_can_be_listened_at() {
    let link = Link::new();
    let runtime = new_runtime();
    // A bridge without a port has no carrier: its address stays tentative.
    link.host.ip("link add br0 type bridge");
    link.host.ip("link set br0 up");
    link.host.ip("addr add 2001:db8:b::1/64 dev br0");
    let tentative = listen(&link.host, &runtime, "2001:db8:b::1");
    let absent = listen(&link.host, &runtime, "10.9.9.9");
    assert_eq!(tentative.local().port(), PORT);
    link.host.ip("addr add 10.9.9.9/32 dev lo");
    link.peer.ip("route add 10.9.9.9/32 via 10.0.0.1");
    let client = dialled(&link.peer, to("10.9.9.9"), read_one);
    runtime.block_on(async { say_hello(accept(&absent).await.stream).await });
    client.join().unwrap();
}

#[test]
fn keys_of_prefixes_and_addresses_come_and_go_on_a_live_listener() {
    for (any, host, range, peer, other) in [
        ("0.0.0.0", "10.0.0.1", "10.0.0.0/24", "10.0.0.2", "10.0.0.3"),
        ("::", "2001:db8::1", "2001:db8::/64", "2001:db8::2", "2001:db8::3"),
    ] {
        let link = Link::new();
        let runtime = new_runtime();
        let width = if any == "::" { 64 } else { 24 };
        link.peer
            .ip(&format!("addr add {other}/{width} dev eth0 {}", if width == 64 { "nodad" } else { "" }));
        let listener = listen(&link.host, &runtime, any);
        listener.set_md5_key(range.parse().unwrap(), Some(b"range")).unwrap();
        listener.set_md5_key(peer.parse().unwrap(), Some(b"address")).unwrap();
        let from = |local: &str, key: Option<&[u8]>| DialOptions {
            local_address: Some(local.parse().unwrap()),
            password: key.map(|key| Password::new(key).unwrap()),
            ..to(host)
        };
        let let_in = |options: DialOptions| {
            let client = dialled(&link.peer, options, read_one);
            runtime.block_on(async { say_hello(accept(&listener).await.stream).await });
            client.join().unwrap();
        };
        let md5 = || link.host.run(TcpMd5Counters::read).unwrap();

        // Whoever is in the range has its key; the longer prefix wins.
        let_in(from(other, Some(b"range")));
        let_in(from(peer, Some(b"address")));
        assert_eq!(md5(), TcpMd5Counters::default());
        dial_in_vain(&link.peer, from(peer, Some(b"range")), || md5().failure > 0);
        dial_in_vain(&link.peer, from(peer, None), || md5().not_found > 0);

        // Without its own key, the address is one of the range again; without any, none is expected.
        listener.set_md5_key(peer.parse().unwrap(), None).unwrap();
        let_in(from(peer, Some(b"range")));
        listener.set_md5_key(range.parse().unwrap(), None).unwrap();
        dial_in_vain(&link.peer, from(peer, Some(b"range")), || md5().unexpected > 0);
        let_in(from(peer, None));
        let gone = listener.set_md5_key(range.parse().unwrap(), None).unwrap_err();
        assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
        // The longest key that there may be.
        listener.set_md5_key(peer.parse().unwrap(), Some(&[b'k'; 80])).unwrap();
        let_in(from(peer, Some(&[b'k'; 80])));
    }
}

#[test]
fn gtsm_takes_neighbours_and_drops_what_came_from_further() {
    for (any, host) in [("0.0.0.0", "10.0.0.1"), ("::", "2001:db8::1")] {
        let link = Link::new();
        let runtime = new_runtime();
        let listener = listen(&link.host, &runtime, any);
        // The peer asks for GTSM before it dials: it takes no SYN-ACK below 255.
        let secure = DialOptions { ttl: Ttl::Security { hops: 1 }, ..to(host) };
        let client = dialled(&link.peer, secure, |mut stream| async move {
            stream.write_all(b"?").await.unwrap();
            read_one(stream).await
        });
        runtime.block_on(async {
            let mut accepted = accept(&listener).await;
            prepare(&accepted.stream, &session(Ttl::Security { hops: 1 })).unwrap();
            let mut octet = [0];
            accepted.stream.read_exact(&mut octet).await.unwrap();
            say_hello(accepted.stream).await;
        });
        client.join().unwrap();
        let dropped = || counter(&link.host, "netstat", "TcpExt:", "TCPMinTTLDrop");
        assert_eq!(dropped(), 0);

        // A peer whose packets have a lower TTL, as from several hops away, is not heard.
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let (write, written) = tokio::sync::oneshot::channel::<()>();
        let far = DialOptions { ttl: Ttl::Multihop(64), ..to(host) };
        let client = dialled(&link.peer, far, |mut stream| async move {
            written.await.unwrap();
            stream.write_all(b"?").await.unwrap();
            closed.await.unwrap();
        });
        let accepted = runtime.block_on(accept(&listener));
        prepare(&accepted.stream, &session(Ttl::Security { hops: 2 })).unwrap();
        write.send(()).unwrap();
        wait_until(|| dropped() > 0);
        let unread = accepted.stream.try_read(&mut [0; 8]).unwrap_err();
        assert_eq!(unread.kind(), std::io::ErrorKind::WouldBlock);
        // The setting can be taken back: the retransmission then arrives.
        prepare(&accepted.stream, &session(Ttl::Multihop(64))).unwrap();
        assert_eq!(runtime.block_on(read_one(accepted.stream)), b'?');
        close.send(()).unwrap();
        client.join().unwrap();
    }
}

#[test]
fn a_direct_peer_is_not_sought_behind_a_router() {
    // peer (10.0.0.2) - host (10.0.0.1, 10.0.1.1) - beyond (10.0.1.2)
    let link = Link::new();
    let beyond = Namespace::new();
    link.host.connect("eth1", &beyond, "eth0");
    link.host.ip("addr add 10.0.1.1/24 dev eth1");
    beyond.ip("addr add 10.0.1.2/24 dev eth0");
    beyond.ip("route add default via 10.0.1.1");
    link.peer.ip("route add default via 10.0.0.1");
    link.host.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let runtime = new_runtime();
    let listener = listen(&beyond, &runtime, "0.0.0.0");

    let expired = || counter(&link.host, "snmp", "Ip:", "InHdrErrors");
    assert_eq!(expired(), 0);
    dial_in_vain(&link.peer, to("10.0.1.2"), || expired() > 0);

    let client = dialled(&link.peer, DialOptions { ttl: Ttl::Multihop(2), ..to("10.0.1.2") }, read_one);
    runtime.block_on(async {
        let accepted = accept(&listener).await;
        prepare(&accepted.stream, &session(Ttl::Multihop(2))).unwrap();
        say_hello(accepted.stream).await;
    });
    client.join().unwrap();
}
