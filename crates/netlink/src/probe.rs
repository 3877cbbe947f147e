//! Having the kernel ask a neighbour whether it is still there.
//!
//! Two requests do that, each in its own states, so the entry is looked at first. `NTF_USE` starts the resolution of an
//! entry that is missing or failed, but leaves a stale one five seconds to prove itself. `NUD_PROBE` asks at once, but
//! needs a link-layer address, and would turn an entry that the administrator made permanent into an ordinary one.

use std::net::IpAddr;

use bgp_fib::{KernelError, NeighborState};

use crate::decode::state_of_neighbor;
use crate::encode::{family_of, put_address};
use crate::message::Writer;
use crate::requests::{Layout, Requests};
use crate::uapi::{flag, message, neighbor};

/// Has the kernel solicit `address` on the link `ifindex` now.
pub(crate) fn probe(requests: &mut Requests, ifindex: u32, address: IpAddr) -> Result<(), KernelError> {
    let attributes = |request: &mut Writer<'_>| put_address(request, neighbor::DST, address);
    let mut ask = |kind, flags, state: u16, use_flag: u8, reply: &mut dyn FnMut(&[u8])| {
        let fixed = header(family_of(address), ifindex, state, use_flag);
        let layout = Layout { fixed: &fixed, attributes: &attributes };
        requests.ask(kind, flags, layout, |_, payload| reply(payload))
    };
    let mut state = NeighborState::None;
    let found = ask(message::GETNEIGH, 0, 0, 0, &mut |payload| {
        state = state_of_neighbor(payload).unwrap_or(NeighborState::None);
    });
    match found {
        Ok(()) => {}
        Err(error) if error.errno == libc::ENOENT => state = NeighborState::None,
        Err(error) => return Err(error),
    }
    match state {
        NeighborState::Reachable | NeighborState::Stale | NeighborState::Delay => {
            ask(message::NEWNEIGH, flag::REPLACE, neighbor::STATE_PROBE, 0, &mut |_| {})
        }
        NeighborState::None | NeighborState::Failed => {
            ask(message::NEWNEIGH, flag::CREATE, 0, neighbor::FLAG_USE, &mut |_| {})
        }
        // Being asked already, or nothing to ask.
        NeighborState::Incomplete
        | NeighborState::Probe
        | NeighborState::Permanent
        | NeighborState::NoArp => Ok(()),
    }
}

/// `struct ndmsg`.
fn header(family: u8, ifindex: u32, state: u16, flags: u8) -> [u8; 12] {
    let [a, b, c, d] = ifindex.to_ne_bytes();
    let [low, high] = state.to_ne_bytes();
    [family, 0, 0, 0, a, b, c, d, low, high, flags, 0]
}
