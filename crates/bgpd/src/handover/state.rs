//! The format in which everything crosses from process to process.
//!
//! A head (magic, version, checksum), then sections: a manifest in JSON, and octets of single peers that it does not
//! hold. What a newer version may change is in `docs/decisions/0007-hitless-restart.md`: it may add fields with defaults
//! and kinds of sections, both ways of which are passed over by those that do not know them.
//! Routes may be a whole table and go through no buffer of their size: they are written from where they are, and after
//! the checksum has been found right they stay in the file until somebody reads them ([`Stream`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bgp_rib::handover::Carried;
use bgp_session::Suspended;
use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use super::store::Service;
use super::stream::Stream;
use crate::bfd::Resting;
use crate::routing::DrainState;

const MAGIC: &[u8; 16] = b"bgpd-rs handover";
/// Counts up only where an older reader would take something for what it is not.
const VERSION: u32 = 1;

/// Kinds of sections.
const MANIFEST: u16 = 1;
const INBOUND: u16 = 2;
const OUTBOUND: u16 = 3;
const RECEIVED: u16 = 4;
const STALE: u16 = 5;
const SENT: u16 = 6;

/// Octets of the head: magic, version, checksum.
const HEAD: usize = MAGIC.len() + 8;
/// Octets before each section: kind, index, length.
const SECTION: usize = 14;
/// Octets that are read at once.
const PIECE: usize = 64 * 1024;

/// Everything about the process that rests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct State {
    /// The version of the program, for the log.
    pub program: String,
    /// Prefixes whose TCP MD5 keys the listening sockets have; the keys themselves do not travel.
    #[serde(default)]
    pub keys: Vec<String>,
    /// The kernel may have routes besides those of the sessions that are to stay: of peers that are away, or still to come.
    #[serde(default)]
    pub orphans: bool,
    /// Nodes that are drained.
    #[serde(default)]
    pub drains: Vec<DrainState>,
    /// An operator's command has every peer told GRACEFUL_SHUTDOWN.
    #[serde(default)]
    pub closing: bool,
    /// What operators have ordered for single peers, with a session or without one.
    #[serde(default)]
    pub orders: BTreeMap<IpAddr, Orders>,
    /// The sessions.
    pub peers: Vec<PeerState>,
    /// BFD sessions that are Up.
    #[serde(default)]
    pub bfd: Vec<Resting>,
    /// The service manager that this process is the service of.
    #[serde(default)]
    pub service: Option<Service>,
}

/// What an operator has ordered for a peer, until that is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// It is told GRACEFUL_SHUTDOWN.
    #[serde(default)]
    pub closing: bool,
    /// It is kept down, for this reason.
    #[serde(default)]
    pub shutdown: Option<String>,
}

/// One peer with its session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct PeerState {
    /// Its address.
    pub address: IpAddr,
    /// The session.
    pub session: Suspended,
    /// Its peer has asked for our IPv4 routes again and has not got all of them.
    #[serde(default)]
    pub refresh_ipv4: bool,
    /// The same for IPv6.
    #[serde(default)]
    pub refresh_ipv6: bool,
    /// As in [`Orders`], for those who know no others.
    #[serde(default)]
    pub closing: bool,
    /// Octets of a message that is not whole yet.
    #[serde(skip)]
    pub inbound: Bytes,
    /// Octets that the socket has not taken yet.
    #[serde(skip)]
    pub outbound: Bytes,
    /// Its routes, and what it was told.
    #[serde(skip)]
    pub routes: Routes,
}

/// The Adj-RIBs of a peer as streams of UPDATEs, see [`Carried`].
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub struct Routes {
    /// [`Carried::received`].
    pub received: Stream,
    /// [`Carried::stale`].
    pub stale: Stream,
    /// [`Carried::sent`].
    pub sent: Stream,
}

impl From<Carried> for Routes {
    fn from(carried: Carried) -> Self {
        Self { received: carried.received.into(), stale: carried.stale.into(), sent: carried.sent.into() }
    }
}

/// Why a state is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Whoever took it before has emptied it.
    #[error("it was used before")]
    Used,
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It begins with something else.
    #[error("it is not the state of a bgpd-rs")]
    Magic,
    /// Another format.
    #[error("its format is version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// The octets are not those that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The checksum fits and the content does not.
    #[error("it is damaged: {0}")]
    Content(String),
}

