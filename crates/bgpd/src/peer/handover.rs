//! A peer task that ends in one process and goes on in another.
//!
//! Owns the order of things: reading stops, what was read goes to routing, routing says that it has everything, what
//! routing has written until then joins the octets that wait, and the connection is given away. The other way round: the
//! session is up before anything is read, and its routes come before everything that the peer says next, part after part
//! as routing has room for them.

use std::net::TcpStream as StdStream;
use std::ops::ControlFlow;
use std::time::Instant;

use bgp_rib::handover::Reader;
use bgp_session::{Command, ConnectionId, Output, Suspended};
use bgp_wire::{PeerKind, PerFamily};
use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{Connection, Task};
use crate::handover::{self, Stream};
use crate::routing::{FromPeer, Part};
use crate::tasks::answer;

/// What a peer is told whose session cannot go on as it was.
pub const CHANGED: &str = "configuration changed";
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
}

/// The Adj-RIBs of a session that goes on.
#[derive(Debug)]
pub struct Routes {
    /// Where the peer is.
    pub kind: PeerKind,
    /// As UPDATE messages.
    pub streams: handover::Routes,
    /// It waits for our routes.
    pub refresh: PerFamily<bool>,
    /// What the peer had to announce at once it has announced.
    pub spoken: bool,
}

/// Octets that are read at once.
const PIECE: usize = 64 * 1024;

/// Reads the Adj-RIBs of a session that goes on, part after part.
#[derive(Debug)]
pub(super) struct Restoring {
    routes: Routes,
    what: What,
    reader: Reader,
}

/// Which of the streams is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Received,
    Stale,
    Sent,
}

impl Restoring {
    fn new(routes: Routes) -> Self {
        Self { what: What::Received, reader: Reader::new(routes.kind), routes }
    }

    /// The next part; the one without routes is the last.
    fn next_part(&mut self) -> Result<Part, String> {
        let mut piece = vec![0; PIECE];
        loop {
            let count = self.stream().take(&mut piece).map_err(|error| error.to_string())?;
            if count == 0 {
                self.reader.finish().map_err(|damaged| damaged.to_string())?;
                self.what = match self.what {
                    What::Received => What::Stale,
                    What::Stale => What::Sent,
                    What::Sent => {
                        return Ok(Part::End { refresh: self.routes.refresh, spoken: self.routes.spoken });
                    }
                };
                self.reader = Reader::new(self.routes.kind);
                continue;
            }
            self.reader.push(piece.get(..count).unwrap_or_default());
            let updates = self.reader.updates().map_err(|damaged| damaged.to_string())?;
            if !updates.is_empty() {
                return Ok(match self.what {
                    What::Received => Part::Received(updates),
                    What::Stale => Part::Stale(updates),
                    What::Sent => Part::Sent(updates),
                });
            }
        }
    }

    fn stream(&mut self) -> &mut Stream {
        let streams = &mut self.routes.streams;
        match self.what {
            What::Received => &mut streams.received,
            What::Stale => &mut streams.stale,
            What::Sent => &mut streams.sent,
        }
    }
}

impl Task {
    /// Comes to rest, gives the session away and ends the task.
    pub(super) async fn rest(&mut self, rest: Rest) -> ControlFlow<()> {
        self.flush_batch();
        if let Some(look_up) = self.own_end.as_mut() {
            let local = look_up.await;
            self.on_own_end(local);
        }
        if self.give_all().await.is_err() {
            return ControlFlow::Break(());
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
        let Resumed { outputs, stream, inbound, outbound, mut routes } = resumed;
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
        for output in outputs {
            match output {
                Output::Up(negotiated) => {
                    info!(remote_as = %negotiated.remote_asn, routes = routes.is_some(), "session goes on");
                    self.link(*negotiated);
                    self.restore(routes.take());
                }
                other => self.carry_out(other),
            }
        }
        if broken {
            self.on_lost(FIRST, "the connection broke while the daemon was restarted");
        }
    }

    /// Behind the session come its routes, and whatever else only behind those.
    fn restore(&mut self, routes: Option<Box<Routes>>) {
        self.restoring = routes.map(|routes| Restoring::new(*routes));
        let first = self.next_part();
        self.pending.extend(first);
    }

    /// The next of the Adj-RIBs of before, which goes to routing ahead of whatever else waits; `None` behind the last.
    pub(super) fn next_part(&mut self) -> Option<FromPeer> {
        let peer = self.identity.id;
        let part = match self.restoring.as_mut()?.next_part() {
            Ok(part @ (Part::Received(_) | Part::Stale(_) | Part::Sent(_))) => part,
            Ok(end) => {
                self.restoring = None;
                end
            }
            Err(why) => {
                self.restoring = None;
                error!("the session begins anew: its routes cannot be read: {why}");
                self.with_session(|session, now, out| {
                    session.command(Command::Reset(CHANGED.to_owned()), now, out);
                });
                Part::Unreadable
            }
        };
        Some(FromPeer::Restored { peer, part })
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
    // It ends by itself; the daemon goes on.
    drop(connection.close());
}

#[cfg(test)]
mod tests {
    use bgp_wire::Family;
    use bgp_wire::update::encode;

    use super::*;

    fn restoring(received: &[u8], sent: &[u8]) -> Restoring {
        let stream = |octets: &[u8]| Bytes::copy_from_slice(octets).into();
        let streams =
            handover::Routes { received: stream(received), sent: stream(sent), ..Default::default() };
        let refresh = PerFamily { ipv4: true, ipv6: false };
        Restoring::new(Routes { kind: PeerKind::External, streams, refresh, spoken: true })
    }

    #[test]
    fn parts_come_in_order_and_the_last_says_so() {
        let mark = encode::end_of_rib(Family::Ipv6Unicast);
        let many = mark.repeat(2 * PIECE / mark.len());
        let mut restoring = restoring(&many, &mark);
        let mut received = 0;
        let sent = loop {
            match restoring.next_part().unwrap() {
                Part::Received(updates) => {
                    assert!(updates.len() * mark.len() <= PIECE + mark.len());
                    received += updates.len();
                }
                other => break other,
            }
        };
        assert_eq!(received, many.len() / mark.len());
        assert!(matches!(sent, Part::Sent(updates) if updates.len() == 1));
        let refresh = PerFamily { ipv4: true, ipv6: false };
        assert!(matches!(
            restoring.next_part(),
            Ok(Part::End { refresh: found, spoken: true }) if found == refresh
        ));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_wherever_it_comes() {
        let mark = encode::end_of_rib(Family::Ipv6Unicast);
        let cut = &mark[..mark.len() - 1];
        assert!(restoring(b"nonsense that is long enough", b"").next_part().is_err());
        assert!(restoring(cut, b"").next_part().is_err());
        let mut late = restoring(&mark, cut);
        assert!(matches!(late.next_part(), Ok(Part::Received(_))));
        assert!(late.next_part().is_err());
    }
}
