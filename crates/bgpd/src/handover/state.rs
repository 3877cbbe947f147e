//! The format in which everything crosses from process to process.
//!
//! A head (magic, version, checksum), then sections: a manifest in JSON, and octets of single peers that it does not
//! hold. What a newer version may change is in `docs/decisions/0007-hitless-restart.md`: it may add fields with defaults
//! and kinds of sections, both ways of which are passed over by those that do not know them.

use std::net::IpAddr;

use bgp_rib::handover::Carried;
use bgp_session::Suspended;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::store::Service;
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

/// Everything about the process that rests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The sessions.
    pub peers: Vec<PeerState>,
    /// BFD sessions that are Up.
    #[serde(default)]
    pub bfd: Vec<Resting>,
    /// The service manager that this process is the service of.
    #[serde(default)]
    pub service: Option<Service>,
}

/// One peer with its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// An operator's command has it told GRACEFUL_SHUTDOWN.
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// [`Carried::received`].
    pub received: Bytes,
    /// [`Carried::stale`].
    pub stale: Bytes,
    /// [`Carried::sent`].
    pub sent: Bytes,
}

impl From<Carried> for Routes {
    fn from(carried: Carried) -> Self {
        Self { received: carried.received, stale: carried.stale, sent: carried.sent }
    }
}

/// Why a state is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Whoever took it before has emptied it.
    #[error("it was used before")]
    Used,
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

impl State {
    /// The octets.
    ///
    /// # Errors
    /// The manifest cannot be written as JSON, which only a defect of ours can bring about.
    pub fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let mut body = BytesMut::new();
        section(&mut body, MANIFEST, 0, &serde_json::to_vec(self)?);
        for (index, peer) in (0u32..).zip(&self.peers) {
            let Routes { received, stale, sent } = &peer.routes;
            let parts = [
                (INBOUND, &peer.inbound),
                (OUTBOUND, &peer.outbound),
                (RECEIVED, received),
                (STALE, stale),
                (SENT, sent),
            ];
            for (kind, octets) in parts {
                if !octets.is_empty() {
                    section(&mut body, kind, index, octets);
                }
            }
        }
        let mut out = BytesMut::with_capacity(MAGIC.len() + 8 + body.len());
        out.put_slice(MAGIC);
        out.put_u32(VERSION);
        out.put_u32(crc32fast::hash(&body));
        out.put_slice(&body);
        Ok(out.freeze())
    }

    /// The state in `octets`.
    ///
    /// # Errors
    /// Anything is not as it should be: then nothing of it counts.
    pub fn decode(mut octets: Bytes) -> Result<Self, Untrusted> {
        if octets.is_empty() {
            return Err(Untrusted::Used);
        }
        if octets.len() < MAGIC.len() + 8 || !octets.starts_with(MAGIC) {
            return Err(Untrusted::Magic);
        }
        octets.advance(MAGIC.len());
        let (version, checksum) = (octets.get_u32(), octets.get_u32());
        if version != VERSION {
            return Err(Untrusted::Version(version));
        }
        if crc32fast::hash(&octets) != checksum {
            return Err(Untrusted::Checksum);
        }
        let damaged = |what: &str| Untrusted::Content(what.to_owned());
        let mut state: Option<Self> = None;
        while !octets.is_empty() {
            let (kind, index, payload) =
                next_section(&mut octets).ok_or_else(|| damaged("a section overruns its end"))?;
            match (kind, &mut state) {
                (MANIFEST, None) => {
                    let manifest = serde_json::from_slice(&payload);
                    state = Some(manifest.map_err(|error| damaged(&error.to_string()))?);
                }
                (MANIFEST, Some(_)) => return Err(damaged("it has two manifests")),
                (_, None) => return Err(damaged("it does not begin with a manifest")),
                (_, Some(state)) => {
                    let at = usize::try_from(index).ok();
                    let peer = at.and_then(|at| state.peers.get_mut(at));
                    peer.ok_or_else(|| damaged("a section is of no peer"))?.take(kind, payload);
                }
            }
        }
        state.ok_or_else(|| damaged("it has no manifest"))
    }
}

