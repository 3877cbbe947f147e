//! What a peer task is told, and what it tells of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bgp_rib::PeerId;
use bgp_session::{Command, PeerConfig, Status};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::handover::Rest;
use crate::config::Settings;
use crate::net::DialOptions;

/// Who a peer task is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number in the RIB.
    pub id: PeerId,
    /// The peer's address.
    pub address: IpAddr,
}

/// A message to a peer task.
#[derive(Debug)]
pub enum ToPeer {
    /// The peer has connected.
    Incoming(TcpStream),
    /// The operator, or a limit, wants something.
    Command(Command),
    /// The settings changed in a way that the session can take.
    Configure(Box<Configure>),
    /// How is it?
    Status(oneshot::Sender<PeerStatus>),
    /// Come to rest, for another process to go on.
    Rest(Rest),
    /// End the session with this command, and the task; what delivers its NOTIFICATION may take a moment longer.
    End(Command, oneshot::Sender<Closing>),
}

/// Connections that are closed, on which last octets are on their way.
pub type Closing = Vec<JoinHandle<()>>;

/// Changed settings of a peer.
#[derive(Debug)]
pub struct Configure {
    /// For the session.
    pub config: PeerConfig,
    /// For the next dial.
    pub dial: DialOptions,
    /// For routing.
    pub settings: Arc<Settings>,
}

/// A peer task's answer to [`ToPeer::Status`].
#[derive(Debug)]
pub struct PeerStatus {
    /// What the session says.
    pub session: Status,
    /// Octets read since the task began.
    pub bytes_in: u64,
    /// Octets written since the task began.
    pub bytes_out: u64,
    /// When octets came last.
    pub last_received: Option<Instant>,
    /// Ends of established sessions by reason.
    pub downs: BTreeMap<&'static str, u64>,
    /// Octets read and not yet worked on.
    pub queued_in: usize,
    /// Octets that wait to be written.
    pub queued_out: usize,
    /// Batches that wait for the routing task.
    pub waiting_for_routing: usize,
}
