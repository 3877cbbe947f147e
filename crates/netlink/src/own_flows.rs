//! Keeps those buckets of resilient groups in use by which this host's own TCP connections go.
//!
//! The kernel marks a bucket as used when it looks a packet's route up. A socket of this host is looked up once and then
//! remembers the answer until some route changes: its bucket looks idle after the idle timer, however much is sent, goes to
//! whoever joins, and at the next change of any route the connection goes there too, and breaks. So now and then the route
//! of each connection that is in use is asked for, with its addresses and ports: an answer for which the kernel uses the
//! same hash, and marks the same bucket.
//!
//! It agrees where the program has bound address and port before it connected, and the hash policy is that of ports; other
//! connections of the host's own stay on their node as long as no route changes, whatever is done here.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bgp_fib::GROUP_IDS;

use crate::groups::error;
use crate::message::{Writer, attributes, u32_at};
use crate::requests::{Layout, Requests};
use crate::socket::RouteSocket;
use crate::uapi::{diag, family, message, route};

const PATIENCE: Duration = Duration::from_secs(2);
const RECEIVE_BUFFER: usize = 1024 * 1024;
/// Connections that are asked for in one go; beyond that some of their buckets may become idle.
const AT_MOST: usize = 65_536;
/// Octets of `struct rtmsg`.
const ROUTE_HEADER_LEN: usize = 12;

/// One TCP connection of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

/// Marks the buckets of connections that have sent or received something within `idle`; says how many connections that
/// were. Blocks: some 10 us a connection.
///
/// # Errors
/// The kernel does not list its sockets, or does not answer.
pub fn keep(idle: Duration) -> io::Result<usize> {
    let mut sockets = Requests::new(RouteSocket::diagnoses(RECEIVE_BUFFER)?, PATIENCE);
    let mut flows = Vec::new();
    for family in [family::INET, family::INET6] {
        let body = wanted(family);
        let layout = Layout { fixed: &body, attributes: &|_| {} };
        sockets
            .dump(diag::BY_FAMILY, layout, |_, payload| {
                let flow = flow(payload, idle).filter(|flow| !flow.remote.0.is_loopback());
                flows.extend(flow.filter(|_| flows.len() < AT_MOST));
            })
            .map_err(error)?;
    }
    if flows.is_empty() {
        return Ok(0);
    }
    let mut routes = Requests::new(RouteSocket::requests(RECEIVE_BUFFER)?, PATIENCE);
    let mut elsewhere: HashSet<IpAddr> = HashSet::new();
    let mut kept = 0;
    for flow in flows {
        if elsewhere.contains(&flow.remote.0) {
            continue;
        }
        match goes_by_group(&mut routes, &flow) {
            Ok(true) => kept += 1,
            Ok(false) => drop(elsewhere.insert(flow.remote.0)),
            // A route that is gone meanwhile has no bucket.
            Err(_) => {}
        }
    }
    Ok(kept)
}

/// The question for TCP sockets that are established, with `struct tcp_info`: `struct inet_diag_req_v2`.
fn wanted(family: u8) -> [u8; diag::REQUEST_LEN] {
    let mut body = [0; diag::REQUEST_LEN];
    let head = [family, diag::PROTOCOL_TCP, 1 << (diag::INFO - 1), 0];
    let states = (1_u32 << diag::ESTABLISHED).to_ne_bytes();
    for (to, from) in body.iter_mut().zip(head.iter().chain(&states)) {
        *to = *from;
    }
    body
}

/// The connection in a `struct inet_diag_msg`, if it was used within `idle`.
fn flow(payload: &[u8], idle: Duration) -> Option<Flow> {
    let number = |at: usize| Some(u16::from_be_bytes(*payload.get(at..)?.first_chunk()?));
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = *payload.get(at..)?.first_chunk()?;
        match *payload.first()? {
            family::INET => Some(IpAddr::from(*octets.first_chunk::<4>()?)),
            // A socket for both families may have an IPv4 connection.
            family::INET6 => Some(IpAddr::from(octets).to_canonical()),
            _ => None,
        }
    };
    let info = attributes(payload.get(diag::MESSAGE_LEN..)?).find(|(kind, _)| *kind == diag::INFO)?.1;
    let since = |at: usize| Some(Duration::from_millis(u32_at(info, at)?.into()));
    let quiet = since(diag::LAST_DATA_SENT)?.min(since(diag::LAST_DATA_RECEIVED)?);
    let flow = Flow {
        local: (address(diag::LOCAL)?, number(diag::LOCAL_PORT)?),
        remote: (address(diag::REMOTE)?, number(diag::REMOTE_PORT)?),
    };
    (quiet < idle).then_some(flow)
}

