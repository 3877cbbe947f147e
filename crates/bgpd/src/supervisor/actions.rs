//! What an operator does to a neighbour: reset, shutdown, start; GRACEFUL_SHUTDOWN is `closing`'s.

use std::net::IpAddr;

use bgp_api::{ErrorCode, ErrorReply, NeighborAction};
use bgp_session::Command;
use tracing::info;

use super::Supervisor;
use crate::peer::ToPeer;

impl Supervisor {
    /// Does it, and says in words what was done.
    pub(super) async fn act(
        &mut self,
        address: Option<IpAddr>,
        action: NeighborAction,
        reason: Option<String>,
    ) -> Result<String, ErrorReply> {
        match (address, action) {
            (Some(address), action) => self.act_on(address, action, reason).await,
            (None, NeighborAction::GracefulShutdown) => Ok(self.close_all_gracefully(true).await),
            (None, NeighborAction::NoGracefulShutdown) => Ok(self.close_all_gracefully(false).await),
            (None, NeighborAction::Reset | NeighborAction::Shutdown | NeighborAction::Start) => {
                let text = format!("{action} takes one neighbor at a time");
                Err(ErrorReply::new(ErrorCode::BadRequest, text))
            }
        }
    }

    async fn act_on(
        &mut self,
        address: IpAddr,
        action: NeighborAction,
        reason: Option<String>,
    ) -> Result<String, ErrorReply> {
        let Some(entry) = self.peers.get_mut(address) else { return Err(unknown(address)) };
        let was_up = entry.is_up();
        info!(peer = %address, %action, reason = reason.as_deref().unwrap_or("none given"), "operator");
        let text = reason.unwrap_or_default();
        let (command, said) = match action {
            NeighborAction::Reset if entry.shutdown => {
                return Err(ErrorReply::new(ErrorCode::Conflict, format!("neighbor {address} is shut down"))
                    .with_hint(format!("bgpctl neighbor {address} start")));
            }
            NeighborAction::Reset if was_up => {
                (Command::Reset(text), "session closed with Cease/Administrative Reset")
            }
            NeighborAction::Reset => (Command::Reset(text), "was not up; starts anew"),
            NeighborAction::Shutdown if was_up => (
                Command::Shutdown(text),
                "session closed with Cease/Administrative Shutdown; stays down until started",
            ),
            NeighborAction::Shutdown => (Command::Shutdown(text), "stays down until started"),
            NeighborAction::Start if was_up => return Ok("is up already".to_owned()),
            NeighborAction::Start => (Command::Start, "started"),
            NeighborAction::GracefulShutdown => return self.close_gracefully(address, true).await,
            NeighborAction::NoGracefulShutdown => return self.close_gracefully(address, false).await,
        };
        match &command {
            Command::Shutdown(reason) => {
                (entry.shutdown, entry.orders.shutdown) = (true, Some(reason.clone()));
            }
            Command::Start => (entry.shutdown, entry.orders.shutdown) = (false, None),
            _ => {}
        }
        let inbox = entry.handle.inbox.clone();
        self.set_bfd(address);
        if inbox.send(ToPeer::Command(command)).await.is_err() {
            return Err(ErrorReply::new(
                ErrorCode::Unavailable,
                format!("neighbor {address} is being removed"),
            ));
        }
        Ok(said.to_owned())
    }
}

/// No such neighbour.
pub(crate) fn unknown(address: IpAddr) -> ErrorReply {
    ErrorReply::new(ErrorCode::NeighborUnknown, format!("no neighbor has the address {address}"))
        .with_hint("bgpctl show neighbors lists those that there are")
}
