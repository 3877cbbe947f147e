//! Which peers BFD watches: those whose settings say so and whom nobody has shut down.

use std::net::IpAddr;

use super::Supervisor;
use super::peers::Entry;
use crate::bfd::{Resting, Wish};

impl Supervisor {
    /// Has BFD do for a peer what holds for it now; for one that is no more, nothing.
    pub(super) fn set_bfd(&self, address: IpAddr) {
        match self.peers.get(address).and_then(wish) {
            Some(wish) => self.bfd.watch(address, wish),
            None => self.bfd.forget(address),
        }
    }

    /// Goes on with sessions of the process before, of peers that are there or will be at once. First of all: their peers
    /// wait.
    pub(super) fn resume_bfd(&self, sessions: Vec<Resting>, peers: &[IpAddr]) {
        for rest in sessions {
            let address = rest.address;
            let is_known = peers.contains(&address) || self.config.neighbors.contains_key(&address);
            let Some(place) = self.place_of(address).filter(|_| is_known) else { continue };
            let session = &place.settings.session;
            if let (Some(config), crate::config::Shutdown::No) = (place.settings.bfd, &session.shutdown) {
                let (interface, local) = (place.interface.clone(), session.local_address);
                self.bfd.watch(address, Wish { interface, local, config, resume: Some(rest) });
            }
        }
    }
}

fn wish(entry: &Entry) -> Option<Wish> {
    let config = entry.settings.bfd.filter(|_| !entry.shutdown)?;
    let local = entry.settings.session.local_address;
    Some(Wish { interface: entry.interface.clone(), local, config, resume: None })
}
