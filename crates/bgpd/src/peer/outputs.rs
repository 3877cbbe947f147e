//! Carrying out what the session wants, and answering messages of the supervisor.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use bgp_api::EventKind;
use bgp_session::{Command, Direction, Down, Negotiated, Note, Output, RouteRetention};
use bgp_wire::Family;
use tokio::sync::mpsc;
use tracing::{Span, debug, info, warn};

use super::{Configure, Connection, PeerStatus, Task, ToPeer, dial, malformed};
use crate::config::Password;
use crate::local::{LocalEnd, LookUp};
use crate::routing::FromPeer;

impl Task {
    /// Connections that are up follow a changed TCP MD5 key. To begin or to end signing takes a new connection, for
    /// which the supervisor resets the session.
    fn change_key(&self, new: Option<&Password>) {
        let (Some(old), Some(new)) = (&self.dial_options.password, new) else { return };
        if old == new {
            return;
        }
        for connection in &self.connections {
            match connection.change_key(new) {
                Ok(()) => info!("the TCP MD5 key of the connection is changed"),
                Err(error) => warn!(%error, "the TCP MD5 key of the connection cannot be changed"),
            }
        }
    }

    /// One output of the session.
    pub(super) fn carry_out(&mut self, output: Output) {
        let span = if matches!(output, Output::Update(_)) { Span::none() } else { self.span.clone() };
        let _said_of = span.entered();
        match output {
            Output::Dial => self.dial = Some(Box::pin(dial(self.dial_options.clone()))),
            Output::AbortDial => self.dial = None,
            Output::Send(id, octets) => self.queue(id, octets),
            Output::Close(id) => {
                if let Some(at) = self.connections.iter().position(|connection| connection.id == id) {
                    let connection = self.connections.swap_remove(at);
                    self.close(connection);
                }
            }
            Output::Up(negotiated) => self.on_up(*negotiated),
            Output::Update(update) => {
                self.batch_octets += update.nlri_octets();
                self.batch.push(update);
            }
            Output::Refresh(refresh) => {
                self.flush_batch();
                self.pending.push_back(FromPeer::Refresh { peer: self.identity.id, refresh });
            }
            Output::FirstKeepalive => {
                self.flush_batch();
                self.pending.push_back(FromPeer::FirstKeepalive { peer: self.identity.id });
            }
            Output::Down(down) => self.on_down(&down),
            Output::Note(note) => self.log(&note),
        }
    }

    fn on_up(&mut self, negotiated: Negotiated) {
        let families: Vec<_> = Family::ALL
            .into_iter()
            .filter(|family| negotiated.families[*family])
            .map(|family| family.to_string())
            .collect();
        info!(
            remote_as = %negotiated.remote_asn,
            router_id = %negotiated.remote_router_id,
            host = negotiated.fqdn.as_deref().unwrap_or("-"),
            hold_time = negotiated.hold_time.as_secs(),
            families = families.join(","),
            "session up"
        );
        self.hub.publish(|| EventKind::SessionUp {
            peer: self.identity.address.to_string(),
            remote_as: negotiated.remote_asn.0,
            hostname: negotiated.fqdn.clone(),
            families,
        });
        self.link(negotiated);
    }

    /// Tells routing that the session is up, and takes UPDATEs from there.
    pub(super) fn link(&mut self, negotiated: Negotiated) {
        self.handle.established.store(true, Ordering::Relaxed);
        self.established = Some(negotiated.connection);
        let (local, remote) = (negotiated.endpoints.local.ip(), negotiated.endpoints.remote.ip());
        let connection = self.connections.iter().find(|connection| connection.id == negotiated.connection);
        self.own_end = Some(LookUp::begin(local, remote, connection.and_then(Connection::link)));
        // One buffer at a time: routing makes the next only when this one has been taken.
        let (sender, chunks) = mpsc::channel(1);
        self.chunks = Some(chunks);
        self.credit = false;
        self.flush_batch();
        self.pending.push_back(FromPeer::Up {
            peer: self.identity.id,
            negotiated: Box::new(negotiated),
            local: LocalEnd::default(),
            chunks: sender,
        });
    }

    /// What routing is told of the session that is up is complete.
    pub(super) fn on_own_end(&mut self, found: LocalEnd) {
        self.own_end = None;
        let up = self.pending.iter_mut().rev().find_map(|message| match message {
            FromPeer::Up { local, .. } => Some(local),
            _ => None,
        });
        if let Some(local) = up {
            *local = found;
        }
    }

