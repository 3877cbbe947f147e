//! How many buckets of each resilient group the last change has moved.
//!
//! The kernel does not tell: it announces a bucket that moves later, by its idle timer, but not those that move with the
//! change itself. So a thread listens for changes of next-hop objects, whoever makes them, reads the buckets after each,
//! and compares.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::groups::{self, Bucket};
use crate::message::Messages;
use crate::socket::{Received, RouteSocket};
use crate::uapi::message;

const RECEIVE_BUFFER: usize = 1024 * 1024;
/// Between two readings at least: changes that come closer count as one.
const PAUSE: Duration = Duration::from_millis(200);
/// So many times as long as a reading took the next one waits: thousands of groups have a million buckets.
const REST: u32 = 19;
/// Between two looks whether anybody still wants to know.
const NAP: Duration = Duration::from_secs(1);

/// By group: how many buckets have moved with its last change and since.
pub type Moves = BTreeMap<u32, u32>;

/// Starts the thread, which ends when nobody holds the receiver.
///
/// # Errors
/// The socket or the thread cannot be made.
pub fn watch_moves() -> io::Result<watch::Receiver<Moves>> {
    let socket = RouteSocket::nexthop_events(RECEIVE_BUFFER)?;
    let (sender, receiver) = watch::channel(Moves::new());
    std::thread::Builder::new().name("buckets".into()).spawn(move || run(&socket, &sender))?;
    Ok(receiver)
}

fn run(socket: &RouteSocket, sender: &watch::Sender<Moves>) {
    let mut ledger = Ledger::default();
    let mut news = News::Changed;
    while !sender.is_closed() {
        if news != News::None {
            let begun = Instant::now();
            match groups::buckets() {
                Ok(buckets) => ledger.enter(&buckets, news == News::Changed),
                Err(error) => tracing::debug!(%error, "the buckets of next-hop groups cannot be read"),
            }
            sender.send_replace(ledger.moved.clone());
            std::thread::sleep(PAUSE.max(begun.elapsed() * REST));
        }
        news = match socket.wait(NAP) {
            Ok(false) => News::None,
            Ok(true) => read(socket),
            Err(error) => return tracing::error!(%error, "waiting for changes of next-hop groups failed"),
        };
    }
}

/// What has happened to groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    None,
    /// Buckets have moved by the idle timer.
    Moved,
    /// Members have changed.
    Changed,
}

/// Reads what is there.
fn read(socket: &RouteSocket) -> News {
    let mut datagram = Vec::new();
    let mut news = News::None;
    loop {
        match socket.receive(&mut datagram) {
            Ok(Received::Datagram) => {
                news = Messages::new(&datagram).map(|(header, _)| kind(header.kind)).fold(news, News::max);
            }
            Ok(Received::Overrun) => news = News::Changed,
            Ok(Received::Nothing) => return news,
            Err(error) => {
                tracing::debug!(%error, "changes of next-hop groups cannot be read");
                return news;
            }
        }
    }
}

fn kind(kind: u16) -> News {
    match kind {
        message::NEWNEXTHOP | message::DELNEXTHOP => News::Changed,
        message::NEWNEXTHOPBUCKET => News::Moved,
        _ => News::None,
    }
}

/// Who has each bucket, and how many have moved.
#[derive(Debug, Default)]
struct Ledger {
    owners: BTreeMap<u32, Vec<(u16, u32)>>,
    moved: Moves,
}

impl Ledger {
    /// Compares with what was there; a change of the members begins a new count for the groups that it has touched.
    fn enter(&mut self, buckets: &[Bucket], is_change: bool) {
        let mut now: BTreeMap<u32, Vec<(u16, u32)>> = BTreeMap::new();
        for bucket in buckets {
            now.entry(bucket.group).or_default().push((bucket.index, bucket.hop));
        }
        now.values_mut().for_each(|owners| owners.sort_unstable());
        self.moved.retain(|group, _| now.contains_key(group));
        for (group, owners) in &now {
            let before = self.owners.get(group).filter(|before| before.len() == owners.len());
            let moved = before.map_or(0, |before| before.iter().zip(owners).filter(|(a, b)| a != b).count());
            let moved = u32::try_from(moved).unwrap_or(u32::MAX);
            let count = self.moved.entry(*group).or_default();
            if moved > 0 {
                *count = if is_change { moved } else { count.saturating_add(moved) };
            }
        }
        self.owners = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_anew_and_what_moves_later_is_added() {
        let mut ledger = Ledger::default();
        let mut enter = |owners: [u32; 4], is_change| {
            let bucket = |(index, hop)| Bucket { group: 7, index, hop, idle: Duration::ZERO };
            ledger.enter(&(0..).zip(owners).map(bucket).collect::<Vec<_>>(), is_change);
            ledger.moved.get(&7).copied()
        };
        assert_eq!(enter([1, 1, 2, 2], true), Some(0));
        assert_eq!(enter([1, 3, 2, 2], true), Some(1));
        assert_eq!(enter([1, 3, 2, 3], false), Some(2));
        assert_eq!(enter([1, 3, 2, 3], true), Some(2), "another group has changed");
        assert_eq!(enter([1, 1, 2, 1], true), Some(2));
        ledger.enter(&[], true);
        assert!(ledger.moved.is_empty());
    }
}
