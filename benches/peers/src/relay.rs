//! The floor: a program that writes what one peer sends to the others that take, and does nothing else.
//!
//! Whatever a daemon does about a change, something has to wake twice: the daemon, and the receiver. What that takes on a
//! machine, no daemon can take less. So this one waits for all its sockets at once, as a daemon with many peers does, reads,
//! writes, and looks at nothing. It runs as a process of its own in the daemon's place.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::daemon::{ADDRESS, ASN};
use crate::session::{open, read_message};
use crate::stream::message;

/// Octets of one read.
const ROOM: usize = 64 * 1024;

/// A peer, and whether it is told what others say.
struct Peer {
    stream: TcpStream,
    takes: bool,
}

/// Accepts a session for each of `takes`, which says whether that peer is told what the others say; then relays until one of
/// them ends.
///
/// # Errors
/// A socket fails, or a peer says something else than an OPEN and a KEEPALIVE at first.
pub(crate) fn run(takes: &[bool]) -> Result<()> {
    let listener = TcpListener::bind((ADDRESS, 179)).context("listening")?;
    let peers = takes.iter().map(|takes| Ok(Peer { stream: accept(&listener)?, takes: *takes }));
    relay(&peers.collect::<Result<Vec<_>>>()?)
}

/// A session, as far as it takes to have the peer send UPDATEs.
fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    ensure!(read_message(&mut stream)? == 1, "not an OPEN");
    let mut greeting = open(ADDRESS, ASN);
    message(4, &[], &mut greeting);
    stream.write_all(&greeting)?;
    ensure!(read_message(&mut stream)? == 4, "not a KEEPALIVE");
    Ok(stream)
}

fn relay(peers: &[Peer]) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (number, peer) in (0_u64..).zip(peers) {
        epoll.add(&peer.stream, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
    }
    let mut buffer = vec![0; ROOM];
    let mut events = [EpollEvent::empty(); 8];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for number in events.iter().take(count).map(EpollEvent::data) {
            let (others, from) = ((0_u64..).zip(peers)).partition::<Vec<_>, _>(|(other, _)| *other != number);
            let Some((_, from)) = from.first() else { continue };
            let count = (&from.stream).read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            for (_, to) in others.iter().filter(|(_, to)| to.takes) {
                (&to.stream).write_all(buffer.get(..count).unwrap_or_default())?;
            }
        }
    }
}
