//! The two ends of the load: a session that is opened and fed with octets made before, and one that records octets.
//!
//! Neither looks into UPDATEs while the clock runs: a recorder keeps what came with the time of each read, and looks
//! at it when nothing more comes. So neither takes a core away from the daemon under test for longer than copying takes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use interop::namespace::Namespace;
use socket2::{Domain, Socket, Type};

use crate::daemon::{Name, Peer};
use crate::stream::{HEADER, message, messages, prefixes};
use crate::view::{Difference, View};

/// Nothing came for so long: time to look at what is there.
const QUIET: Duration = Duration::from_millis(400);
/// Seconds; longer than any run, so that nobody has to keep anything alive.
pub(crate) const HOLD_TIME: u16 = 900;

/// An established session.
#[derive(Debug)]
pub(crate) struct Session {
    stream: TcpStream,
    /// The peer's AS.
    asn: u32,
    /// Whether the daemon at the other end gives `::1` for a next hop.
    loopback_hops: bool,
}

impl Session {
    /// Dials from a peer's address until the daemon answers, and exchanges OPEN and KEEPALIVE. Gives up when the daemon
    /// is found not to live.
    pub(crate) fn open(
        namespace: &Namespace,
        peer: &Peer,
        daemon: Name,
        mut lives: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let start = Instant::now();
        loop {
            lives()?;
            let tried = namespace.inside(|| dial(peer))?;
            match tried {
                Ok(stream) => {
                    return Ok(Self { stream, asn: peer.asn, loopback_hops: daemon.tells_loopback_hops() });
                }
                Err(error) if start.elapsed() > Duration::from_secs(30) => {
                    return Err(error.context(format!("no session from {}", peer.address)));
                }
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Writes octets on a thread of its own; joined, it says when the first was written.
    pub(crate) fn feed(&self, octets: Arc<Vec<u8>>) -> Result<JoinHandle<Result<Instant>>> {
        let mut stream = self.stream.try_clone()?;
        Ok(thread::spawn(move || {
            let start = Instant::now();
            for chunk in octets.chunks(256 * 1024) {
                stream.write_all(chunk).context("feeding")?;
            }
            Ok(start)
        }))
    }

    /// Writes a few octets now.
    pub(crate) fn write(&self, octets: &[u8]) -> Result<()> {
        (&self.stream).write_all(octets).context("writing")
    }

    /// Ends it.
    pub(crate) fn close(self) -> Result<()> {
        self.stream.shutdown(Shutdown::Both).context("closing")
    }

    /// From now on keeps everything that comes.
    pub(crate) fn record(&self) -> Result<Recorder> {
        let mut stream = self.stream.try_clone()?;
        stream.set_read_timeout(None)?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = Arc::clone(&kept);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            loop {
                let count = match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                };
                let now = Instant::now();
                let mut kept = lock(&shared);
                kept.octets.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let end = kept.octets.len();
                kept.reads.push((end, now));
            }
            lock(&shared).ended = true;
        });
        let view = View::of(self.asn, self.loopback_hops);
        Ok(Recorder { kept, view, seen: 0, seen_reads: 0, last: None })
    }
}

impl Drop for Session {
    /// Wakes the threads that still write to it or read from it.
    fn drop(&mut self) {
        // Closed already, by whichever side, is as good.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dial(peer: &Peer) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((peer.address, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((peer.local, 179)).into(), Duration::from_secs(2))?;
    socket.set_tcp_nodelay(true)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut greeting = open(peer.address, peer.asn);
    stream.write_all(&greeting)?;
    ensure!(read_message(&mut stream)? == 1, "not an OPEN");
    greeting.clear();
    message(4, &[], &mut greeting);
    stream.write_all(&greeting)?;
    ensure!(read_message(&mut stream)? == 4, "not a KEEPALIVE");
    Ok(stream)
}

pub(crate) fn open(router_id: Ipv4Addr, asn: u32) -> Vec<u8> {
    let mut capabilities = Vec::new();
    for capability in
        [&[1, 4, 0, 1, 0, 1][..], &[1, 4, 0, 2, 0, 1], &[&[65, 4][..], &asn.to_be_bytes()].concat()]
    {
        capabilities.extend_from_slice(&[2, capability.len().to_le_bytes()[0]]);
        capabilities.extend_from_slice(capability);
    }
    let short = u16::try_from(asn).unwrap_or(23456);
    let mut body = vec![4];
    body.extend_from_slice(&short.to_be_bytes());
    body.extend_from_slice(&HOLD_TIME.to_be_bytes());
    body.extend_from_slice(&router_id.octets());
    body.push(capabilities.len().to_le_bytes()[0]);
    body.extend_from_slice(&capabilities);
    let mut out = Vec::new();
    message(1, &body, &mut out);
    out
}

pub(crate) fn read_message(stream: &mut TcpStream) -> Result<u8> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[16], header[17]])).saturating_sub(HEADER)];
    stream.read_exact(&mut body)?;
    if header[18] == 3 {
        bail!("the daemon refuses: NOTIFICATION {:?}", body.get(..2));
    }
    Ok(header[18])
}

