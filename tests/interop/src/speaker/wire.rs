//! A session whose octets the test itself writes and reads: nothing is read, written or kept alive behind its back.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bgp_wire::{Message, PathAttributes, Prefix, message};
use bytes::Bytes;

use super::reader::Reader;
use super::{Settings, announcement, attributes, shake_hands};
use crate::lab::Node;

/// See the module.
pub struct Wire {
    stream: TcpStream,
    reader: Reader,
    attributes: PathAttributes,
    local: IpAddr,
}

/// How often each prefix was announced, of UPDATEs that do nothing else.
pub type Announced = BTreeMap<Prefix, usize>;

impl Wire {
    /// Dials the host from a node, and comes back Established.
    pub fn on(node: &Node, host: &str, settings: &Settings) -> Result<Self> {
        let remote = SocketAddr::new(host.parse()?, 179);
        let (stream, _, reader) = node.namespace.inside(|| shake_hands(remote, settings))??;
        let local = stream.local_addr()?.ip();
        Ok(Self { stream, reader, attributes: attributes(settings), local })
    }

    /// The port of its end of the connection.
    pub fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// The octets of an announcement.
    pub fn announcement(&self, prefixes: &[Prefix]) -> Result<Bytes> {
        announcement(&self.attributes, self.local, prefixes)
    }

    /// Writes octets as they are.
    pub fn write(&self, octets: &[u8]) -> Result<()> {
        (&self.stream).write_all(octets).context("write to the host")
    }

    /// Says that it is there.
    pub fn keep_alive(&self) -> Result<()> {
        self.write(&message::keepalive())
    }

    /// The next message, in whole; `None` where none has come in time.
    pub fn hear(&mut self, limit: Duration) -> Result<Option<Message>> {
        self.reader.hear(Instant::now() + limit)
    }

    /// Counts announcements until `enough` or the time is over. Anything but announcements, End-of-RIBs and KEEPALIVEs is an
    /// error.
    pub fn count(
        &mut self,
        announced: &mut Announced,
        limit: Duration,
        enough: impl Fn(&Announced) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + limit;
        while !enough(announced) {
            match self.reader.hear(until)? {
                Some(Message::Update(update)) => {
                    ensure!(update.withdrawn.is_empty() && update.faults.is_empty(), "{update:?}");
                    for entry in update.announced.iter().flat_map(|announcement| announcement.nlri.iter()) {
                        *announced.entry(entry.prefix).or_default() += 1;
                    }
                }
                Some(Message::Keepalive) => {}
                Some(other) => anyhow::bail!("the host says {other:?}"),
                None => anyhow::bail!("{} prefixes after {limit:?}, and not all", announced.len()),
            }
        }
        Ok(())
    }
}