impl From<io::Error> for Untrusted {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl State {
    /// Writes it.
    ///
    /// # Errors
    /// `out` takes no more. Or the manifest cannot be written as JSON, which only a defect of ours can bring about.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let manifest = serde_json::to_vec(self)?;
        let mut checksum = crc32fast::Hasher::new();
        self.sections(&manifest, |head, octets| {
            checksum.update(head);
            checksum.update(octets);
            Ok(())
        })?;
        let mut out = BufWriter::with_capacity(PIECE, out);
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_be_bytes())?;
        out.write_all(&checksum.finalize().to_be_bytes())?;
        self.sections(&manifest, |head, octets| {
            out.write_all(head)?;
            out.write_all(octets)
        })?;
        out.flush()
    }

    /// Shows every section in order: the octets before it, and its own.
    fn sections(
        &self,
        manifest: &[u8],
        mut show: impl FnMut(&[u8], &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        show(&section(MANIFEST, 0, manifest), manifest)?;
        for (index, peer) in (0u32..).zip(&self.peers) {
            let Routes { received, stale, sent } = &peer.routes;
            let parts: [(u16, &[u8]); 5] = [
                (INBOUND, &peer.inbound),
                (OUTBOUND, &peer.outbound),
                (RECEIVED, received.octets()),
                (STALE, stale.octets()),
                (SENT, sent.octets()),
            ];
            for (kind, octets) in parts.into_iter().filter(|(_, octets)| !octets.is_empty()) {
                show(&section(kind, index, octets), octets)?;
            }
        }
        Ok(())
    }

    /// The state in a file, which is used by that: another time it is [`Untrusted::Used`]. Routes stay in it.
    ///
    /// # Errors
    /// Anything is not as it should be: then nothing of it counts.
    pub fn take(file: File) -> Result<Self, Untrusted> {
        let length = file.metadata()?.len();
        let taken = Self::read(&Arc::new(file.try_clone()?), length);
        // Whoever else has the file, a service manager above all, has nothing any more.
        match &taken {
            Ok(_) => file.write_all_at(&[0; HEAD], 0)?,
            Err(Untrusted::Used) => {}
            Err(_) => file.set_len(0)?,
        }
        taken
    }

    fn read(file: &Arc<File>, length: u64) -> Result<Self, Untrusted> {
        check(file, length)?;
        let mut at = HEAD as u64;
        let damaged = |what: &str| Untrusted::Content(what.to_owned());
        let mut state: Option<Self> = None;
        while at < length {
            let (kind, index, octets) =
                next_section(file, at, length)?.ok_or_else(|| damaged("a section overruns its end"))?;
            at = at.saturating_add(SECTION as u64).saturating_add(octets.len());
            match (kind, &mut state) {
                (MANIFEST, None) => {
                    let manifest = serde_json::from_slice(&octets.to_bytes()?);
                    state = Some(manifest.map_err(|error| damaged(&error.to_string()))?);
                }
                (MANIFEST, Some(_)) => return Err(damaged("it has two manifests")),
                (_, None) => return Err(damaged("it does not begin with a manifest")),
                (_, Some(state)) => {
                    let at = usize::try_from(index).ok();
                    let peer = at.and_then(|at| state.peers.get_mut(at));
                    peer.ok_or_else(|| damaged("a section is of no peer"))?.take(kind, octets)?;
                }
            }
        }
        state.ok_or_else(|| damaged("it has no manifest"))
    }
}

impl PeerState {
    /// What is of a kind that came later is passed over.
    fn take(&mut self, kind: u16, octets: Stream) -> io::Result<()> {
        match kind {
            INBOUND => self.inbound = octets.to_bytes()?,
            OUTBOUND => self.outbound = octets.to_bytes()?,
            RECEIVED => self.routes.received = octets,
            STALE => self.routes.stale = octets,
            SENT => self.routes.sent = octets,
            _ => {}
        }
        Ok(())
    }
}

