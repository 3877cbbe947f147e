//! Every record of the corpus of BGP messages, said to a session that is in the state that it needs: the session goes on
//! with the routes that the record expects, or it ends with the NOTIFICATION.
//!
//! Records, expectations and the list of deviations are those of the tests of bgp-wire. A session never agrees on path
//! identifiers: what a record with these expects is not applicable, and what it costs without them is still looked at.

#[path = "../../../wire/tests/corpus"]
mod messages {
    pub(super) mod deviations;
    pub(super) mod expect;
    pub(super) mod outcome;
    pub(super) mod raw;
    pub(super) mod record;
    pub(super) mod seen;
    pub(super) mod tally;
}

use bgp_session::{
    ConnectionId, Direction, DownReason, Negotiated, Note, Output, PeerConfig, RemoteAs, StateName,
};
use bgp_wire::capability::{Capability, ExtendedNextHop};
use bgp_wire::context::{DecodeContext, MAX_MESSAGE, PeerKind};
use bgp_wire::iana::message as kind;
use bgp_wire::message::{self, Message};
use bgp_wire::notification::Notification;
use bgp_wire::open::{HoldTime, Open};
use bgp_wire::{Asn, Family, PerFamily};
use bytes::Bytes;

use crate::hand::{Hand, OURS, THEIRS, open_of, router_id};
use messages::expect::{self, Differences};
use messages::outcome::Outcome;
use messages::record::{EXPECTED, Record, UNCLEAR};
use messages::tally::{run, run_with_rules, settle};

/// Whether a message has to come before the peer's OPEN is answered: an OPEN, and what is longer than was agreed on. Our OPEN
/// offers long messages (RFC 8654), so that they are taken from then on.
fn comes_first(record: &Record) -> bool {
    let length =
        record.octets.get(16..18).map_or(0, |octets| usize::from(octets[0]) << 8 | usize::from(octets[1]));
    record.kind() == Some(kind::OPEN) || !record.extended && length > MAX_MESSAGE
}

/// Takes every hold time that a peer may propose, and every AS that can be a peer of this kind.
fn config(peer: PeerKind) -> PeerConfig {
    let remote_as = match peer {
        PeerKind::External => RemoteAs::External,
        PeerKind::Internal => RemoteAs::Internal,
    };
    let hold_time = HoldTime::new(u16::MAX).unwrap();
    PeerConfig { hold_time, ..PeerConfig::new(OURS, router_id(9), remote_as) }
}

/// An OPEN with what the record takes for granted.
fn open(record: &Record) -> Open {
    let internal = record.context.peer == PeerKind::Internal;
    let mut open = open_of(if internal { OURS } else { THEIRS });
    let next_hop = ExtendedNextHop { family: Family::Ipv4Unicast.code(), next_hop_afi: 2 };
    open.capabilities.extend([
        Capability::Multiprotocol(Family::Ipv4Unicast.code()),
        Capability::EnhancedRouteRefresh,
        Capability::ExtendedNextHop(vec![next_hop]),
    ]);
    if record.extended {
        open.capabilities.push(Capability::ExtendedMessage);
    }
    if !record.context.four_octet_as {
        open.capabilities.retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
    }
    open
}

/// What came of a record's octets, and how they were read.
struct Heard {
    outcome: Outcome,
    /// What the codec alone makes of them.
    codec: Outcome,
}

/// Says the record's octets to a session.
fn heard(record: &Record) -> Heard {
    let Record { name, octets, context, .. } = record;
    let first = comes_first(record);
    let (mut hand, id, cx) = if first {
        // Of whichever AS an OPEN is: that of no record is ours.
        let local_asn = Asn(u32::MAX - 1);
        let mut hand = Hand::new(PeerConfig { local_asn, ..config(PeerKind::External) });
        let id = hand.connect(Direction::Incoming);
        (hand, id, DecodeContext::default())
    } else {
        let (hand, id) = Hand::established(config(context.peer), &open(record));
        let agreed = hand.negotiated().decode();
        let never = PerFamily { ipv4: false, ipv6: false };
        let extended_next_hop = PerFamily { ipv4: true, ipv6: false };
        assert_eq!(agreed, DecodeContext { add_path: never, extended_next_hop, ..*context }, "{name}");
        (hand, id, agreed)
    };
    hand.take();
    hand.say(id, octets);
    if hand.state() == StateName::OpenConfirm {
        hand.say(id, &message::keepalive());
    }
    let outputs = hand.take();
    let outcome = outputs.iter().find_map(meaning).unwrap_or(Outcome::Nothing);
    let over = matches!(outcome, Outcome::Fault(_) | Outcome::Message(Message::Notification(_)));
    let stands = matches!(hand.state(), StateName::OpenSent | StateName::Established);
    assert_eq!((over, !over), (outputs.contains(&Output::Close(id)), stands), "{name}: {outputs:?}");
    assert_eq!(is_told(&outcome, id, &outputs), Ok(()), "{name}: {outputs:?}");
    Heard { outcome, codec: Outcome::of(octets, !first, &cx) }
}

