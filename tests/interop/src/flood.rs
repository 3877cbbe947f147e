//! Connections at a pace that no honest peer has, from one address or many; and RST segments that somebody made up.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::namespace::Namespace;
use crate::speaker::connect_from;

/// Threads that connect.
const WORKERS: u32 = 4;
/// Connections that each of them holds open; the oldest ends by RST when one more comes.
const HELD: usize = 50;

/// Connections under way, until [`Flood::stop`].
#[derive(Debug)]
pub struct Flood {
    over: Arc<AtomicBool>,
    begun: Instant,
    workers: Vec<JoinHandle<u32>>,
}

impl Flood {
    /// Starts to open so many connections a second from a namespace, from these addresses in turn; from the kernel's
    /// choice where there are none.
    pub fn start(from: &Namespace, to: SocketAddr, per_second: u32, sources: &[IpAddr]) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let pace = Duration::from_secs(1) * WORKERS / per_second.max(1);
        let start = || {
            let (over, sources) = (Arc::clone(&over), sources.to_vec());
            from.inside(move || thread::spawn(move || work(to, pace, &sources, &over)))
        };
        let workers = (0..WORKERS).map(|_| start()).collect::<Result<_>>()?;
        Ok(Self { over, begun: Instant::now(), workers })
    }

    /// Ends it: how many connections were made, and how many that is a second.
    pub fn stop(self) -> Result<(u32, u32)> {
        self.over.store(true, Ordering::Relaxed);
        let lasting = self.begun.elapsed();
        let mut made = 0;
        for worker in self.workers {
            made += worker.join().map_err(|_| anyhow!("a thread of the flood panicked"))?;
        }
        Ok((made, (f64::from(made) / lasting.as_secs_f64()).round() as u32))
    }
}

/// A thread keeps the namespace of the one that made it.
fn work(to: SocketAddr, pace: Duration, sources: &[IpAddr], over: &AtomicBool) -> u32 {
    let mut sources = sources.iter().copied().map(Some).chain(sources.is_empty().then_some(None)).cycle();
    let (mut made, mut held) = (0, VecDeque::new());
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        if let Ok(stream) = connect_from(sources.next().flatten(), to) {
            made += 1;
            held.push_back(stream);
        }
        if held.len() > HELD {
            held.pop_front().into_iter().for_each(reset);
        }
        next += pace;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    held.into_iter().for_each(reset);
    made
}

/// Without TIME-WAIT, of which the ports would run out.
fn reset(stream: TcpStream) {
    // A connection that is closed already needs none.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap_or_default();
}

/// Sends RST segments for a connection until told to stop, with sequence numbers drawn at random; says how many. The
/// calling thread must be where the connection's near end is.
pub fn forge_resets(near: SocketAddrV6, far: SocketAddrV6, seed: u64, over: &AtomicBool) -> Result<u64> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::TCP)).context("a raw socket")?;
    socket.bind(&SocketAddrV6::new(*near.ip(), 0, 0, 0).into())?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let segment = reset_segment(near, far, random.u32(..));
        // What the queue of the link does not take is not sent.
        if socket.send_to(&segment, &SocketAddrV6::new(*far.ip(), 0, 0, 0).into()).is_ok() {
            sent += 1;
        }
    }
    Ok(sent)
}

/// RFC 9293 section 3.1: a header with RST alone.
fn reset_segment(near: SocketAddrV6, far: SocketAddrV6, sequence: u32) -> [u8; 20] {
    const RST: u8 = 4;
    let mut header = [0; 20];
    header[..2].copy_from_slice(&near.port().to_be_bytes());
    header[2..4].copy_from_slice(&far.port().to_be_bytes());
    header[4..8].copy_from_slice(&sequence.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = RST;
    let sum = checksum(*near.ip(), *far.ip(), &header);
    header[16..18].copy_from_slice(&sum.to_be_bytes());
    header
}

/// RFC 8200 section 8.1: over the pseudo-header and the segment.
fn checksum(near: Ipv6Addr, far: Ipv6Addr, segment: &[u8; 20]) -> u16 {
    const TCP: u32 = 6;
    let words = |octets: &[u8]| -> u32 {
        octets.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum()
    };
    let sum = words(&near.octets()) + words(&far.octets()) + 20 + TCP + words(segment);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_with_its_checksum_sums_up_to_nothing() {
        let near: SocketAddrV6 = "[2001:db8::2]:50000".parse().unwrap();
        let far: SocketAddrV6 = "[2001:db8::1]:179".parse().unwrap();
        let segment = reset_segment(near, far, 0x0102_0304);
        assert_eq!(segment[13], 4);
        assert_eq!(checksum(*near.ip(), *far.ip(), &segment), 0);
    }
}
