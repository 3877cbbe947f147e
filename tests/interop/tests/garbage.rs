//! Peers that send garbage: each costs its own session and nothing else.
#![cfg(feature = "labs")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use bgp_wire::Message;
use interop::daemon::Daemon;
use interop::faults::scene::prefixes;
use interop::lab::{HOST_V6, Lab, Node};
use interop::speaker::{Speaker, connect};
use interop::wait::PATIENCE;

const MARKER: [u8; 16] = [0xff; 16];

fn raw(node: &Node) -> Result<TcpStream> {
    let remote = SocketAddr::new(HOST_V6.parse()?, 179);
    let stream = node.namespace.inside(|| connect(remote))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap_or(u16::MAX);
    [&MARKER[..], &length.to_be_bytes(), &[kind], body].concat()
}

/// Everything that a stranger may say instead of OPEN.
fn first_words() -> Vec<(&'static str, Vec<u8>)> {
    let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        ("noise", noise),
        ("a request of another protocol", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a length of 0", [&MARKER[..], &[0, 0, 1]].concat()),
        ("a length of 65535", [&MARKER[..], &[0xff, 0xff, 1]].concat()),
        ("a message of type 0", message(0, &[])),
        ("an UPDATE before OPEN", message(2, &[0, 0, 0, 0])),
        ("an OPEN of one octet", message(1, &[4])),
        ("an OPEN whose parameters overrun", message(1, &[4, 0xfc, 0, 0, 90, 1, 2, 3, 4, 255, 2, 200, 1])),
        ("an OPEN of version 3", message(1, &[3, 0xfc, 0, 0, 90, 1, 2, 3, 4, 0])),
        ("an OPEN of the wrong AS", message(1, &[4, 0, 1, 0, 90, 1, 2, 3, 4, 0])),
    ]
}

#[test]
fn strangers_do_not_disturb_a_session() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let good = Speaker::on(&lab.nodes[0], HOST_V6)?;
    good.announce(&prefixes(&["2004::1/128"])?)?;
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], PATIENCE)?;
    for (what, octets) in first_words() {
        let mut stream = raw(&lab.nodes[1])?;
        // It may close before it has read everything; that is its good right.
        stream.write_all(&octets).ok();
        let mut said = Vec::new();
        let end = stream.read_to_end(&mut said);
        let closed = end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(closed, "{what}: the connection stays open");
        daemon.must_run().context(what)?;
    }
    good.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_gateways("2004::2", &[lab.nodes[0].v6()], PATIENCE)?;
    assert!(!good.is_over());
    assert_eq!(daemon.neighbor(&lab.nodes[0].v6())?["flaps"], 0);
    // And the node that sent it all is welcome when it behaves. It has both services: with one of them it would wait for
    // its share of the flows until the kernel can tell which buckets are idle (docs/decisions/0005-resilient-groups.md).
    let reformed = Speaker::on(&lab.nodes[1], HOST_V6)?;
    reformed.announce(&prefixes(&["2004::1/128"])?)?;
    reformed.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    lab.expect_all_nodes("2004::2", PATIENCE)?;
    Ok(())
}

#[test]
fn a_session_that_turns_to_garbage_ends_alone() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let mut daemon = Daemon::start_k3d(&lab)?;
    let good = Speaker::on(&lab.nodes[0], HOST_V6)?;
    good.announce(&prefixes(&["2004::1/128"])?)?;
    // An NLRI of 129 bits, a withdrawn length beyond the message, and octets without a marker.
    let endings = [message(2, &[0, 0, 0, 0, 129, 1]), message(2, &[0xff, 0xff, 0, 0]), vec![0; 64]];
    for octets in endings {
        let bad = Speaker::on(&lab.nodes[1], HOST_V6)?;
        bad.announce(&prefixes(&["2004::1/128"])?)?;
        lab.expect_all_nodes("2004::1", PATIENCE)?;
        bad.write(&octets)?;
        let mut notified = false;
        while let Some(heard) = bad.hear()? {
            notified |= matches!(heard, Message::Notification(_));
        }
        assert!(notified, "closed without a NOTIFICATION after {octets:?}");
        lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], PATIENCE)?;
    }
    daemon.must_run()?;
    assert!(!good.is_over());
    assert_eq!(daemon.neighbor(&lab.nodes[0].v6())?["flaps"], 0);
    assert!(daemon.neighbor(&lab.nodes[1].v6())?["last_down"]["reason"].is_string());
    Ok(())
}

#[test]
fn a_malformed_attribute_costs_its_routes_alone() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start_k3d(&lab)?;
    let speaker = Speaker::on(&lab.nodes[0], HOST_V6)?;
    let mut octets = speaker.announcement(&prefixes(&["2004::1/128"])?)?.to_vec();
    let origin = octets.windows(4).position(|four| four == [0x40, 1, 1, 0]).context("no ORIGIN")?;
    octets[origin + 3] = 9;
    speaker.announce(&prefixes(&["2004::1/128"])?)?;
    lab.expect_gateways("2004::1", &[lab.nodes[0].v6()], PATIENCE)?;
    // RFC 7606 section 7.1: treated as withdraw.
    speaker.write(&octets)?;
    lab.expect_gateways("2004::1", &[], PATIENCE)?;
    speaker.announce(&prefixes(&["2004::2/128"])?)?;
    lab.expect_gateways("2004::2", &[lab.nodes[0].v6()], PATIENCE)?;
    assert!(!speaker.is_over());
    let neighbor = daemon.neighbor(&lab.nodes[0].v6())?;
    assert_eq!(neighbor["flaps"], 0);
    // RFC 7606 section 6: the fault, the route and the whole message can be read, by those who may read the log.
    assert_eq!(neighbor["messages"]["malformed_updates"], 1);
    let body: String = octets[19..].iter().map(|octet| format!("{octet:02x}")).collect();
    let log = daemon.log();
    assert!(log.contains(&body) && log.contains("routes=\"2004::1/128\""), "{log}");
    Ok(())
}