impl PeerState {
    /// What is of a kind that came later is passed over.
    fn take(&mut self, kind: u16, payload: Bytes) {
        match kind {
            INBOUND => self.inbound = payload,
            OUTBOUND => self.outbound = payload,
            RECEIVED => self.routes.received = payload,
            STALE => self.routes.stale = payload,
            SENT => self.routes.sent = payload,
            _ => {}
        }
    }
}

fn section(out: &mut BytesMut, kind: u16, index: u32, octets: &[u8]) {
    out.put_u16(kind);
    out.put_u32(index);
    out.put_u64(u64::try_from(octets.len()).unwrap_or(u64::MAX));
    out.put_slice(octets);
}

fn next_section(octets: &mut Bytes) -> Option<(u16, u32, Bytes)> {
    if octets.len() < 14 {
        return None;
    }
    let (kind, index, length) = (octets.get_u16(), octets.get_u32(), octets.get_u64());
    let length = usize::try_from(length).ok().filter(|length| *length <= octets.len())?;
    Some((kind, index, octets.split_to(length)))
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use bgp_session::{ConnectionId, Direction, Endpoints, Peer, PeerConfig, RemoteAs};
    use bgp_wire::open::{HoldTime, Open};
    use bgp_wire::{Asn, RouterId, message};
    use proptest::prelude::*;

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
            routes: Routes { sent: Bytes::from_static(b"sent"), ..Routes::default() },
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

    #[test]
    fn what_was_written_is_read() {
        let state = sample();
        assert_eq!(State::decode(state.encode().unwrap()), Ok(state));
        assert_eq!(State::decode(State::default().encode().unwrap()), Ok(State::default()));
    }

    #[test]
    fn what_cannot_be_trusted_says_why() {
        let octets = sample().encode().unwrap();
        let changed = |at: usize| {
            let mut octets = octets.to_vec();
            octets[at] ^= 1;
            State::decode(octets.into())
        };
        assert_eq!(State::decode(Bytes::new()), Err(Untrusted::Used));
        assert_eq!(changed(0), Err(Untrusted::Magic));
        assert_eq!(changed(19), Err(Untrusted::Version(0)));
        assert_eq!(changed(20), Err(Untrusted::Checksum));
        assert_eq!(changed(octets.len() - 1), Err(Untrusted::Checksum));
        assert_eq!(State::decode(octets.slice(..octets.len() - 1)), Err(Untrusted::Checksum));
        let content = |body: &[u8]| match State::decode(sealed(body)) {
            Err(Untrusted::Content(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(content(b""), "it has no manifest");
        assert_eq!(content(b"short"), "a section overruns its end");
        let mut body = BytesMut::new();
        section(&mut body, SENT, 0, b"x");
        assert_eq!(content(&body), "it does not begin with a manifest");
        let mut body = BytesMut::new();
        section(&mut body, MANIFEST, 0, br#"{"program":"1","peers":[]}"#);
        section(&mut body, SENT, 0, b"x");
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
        manifest.as_object_mut().unwrap().remove("orphans");
        let mut body = BytesMut::new();
        section(&mut body, MANIFEST, 0, &serde_json::to_vec(&manifest).unwrap());
        section(&mut body, 999, 1, b"of a kind that is not known");
        let read = State::decode(sealed(&body)).unwrap();
        assert_eq!((read.program, read.orphans, read.peers.len()), (state.program, false, 2));
        assert_eq!(read.peers[0].session, state.peers[0].session);
    }

    proptest! {
        #[test]
        fn octets_of_any_kind_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(State::decode(octets.clone().into()).is_err());
            prop_assert!(State::decode(sealed(&octets)).is_err());
        }

        #[test]
        fn a_spoiled_body_never_panics(at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let mut body = sample().encode().unwrap()[24..].to_vec();
            let at = at.index(body.len());
            body[at] = with;
            if let Ok(state) = State::decode(sealed(&body)) {
                prop_assert_eq!(state.peers.len(), 2);
            }
        }
    }
}
