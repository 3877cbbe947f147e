//! Hitless restart: sessions, listening sockets and routes go from one process to the next.
//!
//! Road out: the daemon is told to hand over, by SIGUSR2 (to the service manager's store, `store`) or by a process that
//! connects (`replace`). [`crate::supervisor`] brings everything to rest at one consistent point and makes a [`Handed`];
//! it is written in the format of [`state`] into a memory file and goes with the sockets. Then the process ends, without
//! a word to the peers and without touching the kernel.
//! Road in: [`take`] before there is a second thread; each socket is found by its addresses. What cannot be trusted is refused with a
//! reason in the log, as a whole or for a single peer, and what is left is what happens at any other start.
//!
//! Not here: what a session is (`bgp-session`), what routes are (`bgp-rib`), how routes in the kernel are adopted
//! (`bgp-fib`).

mod descriptors;
mod group;
mod replace;
pub mod state;
mod store;
mod stream;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use bgp_session::Endpoints;
use tokio::net::UnixListener;
use tracing::{error, info, warn};

use self::descriptors::{Found, identify};
pub use self::state::{Orders, PeerState, Routes, State};
pub use self::store::Service;
pub use self::stream::Stream;

/// Everything that goes to the next process.
#[derive(Debug, Default)]
pub struct Handed {
    /// What is known.
    pub state: State,
    /// The listening sockets.
    pub listeners: Vec<OwnedFd>,
    /// The connections of the sessions.
    pub sessions: Vec<OwnedFd>,
}

/// Everything that came from the process before.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listening sockets, open all the time.
    pub listeners: Vec<TcpListener>,
    /// What the other process knew; absent where there was none, or it cannot be trusted.
    pub state: Option<State>,
    /// Connections by their two ends.
    pub connections: BTreeMap<(SocketAddr, SocketAddr), TcpStream>,
}

/// Who gets it.
#[derive(Debug)]
pub enum To {
    /// The service manager, for the process that it starts next.
    Store,
    /// A process that runs already, and its id.
    Process(UnixStream, i32),
}

impl To {
    /// Whether there is somebody to give it to.
    ///
    /// # Errors
    /// There is nobody; says what is missing.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Store if !store::exists() => Err("no service manager keeps descriptors for us"),
            // Else it would take our end for the end of the service, and start another one.
            Self::Process(_, pid) if store::exists() && !group::is_beside(*pid) => Err(
                "a service manager watches it, which follows no process outside of the service's control group; \
                     start it as root, or restart the service instead, which hands over as well",
            ),
            Self::Store | Self::Process(..) => Ok(()),
        }
    }

    /// Gives it away.
    ///
    /// # Errors
    /// Nobody has taken it: the sessions end with this process.
    pub fn give(&self, handed: &Handed) -> std::io::Result<()> {
        match self {
            Self::Store => store::give(handed),
            Self::Process(stream, pid) => {
                store::follow(*pid)?;
                replace::give(stream, handed)
            }
        }
    }

    /// Says why nothing is given.
    pub fn refuse(&self, why: &str) {
        error!("not handed over: {why}");
        if let Self::Process(stream, _) = self {
            replace::refuse(stream, why);
        }
    }
}

/// Where a process that wants to take over connects. Where the socket cannot be made, nobody can; everything else works.
#[derive(Debug)]
pub struct Successors(Option<UnixListener>, PathBuf);

impl Successors {
    /// Listens beside the control socket.
    pub fn listen(control: &Path) -> Self {
        let listener = replace::bind(control)
            .inspect_err(|error| warn!("no process can take over by --replace: {error:#}"))
            .ok();
        Self(listener, replace::path(control))
    }

    /// Waits for a process that wants to take over.
    pub async fn next(&self) -> To {
        match &self.0 {
            Some(listener) => {
                let (stream, pid) = replace::next(listener).await;
                To::Process(stream, pid)
            }
            None => std::future::pending().await,
        }
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        if self.0.is_some()
            && let Err(error) = std::fs::remove_file(&self.1)
        {
            warn!(path = %self.1.display(), %error, "the hand-over socket cannot be removed");
        }
    }
}

