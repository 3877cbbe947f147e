//! GRACEFUL_SHUTDOWN (RFC 8326) by an operator's command: what peers are told says that their sessions will be closed,
//! until that is taken back. The configuration's `graceful-shutdown` says the same beside it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_api::{ErrorCode, ErrorReply};
use tracing::{info, warn};

use super::Supervisor;
use super::actions::unknown;
use crate::config::{Settings, Shutdown};
use crate::handover::Orders;
use crate::peer::{Configure, ToPeer};
use crate::session_config;

impl Supervisor {
    /// Has one peer told so, or no longer.
    pub(super) async fn close_gracefully(
        &mut self,
        address: IpAddr,
        closes: bool,
    ) -> Result<String, ErrorReply> {
        let for_all = self.closing;
        let Some(entry) = self.peers.get_mut(address) else { return Err(unknown(address)) };
        if !closes {
            if entry.settings.graceful_shutdown {
                let text = format!("the configuration has graceful-shutdown = true for {address}");
                return Err(ErrorReply::new(ErrorCode::Conflict, text)
                    .with_hint("set it to false in the file, then bgpctl reload"));
            }
            if for_all {
                return Err(ErrorReply::new(ErrorCode::Conflict, "it was ordered for all neighbors")
                    .with_hint("bgpctl neighbor all no-graceful-shutdown"));
            }
        }
        let was = std::mem::replace(&mut entry.orders.closing, closes);
        let up = if entry.is_up() { "the session stays; " } else { "when it is up, " };
        info!(peer = %address, closes, "operator: GRACEFUL_SHUTDOWN");
        self.configure(address).await;
        Ok(match (closes, was) {
            (true, _) => format!("{up}all that it is told carries GRACEFUL_SHUTDOWN"),
            (false, true) => format!("{up}what it is told carries GRACEFUL_SHUTDOWN no longer"),
            (false, false) => "was not ordered".to_owned(),
        })
    }

    /// The same for every peer, and for those that are still to come.
    pub(super) async fn close_all_gracefully(&mut self, closes: bool) -> String {
        self.closing = closes;
        self.ordered.values_mut().for_each(|orders| orders.closing &= closes);
        info!(closes, "operator: GRACEFUL_SHUTDOWN for all peers");
        let all: Vec<IpAddr> = self.peers.iter().map(|(address, _)| address).collect();
        let mut configured = 0;
        for address in &all {
            if let Some(entry) = self.peers.get_mut(*address) {
                entry.orders.closing &= closes;
                configured += usize::from(entry.settings.graceful_shutdown);
            }
            self.configure(*address).await;
        }
        let neighbors = if all.len() == 1 { "neighbor" } else { "neighbors" };
        match (closes, configured) {
            (true, _) => format!(
                "all that {} {neighbors} and later ones are told carries GRACEFUL_SHUTDOWN",
                all.len()
            ),
            (false, 0) => {
                format!("what {} {neighbors} are told carries GRACEFUL_SHUTDOWN no longer", all.len())
            }
            (false, _) => format!(
                "of {} {neighbors} {configured} are still told GRACEFUL_SHUTDOWN, by the configuration's graceful-shutdown",
                all.len()
            ),
        }
    }

    /// A peer's settings with what an operator has ordered.
    pub(super) fn in_force(&self, settings: &Arc<Settings>, orders: &Orders) -> Arc<Settings> {
        let graceful_shutdown = settings.graceful_shutdown || orders.closing || self.closing;
        if graceful_shutdown == settings.graceful_shutdown && orders.shutdown.is_none() {
            return Arc::clone(settings);
        }
        let mut settings = Settings { graceful_shutdown, ..Settings::clone(settings) };
        if orders.shutdown.is_some() {
            settings.session.shutdown = Shutdown::Yes { reason: orders.shutdown.clone() };
        }
        Arc::new(settings)
    }

    /// Remembers what is ordered for a peer that ends and will be there again, as what it is configured to be then.
    pub(super) fn remember_orders(&mut self, address: IpAddr) {
        let entry = self.peers.get(address).filter(|entry| entry.has_orders());
        if let Some(orders) = entry.map(|entry| entry.orders.clone())
            && self.place_of(address).is_some()
        {
            self.ordered.insert(address, orders);
        }
    }

    /// Hands a peer the settings that are in force.
    pub(super) async fn configure(&self, address: IpAddr) {
        let Some(entry) = self.peers.get(address) else { return };
        let config = self.session_config(address, &entry.settings);
        let dial = session_config::dial(address, entry.interface.as_deref(), &entry.settings);
        let settings = self.in_force(&entry.settings, &entry.orders);
        let message = ToPeer::Configure(Box::new(Configure { config, dial, settings }));
        self.tell(address, message).await;
    }

    /// A message to a peer's task, which may be too busy to take it.
    pub(super) async fn tell(&self, address: IpAddr, message: ToPeer) {
        let Some(entry) = self.peers.get(address) else { return };
        if entry.handle.inbox.send_timeout(message, Duration::from_secs(2)).await.is_err() {
            warn!(peer = %address, "the peer's task is too busy for its new settings");
        }
    }
}