/// Looks at the head and at every octet behind it.
fn check(file: &File, length: u64) -> Result<(), Untrusted> {
    if length == 0 {
        return Err(Untrusted::Used);
    }
    let mut head = [0; HEAD];
    if length < HEAD as u64 {
        return Err(Untrusted::Magic);
    }
    file.read_exact_at(&mut head, 0)?;
    if head == [0; HEAD] {
        return Err(Untrusted::Used);
    }
    let Some(mut numbers) = head.strip_prefix(MAGIC) else { return Err(Untrusted::Magic) };
    let (version, checksum) = (numbers.get_u32(), numbers.get_u32());
    if version != VERSION {
        return Err(Untrusted::Version(version));
    }
    let mut found = crc32fast::Hasher::new();
    let (mut piece, mut at) = (vec![0; PIECE], HEAD as u64);
    loop {
        match file.read_at(&mut piece, at)? {
            0 => break,
            count => {
                found.update(piece.get(..count).unwrap_or_default());
                at += count as u64;
            }
        }
    }
    if found.finalize() == checksum { Ok(()) } else { Err(Untrusted::Checksum) }
}

/// The octets before a section.
fn section(kind: u16, index: u32, octets: &[u8]) -> [u8; SECTION] {
    let mut head = [0; SECTION];
    let mut out = &mut head[..];
    out.put_u16(kind);
    out.put_u32(index);
    out.put_u64(octets.len() as u64);
    head
}