    fn on_down(&mut self, down: &Down) {
        let is_kept = matches!(down.retention, RouteRetention::KeepStale { .. });
        self.handle.kept.store(is_kept, Ordering::Relaxed);
        self.handle.established.store(false, Ordering::Relaxed);
        let next =
            down.next_attempt.map(|at| at.saturating_duration_since(std::time::Instant::now()).as_secs());
        info!(
            reason = %down.reason,
            lasted = down.lasted.as_secs(),
            next_attempt = next.map_or_else(|| "none".to_owned(), |seconds| format!("{seconds} s")),
            routes = routes_in_words(&down.retention),
            "session down"
        );
        self.hub.publish(|| EventKind::SessionDown {
            peer: self.identity.address.to_string(),
            reason: down.reason.to_string(),
            next_attempt_seconds: next,
        });
        *self.downs.entry(down.reason.label()).or_default() += 1;
        self.established = None;
        self.chunks = None;
        self.credit = false;
        self.flush_batch();
        self.pending.push_back(FromPeer::Down { peer: self.identity.id, retention: down.retention });
    }

    /// One message of the supervisor; `Break` ends the task.
    pub(super) async fn on_message(&mut self, message: ToPeer) -> ControlFlow<()> {
        match message {
            ToPeer::Incoming(stream) => self.take_connection(stream, Direction::Incoming),
            ToPeer::Command(command) => {
                if keeps_nothing(&command) {
                    self.let_go();
                }
                self.with_session(|session, now, outputs| session.command(command, now, outputs));
            }
            ToPeer::Configure(changed) => {
                let Configure { config, dial, settings } = *changed;
                self.change_key(dial.password.as_ref());
                self.dial_options = dial;
                self.pending.push_back(self.settings_message(settings));
                if config.shutdown.is_some() {
                    self.let_go();
                }
                // What counts only from the next session on, the supervisor asks for by a reset.
                self.with_session(|session, now, outputs| {
                    session.set_config(config, now, outputs);
                });
            }
            ToPeer::Status(reply) => {
                // Whoever asked may have given up waiting.
                drop(reply.send(self.status()));
            }
            ToPeer::Rest(rest) => return self.rest(rest).await,
            ToPeer::End(command, done) => {
                self.with_session(|session, now, outputs| session.command(command, now, outputs));
                for connection in std::mem::take(&mut self.connections) {
                    self.close(connection);
                }
                self.pending.push_back(FromPeer::Removed { peer: self.identity.id });
                // Also the Adj-RIBs of before: routing waits for all that it was told of. It may be gone, and the supervisor
                // be on its way out itself.
                self.give_all().await.ok();
                done.send(std::mem::take(&mut self.closing)).ok();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Closes a connection, and remembers that its last octets are on their way.
    fn close(&mut self, connection: Connection) {
        self.closing.retain(|closing| !closing.is_finished());
        self.closing.extend(connection.close());
    }

    /// Has routing let go of what it keeps of a session that has ended; one that is up is told its own end.
    fn let_go(&mut self) {
        if self.established.is_none() {
            self.handle.kept.store(false, Ordering::Relaxed);
            let retention = RouteRetention::Remove;
            self.pending.push_back(FromPeer::Down { peer: self.identity.id, retention });
        }
    }

    fn status(&self) -> PeerStatus {
        PeerStatus {
            session: self.session.status(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            last_received: self.last_received,
            downs: self.downs.clone(),
            queued_in: self.connections.iter().map(|connection| connection.inbound.len()).sum(),
            queued_out: self.connections.iter().map(Connection::backlog).sum(),
            waiting_for_routing: self.pending.len(),
        }
    }

    fn log(&mut self, note: &Note) {
        match note {
            Note::State { from, to } => debug!(%from, %to, "state"),
            Note::DialFailed { reason, next_attempt: _ } => debug!(reason, "dial failed"),
            Note::Refused { connection, reason } => info!(%connection, reason, "connection refused"),
            Note::Failed { connection, reason, next_attempt: _ } => info!(%connection, %reason, "no session"),
            Note::Collision { closed, direction } => debug!(%closed, %direction, "connection collision"),
            Note::Malformed(message) => {
                malformed::log(message, &mut self.malformed, std::time::Instant::now());
            }
        }
    }
}

/// Whether what is kept of the session before goes with it as well: where it would end a session whose routes go at once.
fn keeps_nothing(command: &Command) -> bool {
    match command {
        Command::Shutdown(_)
        | Command::Reset(_)
        | Command::Deconfigure
        | Command::NodeGone(_)
        | Command::MaximumPrefix { .. } => true,
        Command::BfdDown { forwards, .. } => !forwards,
        Command::Start | Command::LiftLimit | Command::Leave => false,
    }
}

/// What becomes of the routes of a session that has ended.
fn routes_in_words(retention: &RouteRetention) -> String {
    match retention {
        RouteRetention::Remove => "removed".to_owned(),
        RouteRetention::KeepStale { time, families, long_lived, .. } => {
            let kept = |family: &Family| families[*family] || !long_lived[*family].is_zero();
            let kept: Vec<String> =
                Family::ALL.iter().filter(|family| kept(family)).map(ToString::to_string).collect();
            let longest = long_lived.iter().map(|(_, time)| time.as_secs()).max().unwrap_or(0);
            let longer = if longest > 0 {
                format!(", as the last choice for {longest} s more")
            } else {
                String::new()
            };
            format!("{} kept for {} s{longer}", kept.join(" and "), time.as_secs())
        }
    }
}
