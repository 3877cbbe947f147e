//! A peer task that ends in one process and goes on in another.
//!
//! Owns the order of things: reading stops, what was read goes to routing, routing says that it has everything, what
//! routing has written until then joins the octets that wait, and the connection is given away. The other way round: the
//! session is up before anything is read, and its routes come before everything that the peer says next.

use std::net::TcpStream as StdStream;
use std::ops::ControlFlow;
use std::time::Instant;

use bgp_session::{ConnectionId, Output, Suspended};
use bgp_wire::{PerFamily, Update};
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::{Connection, Task};
use crate::routing::FromPeer;
use crate::tasks::answer;

/// The connection of a session that goes on; the daemon's first one of the peer.
pub const FIRST: ConnectionId = ConnectionId(0);

/// How a peer task is brought to rest.
#[derive(Debug)]
pub struct Rest {
    /// Told when everything that was read is with routing.
    pub drained: oneshot::Sender<()>,
    /// Says that routing has written its last; dropped where the hand-over is given up, and the task goes on.
    pub proceed: oneshot::Receiver<()>,
    /// Gets the session; nothing where there is none.
    pub taken: oneshot::Sender<Option<AtRest>>,
}

/// A session at rest.
#[derive(Debug)]
pub struct AtRest {
    /// The session.
    pub session: Suspended,
    /// Its connection.
    pub stream: StdStream,
    /// Octets of a message that is not whole yet.
    pub inbound: Bytes,
    /// Octets that the socket has not taken.
    pub outbound: Bytes,
}

/// A session that goes on.
#[derive(Debug)]
pub struct Resumed {
    /// What the session wants done first: it is up.
    pub outputs: Vec<Output>,
    /// Its connection; absent where it has broken meanwhile.
    pub stream: Option<TcpStream>,
    /// As in [`AtRest`].
    pub inbound: BytesMut,
    /// As in [`AtRest`].
    pub outbound: Bytes,
    /// Its routes; absent where the session is only to be ended.
    pub routes: Option<Box<Routes>>,
    /// An operator's command has the peer told GRACEFUL_SHUTDOWN.
    pub closing: bool,
}

/// The Adj-RIBs of a session that goes on.
#[derive(Debug, Default)]
pub struct Routes {
    /// What the peer has announced.
    pub received: Vec<Update>,
    /// What it has not announced again since a restart of its own, or a refresh.
    pub stale: Vec<Update>,
    /// What it was told.
    pub sent: Vec<Update>,
    /// It waits for our routes.
    pub refresh: PerFamily<bool>,
    /// What the peer had to announce at once it has announced.
    pub spoken: bool,
}

impl Task {
    /// Comes to rest, gives the session away and ends the task.
    pub(super) async fn rest(&mut self, rest: Rest) -> ControlFlow<()> {
        self.flush_batch();
        if let Some(look_up) = self.own_end.as_mut() {
            let local = look_up.await;
            self.on_own_end(local);
        }
        while let Some(message) = self.pending.pop_front() {
            let Ok(room) = self.routing.reserve(&message).await else { return ControlFlow::Break(()) };
            room.send(message);
        }
        answer(rest.drained, ());
        if rest.proceed.await.is_err() {
            return ControlFlow::Continue(());
        }
        while let Some(Ok(chunk)) = self.chunks.as_mut().map(tokio::sync::mpsc::Receiver::try_recv) {
            self.on_chunk(Some(chunk));
        }
        self.write_all();
        let session = self.at_rest();
        answer(rest.taken, session);
        ControlFlow::Break(())
    }

    fn at_rest(&mut self) -> Option<AtRest> {
        let session = self.session.suspend(Instant::now())?;
        let id = self.established?;
        let at = self.connections.iter().position(|connection| connection.id == id)?;
        match self.connections.swap_remove(at).into_parts() {
            Ok((stream, inbound, outbound)) => Some(AtRest { session, stream, inbound, outbound }),
            Err(error) => {
                warn!(%error, "the connection cannot be handed over");
                None
            }
        }
    }

    /// Goes on with a session of the process before.
    pub(super) fn go_on(&mut self, resumed: Resumed) {
        let Resumed { outputs, stream, inbound, outbound, routes, closing: _ } = resumed;
        self.next_connection = FIRST.0 + 1;
        let broken = stream.is_none();
        if let Some(stream) = stream {
            let mut connection = Connection::new(FIRST, stream);
            connection.inbound = inbound;
            if !outbound.is_empty() {
                connection.queue(outbound);
            }
            self.connections.push(connection);
        }
        let mut outputs = outputs.into_iter();
        if let Some(Output::Up(negotiated)) = outputs.next() {
            info!(remote_as = %negotiated.remote_asn, routes = routes.is_some(), "session goes on");
            self.link(*negotiated);
        }
        if let Some(routes) = routes {
            self.pending.push_back(FromPeer::Restored { peer: self.identity.id, routes });
        }
        for output in outputs {
            self.carry_out(output);
        }
        if broken {
            self.on_lost(FIRST, "the connection broke while the daemon was restarted");
        }
    }
}

/// Says good-bye to a peer that no task is for.
pub fn part(stream: TcpStream, outbound: Bytes, outputs: Vec<Output>) {
    let mut connection = Connection::new(FIRST, stream);
    connection.queue(outbound);
    for output in outputs {
        if let Output::Send(_, octets) = output {
            connection.queue(octets);
        }
    }
    connection.close();
}
