//! One TCP connection of a peer: octets in, octets out, no protocol.
//!
//! Reads are large, writes are vectored and happen as soon as the socket takes them. What is written but not yet
//! taken by the kernel stays in `outbound`; whoever produces UPDATEs looks at [`Connection::backlog`] first.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bgp_session::ConnectionId;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::config::Password;
use crate::net;

/// Room for one read; below 16 KiB system calls dominate, above 256 KiB nothing is gained.
const READ_SIZE: usize = 64 * 1024;
/// Buffers handed to one vectored write.
const WRITE_BUFFERS: usize = 32;
/// How long a closed connection may take to deliver its last octets.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// There is something to read, or the end of the stream.
    Read,
    /// The socket takes more octets.
    Write,
}

/// What one read brought.
#[derive(Debug)]
pub(super) enum Read {
    /// That many octets more in `inbound`.
    Octets(usize),
    /// Nothing now.
    Nothing,
    /// The peer has closed its side.
    End,
}

/// One TCP connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// As the session knows it.
    pub(super) id: ConnectionId,
    /// Octets read and not yet consumed by the session.
    pub(super) inbound: BytesMut,
    stream: TcpStream,
    outbound: VecDeque<Bytes>,
    backlog: usize,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, stream: TcpStream) -> Self {
        Self { id, inbound: BytesMut::new(), stream, outbound: VecDeque::new(), backlog: 0 }
    }

    /// The connection as it is, for another process: the socket, what was read and not used, what was not written.
    ///
    /// # Errors
    /// The socket cannot be taken out of the runtime.
    pub(super) fn into_parts(self) -> io::Result<(std::net::TcpStream, Bytes, Bytes)> {
        let mut outbound = BytesMut::with_capacity(self.backlog);
        self.outbound.iter().for_each(|octets| outbound.extend_from_slice(octets));
        Ok((self.stream.into_std()?, self.inbound.freeze(), outbound.freeze()))
    }

    /// The link that it is on, where its addresses are link-local.
    pub(super) fn link(&self) -> Option<u32> {
        net::link(&self.stream)
    }

    /// Octets that wait for the socket.
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    /// Puts octets behind those that wait.
    pub(super) fn queue(&mut self, octets: Bytes) {
        self.backlog += octets.len();
        self.outbound.push_back(octets);
    }

    /// Signs with another TCP MD5 key from now on.
    pub(super) fn change_key(&self, key: &Password) -> io::Result<()> {
        net::change_key(&self.stream, key)
    }

    /// One read of up to [`READ_SIZE`] octets.
    pub(super) fn read(&mut self) -> io::Result<Read> {
        self.inbound.reserve(READ_SIZE);
        // Not `try_read_buf`: after that, only a second system call shows that a short read was all there is. Who waits is
        // woken by [`ready`].
        let read = pin!(self.stream.read_buf(&mut self.inbound));
        match read.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(0)) => Ok(Read::End),
            Poll::Ready(Ok(count)) => Ok(Read::Octets(count)),
            Poll::Pending => Ok(Read::Nothing),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    /// Writes until nothing waits or the socket takes no more; says how many octets went.
    pub(super) fn write(&mut self) -> io::Result<usize> {
        let mut written = 0;
        while !self.outbound.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_BUFFERS];
            let mut used = 0;
            for (slice, octets) in slices.iter_mut().zip(&self.outbound) {
                *slice = IoSlice::new(octets);
                used += 1;
            }
            match self.stream.try_write_vectored(slices.get(..used).unwrap_or_default()) {
                Ok(count) => {
                    written += count;
                    self.taken(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn taken(&mut self, mut count: usize) {
        self.backlog = self.backlog.saturating_sub(count);
        while let Some(first) = self.outbound.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.outbound.pop_front();
        }
    }

    /// Ends the connection once what waits is written, if the socket takes it within a moment. One that is new is not known
    /// to take anything before the runtime has looked at it.
    ///
    /// A socket that is dropped with unread octets in it sends RST, and the peer may never read the NOTIFICATION
    /// before it. So the write side is shut and the rest is read away for a moment, which a process that ends waits for.
    pub(super) fn close(mut self) -> Option<JoinHandle<()>> {
        self.write().ok()?;
        Some(tokio::spawn(async move {
            // Running out of time is fine: the peer had its chance to read.
            drop(tokio::time::timeout(LINGER, self.drain()).await);
        }))
    }

    async fn drain(&mut self) -> io::Result<()> {
        while self.backlog > 0 {
            self.stream.writable().await?;
            self.write()?;
        }
        self.stream.shutdown().await?;
        let mut waste = [0; 4096];
        while self.stream.read(&mut waste).await? > 0 {}
        Ok(())
    }
}

/// Waits until one of `connections` is ready; never returns for an empty list.
///
/// Reading is waited for only if `may_read`; writing only where something waits.
pub(super) async fn ready(connections: &[Connection], may_read: bool) -> (ConnectionId, Ready) {
    poll_fn(|context| {
        for connection in connections {
            if connection.backlog > 0 && connection.stream.poll_write_ready(context).is_ready() {
                return Poll::Ready((connection.id, Ready::Write));
            }
            if may_read && connection.stream.poll_read_ready(context).is_ready() {
                return Poll::Ready((connection.id, Ready::Read));
            }
        }
        Poll::Pending
    })
    .await
}