#[derive(Debug, Default)]
struct Kept {
    octets: Vec<u8>,
    /// Where each read ended, and when.
    reads: Vec<(usize, Instant)>,
    ended: bool,
}

/// What has come over a session.
#[derive(Debug)]
pub(crate) struct Recorder {
    kept: Arc<Mutex<Kept>>,
    view: View,
    /// Octets looked at.
    seen: usize,
    seen_reads: usize,
    /// When the last UPDATE with routes came.
    last: Option<Instant>,
}

impl Recorder {
    /// Waits until it holds exactly what is wanted, but for the attributes of `spared` routes; says when the last UPDATE came.
    pub(crate) fn settle(&mut self, wanted: &View, spared: usize, limit: Duration) -> Result<Instant> {
        let start = Instant::now();
        loop {
            self.until_quiet(limit.saturating_sub(start.elapsed()));
            self.catch_up();
            let difference = self.view.difference(wanted);
            let but_for_some = Difference { other: difference.other.min(spared), ..Difference::default() };
            if difference == but_for_some
                && let Some(last) = self.last
            {
                if difference.other > 0 {
                    eprintln!(
                        "  ({} routes have other attributes than they ought to have)",
                        difference.other
                    );
                }
                return Ok(last);
            }
            if lock(&self.kept).ended {
                bail!("the daemon has closed the receiver's session: {difference:?}");
            }
            if start.elapsed() > limit {
                bail!("after {limit:?} the receiver does not hold the table: {difference:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Every prefix that `wanted` picks, with the time of its arrival, since the last look.
    pub(crate) fn arrivals(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Vec<(Vec<u8>, Instant)> {
        let mut found = Vec::new();
        self.look(|view, octets, at| {
            view.take(octets);
            let announced = crate::stream::parts(octets).and_then(|parts| parts.announced);
            if let Some((false, nlri)) = announced {
                let picked = prefixes(false, nlri).filter(|(_, octets)| wanted(octets));
                found.extend(picked.map(|(_, octets)| (octets.to_vec(), at)));
            }
        });
        found
    }

    /// Every UPDATE since the last look, with the time of its arrival.
    pub(crate) fn updates(&mut self) -> Vec<(Vec<u8>, Instant)> {
        let mut found = Vec::new();
        let mut last = self.last;
        self.look(|view, octets, at| {
            if view.take(octets) {
                last = Some(at);
            }
            found.push((octets.to_vec(), at));
        });
        self.last = last;
        found
    }

    /// Waits until nothing has come for a while.
    pub(crate) fn until_quiet(&self, limit: Duration) {
        let start = Instant::now();
        while start.elapsed() < limit {
            let last = lock(&self.kept).reads.last().map(|(_, at)| *at);
            match last.map(|at| at.elapsed()) {
                Some(quiet) if quiet >= QUIET => return,
                Some(quiet) => thread::sleep(QUIET - quiet),
                None => thread::sleep(QUIET),
            }
        }
    }

    fn catch_up(&mut self) {
        let mut last = self.last;
        self.look(|view, octets, at| {
            if view.take(octets) {
                last = Some(at);
            }
        });
        self.last = last;
    }

    fn look(&mut self, mut each: impl FnMut(&mut View, &[u8], Instant)) {
        let kept = lock(&self.kept);
        let mut at = self.seen;
        for octets in messages(kept.octets.get(self.seen..).unwrap_or_default()) {
            at += octets.len();
            while kept.reads.get(self.seen_reads).is_some_and(|(end, _)| *end < at) {
                self.seen_reads += 1;
            }
            let Some((_, when)) = kept.reads.get(self.seen_reads) else { break };
            if octets.get(18) == Some(&2) {
                each(&mut self.view, octets, *when);
            }
        }
        self.seen = at;
    }
}
