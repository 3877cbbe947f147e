//! How fast the kernel takes a whole table: requests made beforehand, 256 to a system call, the last acknowledged, one
//! thread a family. Whoever puts routes into the kernel cannot be faster; what this daemon adds is the difference.
//!
//! ```text
//! cargo run --release -p benches --bin kernel_bound -- TABLE [--json]     # a file of UPDATE messages
//! ```
//!
//! Works in a network namespace of its own and needs root. With `--json` it says nothing but the seconds of both families
//! together, as `peers-bench` reads them.

use std::error::Error;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use bgp_fib::{HOP_IDS, MAIN_TABLE, NexthopSpec, Op, PROTOCOL_BGP, RouteSpec, RouteTarget};
use bgp_wire::update::decode;
use bgp_wire::{DecodeContext, Family, Framer, Next, Prefix};
use bytes::{Bytes, BytesMut};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Requests of one system call.
const BATCH: usize = 256;
/// Offset of the flags in a message header, and the one that asks for an answer.
const FLAGS: usize = 6;
const ACK: u8 = 4;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let path = std::env::args().nth(1).ok_or("usage: kernel_bound TABLE, a file of UPDATE messages")?;
    let prefixes = prefixes(std::fs::read(path)?.into());
    unshare(CloneFlags::CLONE_NEWNET)?;
    for arguments in [
        "link add eth0 type veth peer name far0",
        "link set lo up",
        "link set eth0 up",
        "link set far0 up",
        "addr add 10.0.0.1/24 dev eth0",
        "addr add 2001:db8::1/64 dev eth0 nodad",
    ] {
        let status = Command::new("ip").args(arguments.split(' ')).status()?;
        if !status.success() {
            return Err(format!("ip {arguments}: {status}").into());
        }
    }
    let ifindex = nix::net::if_::if_nametoindex("eth0")?;
    let hops = [(HOP_IDS.start, "10.0.0.2"), (HOP_IDS.start + 1, "2001:db8::2")];
    let mut objects = Vec::new();
    for (id, gateway) in hops {
        let gateway: IpAddr = gateway.parse()?;
        let spec = NexthopSpec { id, protocol: PROTOCOL_BGP, gateway, ifindex, onlink: false };
        objects.push(Op::NexthopAdd(spec));
    }
    send(&Socket::new(NETLINK_ROUTE)?, &batches(&objects))?;

    let of = |family: Family| -> Vec<Op> {
        let wanted = prefixes.iter().filter(|prefix| prefix.family() == family);
        wanted.map(|prefix| route(*prefix)).collect()
    };
    let (v4, v6) = (of(Family::Ipv4Unicast), of(Family::Ipv6Unicast));
    let counts = [v4.len(), v6.len()];
    let before = cpu()?;
    let start = Arc::new(Barrier::new(3));
    let threads = [v4, v6].map(|ops| {
        let (start, batches) = (Arc::clone(&start), batches(&ops));
        std::thread::spawn(move || -> Fallible<Duration> {
            let socket = Socket::new(NETLINK_ROUTE)?;
            start.wait();
            let begun = Instant::now();
            send(&socket, &batches)?;
            Ok(begun.elapsed())
        })
    });
    let made = cpu()?;
    start.wait();
    let begun = Instant::now();
    let mut took = Vec::new();
    for thread in threads {
        took.push(thread.join().map_err(|_| "a thread panicked")??);
    }
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), (cpu()? - made).as_secs_f64());
    if std::env::args().any(|argument| argument == "--json") {
        println!("{}", serde_json::json!({ "wall": wall, "cpu": cpu }));
        return Ok(());
    }
    for ((count, took), name) in counts.into_iter().zip(took).zip(["IPv4", "IPv6"]) {
        println!("{count} {name} routes: {:.2} s", took.as_secs_f64());
    }
    println!(
        "both {wall:.2} s, {cpu:.2} s of CPU (making the requests took {:.2} s)",
        (made - before).as_secs_f64()
    );
    Ok(())
}

/// What is announced, in this order.
fn prefixes(octets: Bytes) -> Vec<Prefix> {
    let (framer, mut octets, mut prefixes) = (Framer::new(), BytesMut::from(octets), Vec::new());
    while let Next::Message(frame) = framer.next(&mut octets) {
        let Ok(update) = decode(&frame.body, &DecodeContext::default()) else { continue };
        let announced = update.announced.iter().flat_map(|announced| announced.nlri.iter());
        prefixes.extend(announced.map(|entry| entry.prefix));
    }
    prefixes
}

fn route(prefix: Prefix) -> Op {
    let id = match prefix {
        Prefix::V4(_) => HOP_IDS.start,
        Prefix::V6(_) => HOP_IDS.start + 1,
    };
    Op::RouteAdd(RouteSpec {
        prefix,
        table: MAIN_TABLE,
        protocol: PROTOCOL_BGP,
        metric: 20,
        preferred_source: None,
        target: RouteTarget::Nexthop(id),
    })
}

/// The requests, so many to a buffer, the last of each with the wish for an answer.
fn batches(ops: &[Op]) -> Vec<Vec<u8>> {
    ops.chunks(BATCH)
        .map(|ops| {
            let (mut octets, mut last) = (Vec::new(), 0);
            for (sequence, op) in (1..).zip(ops) {
                last = octets.len();
                bgp_netlink::encode_request(op, sequence, &mut octets);
            }
            if let Some(flags) = octets.get_mut(last + FLAGS) {
                *flags |= ACK;
            }
            octets
        })
        .collect()
}

fn send(socket: &Socket, batches: &[Vec<u8>]) -> Fallible<()> {
    let mut answer = Vec::with_capacity(4096);
    for batch in batches {
        socket.send_to(batch, &SocketAddr::new(0, 0), 0)?;
        answer.clear();
        socket.recv_from(&mut answer, 0)?;
        // An error number stands behind the header of 16 octets.
        if answer.get(16..20) != Some(&[0; 4]) {
            return Err(format!("the kernel refused a request: {:?}", answer.get(16..20)).into());
        }
    }
    Ok(())
}

/// CPU time of this process.
fn cpu() -> Fallible<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(micros.try_into()?))
}