fn next_section(file: &Arc<File>, at: u64, length: u64) -> io::Result<Option<(u16, u32, Stream)>> {
    let begin = at.saturating_add(SECTION as u64);
    if begin > length {
        return Ok(None);
    }
    let mut head = [0; SECTION];
    file.read_exact_at(&mut head, at)?;
    let mut head = &head[..];
    let (kind, index, octets) = (head.get_u16(), head.get_u32(), head.get_u64());
    Ok((octets <= length - begin).then(|| (kind, index, Stream::of_file(file, begin, octets))))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, Instant};

    use bgp_session::{ConnectionId, Direction, Endpoints, Peer, PeerConfig, RemoteAs};
    use bgp_wire::open::{HoldTime, Open};
    use bgp_wire::{Asn, RouterId, message};
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::super::descriptors::memory;
    use super::*;

    fn suspended() -> Suspended {
        let router_id = RouterId::new(0xAC32_0001).unwrap();
        let now = Instant::now();
        let mut out = Vec::new();
        let config = PeerConfig::new(Asn(64513), router_id, RemoteAs::External);
        let mut peer = Peer::new(config, 1, now);
        peer.start(now, &mut out);
        let endpoints = Endpoints {
            local: "172.50.0.1:179".parse().unwrap(),
            remote: "172.50.0.2:41000".parse().unwrap(),
        };
        let id = ConnectionId(1);
        peer.connected(id, Direction::Incoming, endpoints, now, &mut out);
        let open = Open {
            asn: Asn(64512),
            hold_time: HoldTime::new(90).unwrap(),
            router_id,
            capabilities: Vec::new(),
        };
        let mut octets = BytesMut::from(&open.encode()[..]);
        octets.extend_from_slice(&message::keepalive());
        peer.receive(id, &mut octets, now, &mut out);
        peer.suspend(now).unwrap()
    }

    /// A state of two peers.
    pub(crate) fn sample() -> State {
        let peer = |last: u8, octets: &'static [u8]| PeerState {
            address: [172, 50, 0, last].into(),
            session: suspended(),
            refresh_ipv4: last == 2,
            refresh_ipv6: false,
            closing: last == 3,
            inbound: Bytes::from_static(octets),
            outbound: Bytes::new(),
            routes: Routes { sent: Bytes::from_static(b"sent").into(), ..Routes::default() },
        };
        State {
            program: "1.2.3".to_owned(),
            keys: vec!["172.50.0.0/16".to_owned()],
            orphans: true,
            drains: vec![DrainState {
                node: "node2".to_owned(),
                addresses: ["172.50.0.2".parse().unwrap()].into(),
                drained: true,
                force: false,
                idle_seconds: Some(2),
            }],
            closing: true,
            orders: [(
                "172.50.0.4".parse().unwrap(),
                Orders { closing: true, shutdown: Some("back at noon".to_owned()) },
            )]
            .into(),
            peers: vec![peer(2, b"\xff\xff"), peer(3, b"")],
            bfd: Vec::new(),
            service: Some(Service {
                socket: "/run/systemd/notify".to_owned(),
                watchdog: Some(Duration::from_secs(30)),
            }),
        }
    }

    /// Another content under a checksum that fits.
    fn sealed(body: &[u8]) -> Bytes {
        let mut out = BytesMut::from(&MAGIC[..]);
        out.put_u32(VERSION);
        out.put_u32(crc32fast::hash(body));
        out.put_slice(body);
        out.freeze()
    }

    fn encode(state: &State) -> Vec<u8> {
        let mut octets = Vec::new();
        state.write(&mut octets).unwrap();
        octets
    }

    fn decode(octets: &[u8]) -> Result<State, Untrusted> {
        State::take(memory(|file| file.write_all(octets)).unwrap().into())
    }

    fn put(body: &mut BytesMut, kind: u16, index: u32, octets: &[u8]) {
        body.put_slice(&section(kind, index, octets));
        body.put_slice(octets);
    }

    #[test]
    fn what_was_written_is_read() {
        let state = sample();
        assert_eq!(decode(&encode(&state)), Ok(state));
        assert_eq!(decode(&encode(&State::default())), Ok(State::default()));
    }

    #[test]
    fn a_state_counts_once_and_its_routes_are_read_later() {
        let file: File = memory(|file| sample().write(file)).unwrap().into();
        let copy = file.try_clone().unwrap();
        let state = State::take(file).unwrap();
        assert_eq!(State::take(copy), Err(Untrusted::Used));
        // Nothing of it counts afterwards, what is taken stays.
        assert_eq!(state.peers[1].routes.sent.to_bytes().unwrap(), "sent");
    }

    #[test]
    fn what_cannot_be_trusted_says_why() {
        let octets = encode(&sample());
        let changed = |at: usize| {
            let mut octets = octets.clone();
            octets[at] ^= 1;
            decode(&octets)
        };
        assert_eq!(decode(&[]), Err(Untrusted::Used));
        assert_eq!(changed(0), Err(Untrusted::Magic));
        assert_eq!(changed(19), Err(Untrusted::Version(0)));
        assert_eq!(changed(20), Err(Untrusted::Checksum));
        assert_eq!(changed(octets.len() - 1), Err(Untrusted::Checksum));
        assert_eq!(decode(&octets[..octets.len() - 1]), Err(Untrusted::Checksum));
        let content = |body: &[u8]| match decode(&sealed(body)) {
            Err(Untrusted::Content(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(content(b""), "it has no manifest");
        assert_eq!(content(b"short"), "a section overruns its end");
        let mut body = BytesMut::new();
        put(&mut body, SENT, 0, b"x");
        assert_eq!(content(&body), "it does not begin with a manifest");
        let mut body = BytesMut::new();
        put(&mut body, MANIFEST, 0, br#"{"program":"1","peers":[]}"#);
        put(&mut body, SENT, 0, b"x");
        assert_eq!(content(&body), "a section is of no peer");
    }

    /// The rules of the format: what a later version adds is passed over, what an earlier one lacks has a default.
    #[test]
    fn another_version_of_the_program_is_understood() {
        let state = sample();
        let mut manifest = serde_json::to_value(&state).unwrap();
        manifest["invented"] = "later".into();
        manifest["peers"][0]["invented"] = 7.into();
        manifest["peers"][0]["session"]["invented"] = true.into();
        for later in ["orphans", "orders"] {
            manifest.as_object_mut().unwrap().remove(later);
        }
        let mut body = BytesMut::new();
        put(&mut body, MANIFEST, 0, &serde_json::to_vec(&manifest).unwrap());
        put(&mut body, 999, 1, b"of a kind that is not known");
        let read = decode(&sealed(&body)).unwrap();
        assert_eq!((read.program, read.orphans, read.peers.len()), (state.program, false, 2));
        assert_eq!(read.orders, BTreeMap::new());
        assert_eq!(read.peers[0].session, state.peers[0].session);
    }

    proptest! {
        #[test]
        fn octets_of_any_kind_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&octets).is_err());
            prop_assert!(decode(&sealed(&octets)).is_err());
        }

        #[test]
        fn a_spoiled_body_never_panics(at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let mut body = encode(&sample())[HEAD..].to_vec();
            let at = at.index(body.len());
            body[at] = with;
            if let Ok(state) = decode(&sealed(&body)) {
                prop_assert_eq!(state.peers.len(), 2);
            }
        }
    }
}