/// What the service manager has kept, or with `replace` the running process has; once, at the very start. Whoever gave it
/// is gone then.
///
/// # Errors
/// The running process does not hand over.
pub fn take(replace: bool, control: &Path) -> anyhow::Result<Inherited> {
    let mut descriptors = store::take();
    if replace {
        descriptors.extend(replace::take(control)?);
    }
    let inherited = sort(descriptors);
    if let Some(service) = inherited.state.as_ref().and_then(|state| state.service.as_ref()) {
        store::adopt(service);
    }
    Ok(inherited)
}

/// Before [`take`] with `replace`, and while this process is root: moves it into the control group of the service whose
/// process it replaces, if that is a service.
///
/// # Errors
/// It is a service, and this process cannot be its main one. Nothing is handed over, and the running process goes on.
pub fn join(control: &Path) -> anyhow::Result<()> {
    let Some(pid) = replace::running(control) else { return Ok(()) };
    if let Some(group) = group::join(pid)? {
        info!(%group, pid, "joined the service of the running process");
    }
    Ok(())
}

/// How the service manager is spoken to, for the process that goes on.
pub fn service() -> Option<Service> {
    store::service()
}

fn sort(descriptors: Vec<OwnedFd>) -> Inherited {
    let mut inherited = Inherited::default();
    if descriptors.is_empty() {
        return inherited;
    }
    let mut lost = 0usize;
    for descriptor in descriptors {
        match identify(descriptor) {
            Found::Listening(listener) => inherited.listeners.push(listener),
            Found::Memory(file) => inherited.state = read(file).or(inherited.state),
            Found::Connection(stream) => match ends(&stream) {
                Some(ends) => drop(inherited.connections.insert(ends, stream)),
                None => lost += 1,
            },
        }
    }
    info!(
        program = inherited.state.as_ref().map_or("-", |state| state.program.as_str()),
        sessions = inherited.state.as_ref().map_or(0, |state| state.peers.len()),
        connections = inherited.connections.len(),
        lost,
        listeners = inherited.listeners.len(),
        "taking over from the process before"
    );
    if inherited.state.is_none() {
        // Nobody could say what was agreed on over them.
        inherited.connections.clear();
    }
    inherited
}

fn read(file: OwnedFd) -> Option<State> {
    match State::take(file.into()) {
        Ok(state) => Some(state),
        Err(why) => {
            error!("the state of the process before is refused: {why}; its sessions begin anew");
            None
        }
    }
}

/// The two ends of a connection as a session knows them; `None` where it has broken meanwhile.
fn ends(stream: &TcpStream) -> Option<(SocketAddr, SocketAddr)> {
    Some((plain(stream.local_addr().ok()?), plain(stream.peer_addr().ok()?)))
}

/// An address without scope, and IPv4 as IPv4.
pub fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Inherited {
    /// The connection of a session; `None` where it has broken meanwhile.
    pub fn connection(&mut self, endpoints: Endpoints) -> Option<TcpStream> {
        self.connections.remove(&(endpoints.local, endpoints.remote))
    }
}

#[cfg(test)]
mod tests {
    use super::state::tests::sample;
    use super::*;

    #[test]
    fn everything_is_found_again_and_a_state_counts_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ends = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let state = descriptors::memory(|file| sample().write(file)).unwrap();
        let copy = state.try_clone().unwrap();
        let mut inherited = sort(vec![client.into(), state, listener.into()]);
        assert_eq!(inherited.listeners.len(), 1);
        assert_eq!(
            inherited.state,
            Some(State { peers: inherited.state.clone().unwrap().peers, ..sample() })
        );
        assert!(inherited.connection(Endpoints { local: ends.0, remote: ends.1 }).is_some());
        assert_eq!(sort(vec![copy]).state, None);
    }

    #[test]
    fn without_a_state_no_connection_goes_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let damaged = descriptors::memory(|file| std::io::Write::write_all(file, b"nonsense")).unwrap();
        let inherited = sort(vec![listener.into(), client.into(), damaged]);
        assert_eq!((inherited.listeners.len(), inherited.connections.len()), (1, 0));
        assert_eq!(inherited.state, None);
    }
}