/// The first thing that a session says of a message.
fn meaning(output: &Output) -> Option<Outcome> {
    match output {
        Output::Up(negotiated) => Some(Outcome::Message(Message::Open(said(negotiated)))),
        Output::Update(update) => Some(Outcome::Message(Message::Update(update.clone()))),
        Output::Refresh(refresh) => Some(Outcome::Message(Message::RouteRefresh(*refresh))),
        Output::FirstKeepalive => Some(Outcome::Message(Message::Keepalive)),
        Output::Down(down) => Some(end(&down.reason)),
        Output::Note(Note::Failed { reason, .. }) => Some(end(reason)),
        Output::Dial | Output::AbortDial | Output::Send(..) | Output::Close(_) | Output::Note(_) => None,
    }
}

/// The peer's OPEN, by what was agreed on: ours proposes the longest hold time.
fn said(negotiated: &Negotiated) -> Open {
    Open {
        asn: negotiated.remote_asn,
        hold_time: negotiated.hold_time,
        router_id: negotiated.remote_router_id,
        capabilities: negotiated.capabilities.clone(),
    }
}

fn end(reason: &DownReason) -> Outcome {
    match reason {
        DownReason::Received(notification) => Outcome::Message(Message::Notification(notification.clone())),
        DownReason::Sent(notification) | DownReason::Fault { notification, .. } => {
            Outcome::Fault(notification.clone())
        }
        other => panic!("{other}"),
    }
}

/// The peer hears of what ends its session, and whoever reads the log of what was wrong with an UPDATE.
fn is_told(outcome: &Outcome, id: ConnectionId, outputs: &[Output]) -> Result<(), &'static str> {
    let noted = outputs.iter().any(|output| matches!(output, Output::Note(Note::Malformed(_))));
    let (farewell, malformed) = match outcome {
        Outcome::Fault(fault) => (Some(Output::Send(id, fault.encode())), fault.code == 3),
        Outcome::Message(Message::Update(update)) => (None, !update.faults.is_empty()),
        Outcome::Message(_) | Outcome::Nothing => (None, false),
    };
    if farewell.is_some_and(|farewell| !outputs.contains(&farewell)) {
        return Err("the peer is not told");
    }
    if malformed == noted {
        Ok(())
    } else {
        Err("an UPDATE is noted that is good, or one is not that is malformed")
    }
}

/// What a session makes of a good message, where it knows more than whoever reads the message alone.
fn knows_better(message: &Outcome) -> Option<Outcome> {
    match message {
        // RFC 5492 section 3: a peer with which we have no family in common; the data is what it lacks.
        Outcome::Message(Message::Open(open)) => {
            let mut families = open.capabilities.iter().filter_map(|capability| match capability {
                Capability::Multiprotocol(code) => Some(code.family()),
                _ => None,
            });
            let none = families.clone().next().is_some() && families.all(|family| family.is_none());
            let both = Bytes::from_static(&[1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1]);
            none.then(|| Outcome::Fault(Notification::unsupported_capability(both)))
        }
        // RFC 2918 section 4: a request for a family that was not agreed on is ignored.
        Outcome::Message(Message::RouteRefresh(refresh)) => {
            refresh.family.family().is_none().then_some(Outcome::Nothing)
        }
        Outcome::Message(Message::Update(_) | Message::Notification(_) | Message::Keepalive)
        | Outcome::Fault(_)
        | Outcome::Nothing => None,
    }
}

fn other_than(outcome: &Outcome, wanted: &Outcome) -> Vec<String> {
    let same = outcome == wanted;
    (!same).then(|| format!("expected {wanted:?}, got {outcome:?}")).into_iter().collect()
}

#[test]
fn a_session_makes_of_a_message_what_is_expected() {
    settle(&run_with_rules(&EXPECTED, |record| {
        let Heard { outcome, codec } = heard(record);
        if record.context.add_path != PerFamily::default() {
            return None;
        }
        match knows_better(&codec) {
            Some(wanted) => Some(Differences::plain(other_than(&outcome, &wanted))),
            None => expect::differences(record, outcome),
        }
    }));
}

/// Also where the corpus does not say, a session survives or ends as it should, and adds nothing of its own.
#[test]
fn a_session_makes_of_any_message_what_the_codec_does() {
    settle(&run(&[&EXPECTED[..], &UNCLEAR].concat(), |record| {
        let Heard { outcome, codec } = heard(record);
        Some(other_than(&outcome, &knows_better(&codec).unwrap_or(codec)))
    }));
}