/// Has the kernel choose a next hop for a packet of the connection; whether its route points to a group of ours.
///
/// Never without the ports: each look-up marks a bucket, and one that only names the address always the same, whosever
/// connections are in it.
fn goes_by_group(routes: &mut Requests, flow: &Flow) -> Result<bool, bgp_fib::KernelError> {
    let ((from, source_port), (to, port)) = (flow.local, flow.remote);
    let fixed = route_header(to, from);
    let attributes_of = |request: &mut Writer<'_>| {
        put_address(request, route::DST, to);
        put_address(request, route::SRC, from);
        request.put(route::IP_PROTO, &[diag::PROTOCOL_TCP]);
        request.put(route::SPORT, &source_port.to_be_bytes());
        request.put(route::DPORT, &port.to_be_bytes());
    };
    let mut is_ours = false;
    routes.ask_for(
        message::GETROUTE,
        0,
        Layout { fixed: &fixed, attributes: &attributes_of },
        |_, payload| {
            let mut found = attributes(payload.get(ROUTE_HEADER_LEN..).unwrap_or_default());
            let id = found.find(|(kind, _)| *kind == route::NH_ID).and_then(|(_, value)| u32_at(value, 0));
            is_ours |= id.is_some_and(|id| GROUP_IDS.contains(&id));
        },
    )?;
    Ok(is_ours)
}

/// The head of a question for the route that was found, not for what was made of it: `struct rtmsg`.
fn route_header(to: IpAddr, from: IpAddr) -> [u8; ROUTE_HEADER_LEN] {
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let family = if to.is_ipv4() { family::INET } else { family::INET6 };
    let [a, b, c, d] = route::F_FIB_MATCH.to_ne_bytes();
    [family, bits(to), bits(from), 0, 0, 0, 0, 0, a, b, c, d]
}

fn put_address(request: &mut Writer<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => request.put(kind, &v4.octets()),
        IpAddr::V6(v6) => request.put(kind, &v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes it: a socket of the family, and when it was used last.
    fn message(family: u8, sent_ms: u32, received_ms: u32) -> Vec<u8> {
        let mut payload = vec![0; diag::MESSAGE_LEN];
        payload[0] = family;
        payload[diag::LOCAL_PORT..][..2].copy_from_slice(&20_000_u16.to_be_bytes());
        payload[diag::REMOTE_PORT..][..2].copy_from_slice(&80_u16.to_be_bytes());
        payload[diag::LOCAL..][..4].copy_from_slice(&[10, 0, 0, 1]);
        payload[diag::REMOTE..][..4].copy_from_slice(&[10, 0, 0, 2]);
        let mut info = vec![0; 232];
        info[diag::LAST_DATA_SENT..][..4].copy_from_slice(&sent_ms.to_ne_bytes());
        info[diag::LAST_DATA_RECEIVED..][..4].copy_from_slice(&received_ms.to_ne_bytes());
        let len = u16::try_from(info.len() + 4).unwrap();
        payload.extend_from_slice(&len.to_ne_bytes());
        payload.extend_from_slice(&diag::INFO.to_ne_bytes());
        payload.extend_from_slice(&info);
        payload
    }

    #[test]
    fn a_connection_counts_that_was_used_in_either_direction() {
        let idle = Duration::from_secs(60);
        let found = flow(&message(family::INET, 70_000, 100), idle).unwrap();
        let end = |last: u8, port| (IpAddr::from([10, 0, 0, last]), port);
        assert_eq!(found, Flow { local: end(1, 20_000), remote: end(2, 80) });
        assert_eq!(flow(&message(family::INET, 70_000, 60_000), idle), None);
        assert_eq!(flow(&message(family::BRIDGE, 0, 0), idle), None);
        let whole = message(family::INET6, 0, 0);
        assert!(flow(&whole, idle).is_some());
        for len in 0..whole.len() {
            assert_eq!(flow(&whole[..len], idle), None, "cut off behind {len} octets");
        }
    }
}
