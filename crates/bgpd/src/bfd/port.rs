//! The port that BFD packets of a family arrive at, RFC 5881 section 4: opened when somebody needs it, as soon as it is free.

use std::io;
use std::net::IpAddr;

use crate::net::BfdReceiver;

/// See the module.
#[derive(Default)]
pub(super) struct Port {
    pub(super) receiver: Option<BfdReceiver>,
    /// It could not be opened when that was tried last.
    refused: bool,
}

impl Port {
    /// Opens it for packets of `peer` and others of its family.
    ///
    /// # Errors
    /// Why it cannot be opened, and whether that is news.
    pub(super) fn open(&mut self, peer: IpAddr) -> Result<(), (io::Error, bool)> {
        if self.receiver.is_none() {
            let opened = BfdReceiver::open(peer);
            let refused = std::mem::replace(&mut self.refused, opened.is_err());
            self.receiver = Some(opened.map_err(|error| (error, !refused))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_news_once_whatever_else_is_missing() {
        // Where this fails somebody else has it.
        let taken = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, bgp_bfd::CONTROL_PORT));
        let mut port = Port::default();
        let is_news = |port: &mut Port| port.open([172, 50, 0, 2].into()).map_err(|(_, is_news)| is_news);
        assert_eq!((is_news(&mut port), is_news(&mut port)), (Err(true), Err(false)));
        drop(taken);
    }
}
