//! How the packets of one session leave: its socket, the address and the interface that they leave by.

use std::io;
use std::net::IpAddr;

use bgp_bfd::ControlPacket;
use tracing::warn;

use super::{Resting, Wish};
use crate::net::BfdSender;

/// The way of one session's packets.
#[derive(Debug, Default)]
pub(super) struct Way {
    socket: Option<BfdSender>,
    /// The source port that the session had in the process before.
    port: Option<u16>,
    /// The address that the configuration names.
    configured: Option<IpAddr>,
    /// The index of the interface that the configuration names.
    bound: Option<u32>,
    /// The address that the peer sends to: it takes packets from there.
    heard_at: Option<IpAddr>,
    /// The interface that the peer was heard on.
    heard_on: Option<u32>,
    pub(super) errors: u64,
    pub(super) trouble: Option<String>,
}

impl Way {
    /// A way as it is wished; what was heard stays known.
    pub(super) fn set(&mut self, wish: &Wish, bound: Option<u32>) {
        (self.configured, self.bound) = (wish.local, bound);
    }

    /// As it was in the process before.
    pub(super) fn resume(&mut self, rest: &Resting) {
        (self.port, self.heard_at, self.heard_on) = (Some(rest.source_port), rest.local, rest.interface);
    }

    /// The peer was heard.
    pub(super) fn heard(&mut self, at: IpAddr, on: u32) {
        (self.heard_at, self.heard_on) = (Some(at), Some(on));
    }

    pub(super) fn local(&self) -> Option<IpAddr> {
        self.configured.or(self.heard_at)
    }

    /// For the process after this one.
    pub(super) fn rest(&self) -> (Option<IpAddr>, Option<u32>, u16) {
        let port = self.socket.as_ref().map(BfdSender::port);
        (self.heard_at, self.heard_on, port.or(self.port).unwrap_or_default())
    }

    /// Sends a packet. What fails is said once, until it works again; the next packet is tried all the same.
    pub(super) fn send(&mut self, peer: IpAddr, packet: &ControlPacket) {
        match self.try_send(peer, &packet.encode()) {
            Ok(()) => self.trouble = None,
            Err(error) => {
                self.errors += 1;
                // An address that was taken away is not insisted on.
                self.heard_at = None;
                let trouble = format!("packets cannot be sent: {error}");
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!(%peer, "BFD: {trouble}");
                }
                self.trouble = Some(trouble);
            }
        }
    }

    fn try_send(&mut self, peer: IpAddr, octets: &[u8]) -> io::Result<()> {
        let (local, link) = (self.local(), self.link(peer));
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(BfdSender::open(peer, self.port)?),
        };
        socket.send(octets, peer, local, link)
    }

    /// By which interface: the configured one; for a link-local peer without one, the one that it was heard on.
    fn link(&self, peer: IpAddr) -> Option<u32> {
        let link_local = matches!(peer, IpAddr::V6(v6) if v6.is_unicast_link_local());
        self.bound.or(self.heard_on.filter(|_| link_local))
    }
}
