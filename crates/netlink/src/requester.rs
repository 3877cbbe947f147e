//! Who asks the kernel for changes of ours: the port in its notifications, and the name of the process behind it.
//!
//! The first netlink socket of a process has the number of the process as its port. `ip` ends within a millisecond of
//! its request, so the name is looked up when the notification is read; often enough it is too late even then.

use std::time::{Duration, Instant};

use bgp_fib::Requester;

use crate::message::Header;
use crate::uapi::{flag, message};

/// A name is looked up again after so long: the number may have gone to another process.
const FRESH: Duration = Duration::from_secs(1);
/// Offset of `rtm_protocol`, and of `nh_protocol`.
const ROUTE_PROTOCOL: usize = 5;
const NEXTHOP_PROTOCOL: usize = 2;

/// Remembers who was told last.
#[derive(Debug)]
pub(crate) struct Requesters {
    /// Of our routes and objects.
    protocol: u8,
    told: Option<(u32, Instant)>,
}

impl Requesters {
    pub(crate) fn new(protocol: u8) -> Self {
        Self { protocol, told: None }
    }

    /// Who asked for this change, where it may be one of ours and it is somebody else than for the last one.
    pub(crate) fn news(&mut self, header: Header, payload: &[u8]) -> Option<Requester> {
        if !self.may_be_ours(header, payload) {
            return None;
        }
        let now = Instant::now();
        let same = |(port, at): (u32, Instant)| port == header.port && now < at + FRESH;
        if self.told.is_some_and(same) {
            return None;
        }
        self.told = Some((header.port, now));
        Some(Requester { port: header.port, process: process(header.port) })
    }

    /// A route or object of our protocol, or a route that has replaced another.
    fn may_be_ours(&self, header: Header, payload: &[u8]) -> bool {
        let protocol = match header.kind {
            message::NEWROUTE if header.flags & flag::REPLACE != 0 => return true,
            message::NEWROUTE | message::DELROUTE => payload.get(ROUTE_PROTOCOL),
            message::NEWNEXTHOP | message::DELNEXTHOP => payload.get(NEXTHOP_PROTOCOL),
            _ => None,
        };
        protocol == Some(&self.protocol)
    }
}

/// The name of the process with this number, as far as it may be seen. It is what the process says, so only what can be
/// printed stays.
fn process(port: u32) -> Option<String> {
    let pid = i32::try_from(port).ok().filter(|pid| *pid > 0)?;
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    let printable =
        name.trim_ascii().iter().map(|octet| if octet.is_ascii_graphic() { char::from(*octet) } else { '?' });
    Some(printable.collect()).filter(|name: &String| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u8 = 186;

    fn header(kind: u16, flags: u16, port: u32) -> Header {
        Header { kind, flags, sequence: 0, port }
    }

    fn route(protocol: u8) -> [u8; 12] {
        [2, 32, 0, 0, 254, protocol, 0, 1, 0, 0, 0, 0]
    }

    #[test]
    fn whoever_changes_ours_is_told_once() {
        let mut requesters = Requesters::new(OURS);
        let me = std::process::id();
        let told = requesters.news(header(message::DELROUTE, 0, me), &route(OURS)).unwrap();
        assert_eq!(told.port, me);
        assert!(told.process.is_some_and(|name| !name.is_empty()));
        assert_eq!(requesters.news(header(message::DELROUTE, 0, me), &route(OURS)), None);
        let kernel = requesters.news(header(message::DELNEXTHOP, 0, 0), &[0, 0, OURS, 0, 0, 0, 0, 0]);
        assert_eq!(kernel, Some(Requester { port: 0, process: None }));
        assert!(requesters.news(header(message::NEWROUTE, flag::REPLACE, u32::MAX), &route(4)).is_some());
    }

    #[test]
    fn changes_of_others_are_nobodys_business() {
        let mut requesters = Requesters::new(OURS);
        for (kind, payload) in [
            (message::DELROUTE, route(4)),
            (message::NEWROUTE, route(4)),
            (message::NEWNEIGH, route(OURS)),
            (message::DELNEXTHOP, [0; 12]),
        ] {
            assert_eq!(requesters.news(header(kind, 0, 1), &payload), None);
        }
        assert_eq!(requesters.news(header(message::DELROUTE, 0, 1), &[]), None);
    }
}
