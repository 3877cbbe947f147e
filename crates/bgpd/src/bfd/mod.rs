//! BFD for the peers that have it: what is wanted of it, the thread that does it, and what it says.
//!
//! Road in: the supervisor writes down with whom there is to be a session ([`Handle::watch`], [`Handle::forget`]), as a
//! wish that holds until it is changed; the thread brings its sessions in line. Road out: what a session says of the way
//! to its peer goes to routing ([`News`]), before anything else, and to the log and the events.
//!
//! A thread of its own, for a session wants an answer every few milliseconds whatever the routing task has to do; what it
//! does itself takes microseconds. The protocol is `bgp-bfd`, the sockets are in [`crate::net`]; what the news mean for BGP
//! is `crate::routing`'s.

mod port;
mod task;
mod way;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_bfd::{Config, Status, Suspended};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

pub use task::start;

/// News that may wait for routing; the thread keeps more by itself.
pub const NEWS: usize = 64;
/// Requests that may wait.
const REQUESTS: usize = 16;
/// How long the thread may take for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What there is to be with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The interface that the configuration names.
    pub interface: Option<String>,
    /// The address that packets are sent from; else the one that the peer sends to, else the kernel's choice.
    pub local: Option<IpAddr>,
    /// What the session is made with.
    pub config: Config,
    /// A session of the process before that goes on; counts when the peer is new.
    pub resume: Option<Resting>,
}

/// With whom there is to be a session.
pub type Wishes = BTreeMap<IpAddr, Wish>;

/// A session on its way to another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resting {
    /// The peer.
    pub address: IpAddr,
    /// The address of ours that the peer sends to.
    #[serde(default)]
    pub local: Option<IpAddr>,
    /// The interface that it was heard on.
    #[serde(default)]
    pub interface: Option<u32>,
    /// The source port of our packets, which a session keeps: RFC 5881 section 4.
    pub source_port: u16,
    /// The session.
    pub session: Suspended,
}

/// What a session says of the way to its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The peer.
    pub peer: IpAddr,
    /// What.
    pub path: Path,
}

/// How the way to a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Both ends hear each other.
    Open,
    /// The session was Up and has failed.
    Failed {
        /// In words.
        why: String,
        /// The C bit of the peer, RFC 5882 section 4.3: it would not have failed for its control plane alone.
        independent: bool,
    },
    /// Nothing is known any more: somebody holds the session down.
    Unknown,
}

/// One session, for views.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The peer.
    pub address: IpAddr,
    /// The interface that the configuration names.
    pub interface: Option<String>,
    /// The address of ours.
    pub local: Option<IpAddr>,
    /// How it stands; absent where its interface is not there.
    pub status: Option<Status>,
    /// Packets that could not be sent.
    pub send_errors: u64,
    /// What is in the way of it, in words.
    pub trouble: Option<String>,
}

/// Everything for views.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// By address.
    pub sessions: Vec<SessionView>,
    /// Datagrams that did nothing, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

/// What the thread is asked.
#[derive(Debug)]
pub enum Request {
    /// How are all?
    Overview(oneshot::Sender<Overview>),
    /// Another process is about to go on: peers are asked for time. Answered when they have agreed, or do not in time.
    Stretch(oneshot::Sender<()>),
    /// Nothing came of it.
    GoOn,
    /// Another process goes on now: the thread ends.
    Rest(oneshot::Sender<Vec<Resting>>),
    /// The daemon ends: peers are told AdminDown, and the thread ends.
    Stop(oneshot::Sender<()>),
}

/// Where the thread is reached.
#[derive(Clone, Debug)]
pub struct Handle {
    wishes: Arc<watch::Sender<Wishes>>,
    requests: mpsc::Sender<Request>,
}

impl Handle {
    /// There is to be a session with this peer.
    pub fn watch(&self, address: IpAddr, wish: Wish) {
        self.wishes.send_if_modified(|wishes| {
            let wish = match wishes.get(&address) {
                // What it began with does not matter any more.
                Some(old) => Wish { resume: old.resume.clone(), ..wish },
                None => wish,
            };
            let changed = wishes.get(&address) != Some(&wish);
            wishes.insert(address, wish);
            changed
        });
    }

    /// There is to be none.
    pub fn forget(&self, address: IpAddr) {
        self.wishes.send_if_modified(|wishes| wishes.remove(&address).is_some());
    }

    /// Where requests go.
    pub fn requests(&self) -> &mpsc::Sender<Request> {
        &self.requests
    }

    /// Has peers asked for time, for another process is about to go on.
    pub async fn stretch(&self) {
        self.ask(Request::Stretch).await;
    }

    /// Nothing came of the other process.
    pub async fn go_on(&self) {
        if self.requests.send(Request::GoOn).await.is_err() {
            error!("the BFD thread is gone");
        }
    }

    /// Ends the thread; what its sessions were goes to another process.
    pub async fn rest(&self) -> Vec<Resting> {
        self.ask(Request::Rest).await.unwrap_or_default()
    }

    /// Ends the thread; peers are told that nobody is to take it for a failure.
    pub async fn stop(&self) {
        self.ask(Request::Stop).await;
    }

    async fn ask<A>(&self, make: impl FnOnce(oneshot::Sender<A>) -> Request) -> Option<A> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.requests.send(make(reply)).await.ok()?;
            answer.await.ok()
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await.ok().flatten();
        if answer.is_none() {
            error!("the BFD thread does not answer");
        }
        answer
    }
}
