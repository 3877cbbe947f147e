//! A speaker that stays: it dials again after every loss, as Cilium's does, and takes orders.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bgp_wire::{Family, Prefix};

use super::{Settings, Speaker};
use crate::lab::Node;

/// The pause after a lost session, as GoBGP's.
const IDLE: Duration = Duration::from_secs(5);
/// How often a session's end is looked for while there are no orders.
const ORDERS: Duration = Duration::from_millis(20);

/// What a speaker that stays is told.
#[derive(Clone, Debug)]
pub enum Order {
    /// These are announced from now on, in this session and the following ones.
    Announce(Vec<Prefix>),
    /// These are announced no more.
    Withdraw(Vec<Prefix>),
    /// Its session ends by RST, if it has one.
    Abort,
    /// Its connection is forgotten without a word, if it has one.
    Vanish,
}

/// A speaker that stays, on a thread of its own. Dropping it ends its session.
#[derive(Debug)]
pub struct Keeper {
    orders: Sender<Order>,
    sessions: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it on a node; after a loss it dials again when `idle` has passed.
    pub fn start(
        node: &Node,
        remote: SocketAddr,
        settings: Settings,
        announced: Vec<Prefix>,
        idle: Duration,
    ) -> Result<Self> {
        let (orders, taken) = channel();
        let sessions = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&sessions);
        // A thread keeps the namespace of the one that made it.
        let thread = node.namespace.inside(move || {
            thread::spawn(move || keep(remote, &settings, announced, &taken, idle, &counted))
        })?;
        Ok(Self { orders, sessions, thread })
    }

    /// Gives it an order, which it follows now or in its next session.
    pub fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).context("the speaker's thread has ended")
    }

    /// How many sessions it has had.
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It takes orders until now, unless it has panicked.
        assert!(thread::panicking() || !self.thread.is_finished(), "the speaker's thread has ended");
    }
}

/// Holds a session with the host until the process ends, with GoBGP's pause. What is announced changes by lines of
/// standard input, `announce PREFIX` and `withdraw PREFIX`.
pub fn keep_up(remote: SocketAddr, settings: &Settings, announced: Vec<Prefix>) -> Result<()> {
    let (sender, orders) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            match order(&line) {
                Some(order) => sender.send(order).unwrap_or_default(),
                None => eprintln!("neither `announce PREFIX` nor `withdraw PREFIX`: {line}"),
            }
        }
        // The end of the orders is not the end of the speaker.
        loop {
            thread::park();
        }
    });
    keep(remote, settings, announced, &orders, IDLE, &AtomicU32::new(0));
    Ok(())
}

fn order(line: &str) -> Option<Order> {
    let mut words = line.split_whitespace();
    let (word, prefix) = (words.next()?, words.next()?.parse::<Prefix>().ok()?);
    match word {
        "announce" => Some(Order::Announce(vec![prefix])),
        "withdraw" => Some(Order::Withdraw(vec![prefix])),
        _ => None,
    }
}

/// One session after the other, until nobody gives orders any more.
fn keep(
    remote: SocketAddr,
    settings: &Settings,
    announced: Vec<Prefix>,
    orders: &Receiver<Order>,
    idle: Duration,
    sessions: &AtomicU32,
) {
    let mut announced: BTreeSet<_> = announced.into_iter().collect();
    loop {
        match Speaker::dial(remote, settings) {
            Ok(speaker) => {
                eprintln!("established with {remote}");
                sessions.fetch_add(1, Ordering::Relaxed);
                match serve(&speaker, settings, &mut announced, orders) {
                    Ok(End::Orders) => return,
                    Ok(End::Abort) => speaker.abort().unwrap_or_else(|error| eprintln!("{error:#}")),
                    Ok(End::Vanish) => speaker.vanish().unwrap_or_else(|error| eprintln!("{error:#}")),
                    Err(end) => eprintln!("session with {remote} ended: {end:#}"),
                }
            }
            Err(error) => eprintln!("{error:#}"),
        }
        // Orders that come meanwhile count in the next session.
        match orders.recv_timeout(idle) {
            Ok(order) => drop(note(&mut announced, order)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Why a session is to end.
enum End {
    /// Nobody gives orders any more.
    Orders,
    Abort,
    Vanish,
}

/// Announces what there is and follows the orders; an error is the session's end by the other side.
fn serve(
    speaker: &Speaker,
    settings: &Settings,
    announced: &mut BTreeSet<Prefix>,
    orders: &Receiver<Order>,
) -> Result<End> {
    let offered: Vec<Family> =
        settings.families.iter().filter(|(_, offered)| **offered).map(|(family, _)| family).collect();
    for family in offered {
        let of_family: Vec<_> = announced.iter().copied().filter(|p| p.family() == family).collect();
        if !of_family.is_empty() {
            speaker.announce(&of_family)?;
        }
        speaker.end_of_rib(family)?;
    }
    loop {
        if speaker.is_over() {
            bail!("closed by the host");
        }
        match orders.recv_timeout(ORDERS) {
            Ok(order) => match note(announced, order) {
                Order::Announce(prefixes) => speaker.announce(&prefixes)?,
                Order::Withdraw(prefixes) => speaker.withdraw(&prefixes)?,
                Order::Abort => return Ok(End::Abort),
                Order::Vanish => return Ok(End::Vanish),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(End::Orders),
        }
    }
}

/// Keeps in mind what is announced after an order.
fn note(announced: &mut BTreeSet<Prefix>, order: Order) -> Order {
    match &order {
        Order::Announce(prefixes) => announced.extend(prefixes.iter().copied()),
        Order::Withdraw(prefixes) => prefixes.iter().for_each(|prefix| {
            announced.remove(prefix);
        }),
        Order::Abort | Order::Vanish => {}
    }
    order
}
