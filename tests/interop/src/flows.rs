//! Long-lived TCP connections to a service: which node each is on, and which of them live through an event.
//!
//! The backend says its node's name when a connection comes and then sends back what it gets. Every connection exchanges a
//! line ten times a second, each at its own moment and whatever becomes of the others, so all of them are in use; one that
//! gets no answer for `PATIENCE`, or an error, is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::programs::binary;
use crate::wait::{self, seconds, until};

/// Where the backends listen.
pub const PORT: u16 = 7;
/// How long an answer may take. No connection breaks because this machine is slow.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two lines of one connection.
const PACE: Duration = Duration::from_millis(100);
/// Between two looks at those that wait for an answer.
const LOOK: Duration = Duration::from_millis(2);
/// Lines of a connection that show a break that has already happened.
const LAST_LINES: usize = 5;

/// Serves until the process ends: the name, then an echo.
pub fn serve(bind: SocketAddr, name: &str) -> Result<()> {
    let listener = TcpListener::bind(bind).with_context(|| format!("listen on {bind}"))?;
    for connection in listener.incoming() {
        let name = name.to_owned();
        match connection {
            Ok(stream) => drop(thread::spawn(move || echo(stream, &name))),
            Err(error) => eprintln!("accept: {error}"),
        }
    }
    Ok(())
}

fn echo(mut stream: TcpStream, name: &str) {
    let mut octets = [0; 64];
    let mut answer = writeln!(stream, "{name}");
    while answer.is_ok() {
        answer = match stream.read(&mut octets) {
            Ok(0) | Err(_) => return,
            Ok(len) => stream.write_all(&octets[..len]),
        };
    }
}

/// Starts a backend on every node and waits until each listens.
pub fn start_backends(lab: &Lab) -> Result<Vec<Process>> {
    let mut backends = Vec::new();
    for node in &lab.nodes {
        let mut command = node.namespace.command(binary("lab-node")?);
        command.args(["echo", "--name", &node.name, "--bind", &format!("[::]:{PORT}")]);
        backends.push(Process::start(&format!("echo-{}", node.name), &mut command, lab.dir())?);
        let address: SocketAddr = format!("[{}]:{PORT}", node.v6()).parse()?;
        until(&format!("{} answers on port {PORT}", node.name), wait::PATIENCE, || {
            lab.host.inside(|| TcpStream::connect_timeout(&address, seconds(1)).is_ok())
        })?;
    }
    Ok(backends)
}

/// One connection and the node at its other end.
#[derive(Debug)]
struct Flow {
    stream: TcpStream,
    node: String,
    is_broken: bool,
    is_ended: bool,
    /// When the next line is due.
    due: Instant,
    /// A line whose answer has not come whole: since when, and how many octets are missing.
    asked: Option<(Instant, usize)>,
    longest_wait: Duration,
    /// Lines that are still to be exchanged once it is told to stop.
    left: usize,
}

/// Connections that exchange lines on a thread of their own until [`Flows::finish`].
#[derive(Debug)]
pub struct Flows {
    stop: Arc<AtomicBool>,
    /// Nodes on which the client is to end its connections.
    leave: Arc<Mutex<BTreeSet<String>>>,
    thread: JoinHandle<Vec<Flow>>,
    nodes: BTreeMap<String, usize>,
}

/// What became of connections, by the node they were on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Those that are broken.
    pub broken: BTreeMap<String, usize>,
    /// Those that live.
    pub alive: BTreeMap<String, usize>,
    /// Those that the client has ended, see [`Flows::end_on`].
    pub ended: BTreeMap<String, usize>,
    /// The longest that one of those that live has waited for an answer.
    pub longest_wait: BTreeMap<String, Duration>,
}

impl Fate {
    /// Broken connections of nodes other than `node`.
    pub fn broken_beside(&self, node: &str) -> usize {
        self.broken.iter().filter(|(name, _)| *name != node).map(|(_, count)| count).sum()
    }
}

impl Flows {
    /// Opens so many connections from a namespace.
    pub fn open(from: &Namespace, remote: SocketAddr, count: usize) -> Result<Self> {
        let mut flows: Vec<Flow> =
            from.inside(|| (0..count).map(|_| Flow::open(remote)).collect::<Result<_>>())??;
        // Not all at once: an event of some milliseconds meets a few of them.
        for (number, flow) in (0..).zip(&mut flows) {
            flow.due = Instant::now() + PACE * number / u32::try_from(count)?;
        }
        let mut nodes = BTreeMap::new();
        for flow in &flows {
            *nodes.entry(flow.node.clone()).or_default() += 1;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let leave = Arc::new(Mutex::new(BTreeSet::new()));
        let (stopped, left) = (Arc::clone(&stop), Arc::clone(&leave));
        let thread = thread::spawn(move || exchange_until(flows, &stopped, &left));
        Ok(Self { stop, leave, thread, nodes })
    }

    /// How many connections each node has got.
    pub fn nodes(&self) -> &BTreeMap<String, usize> {
        &self.nodes
    }

    /// Has the client end its connections to a node, those that still live.
    pub fn end_on(&self, node: &str) {
        self.leave.lock().unwrap_or_else(PoisonError::into_inner).insert(node.to_owned());
    }

    /// Lets every connection exchange a few more lines, and says what has become of each.
    pub fn finish(self) -> Result<Fate> {
        self.stop.store(true, Ordering::SeqCst);
        let flows = self.thread.join().map_err(|_| anyhow!("the thread of the connections panicked"))?;
        let mut fate = Fate::default();
        for flow in flows {
            let side = match (flow.is_broken, flow.is_ended) {
                (true, _) => &mut fate.broken,
                (false, true) => &mut fate.ended,
                (false, false) => {
                    let longest = fate.longest_wait.entry(flow.node.clone()).or_default();
                    *longest = flow.longest_wait.max(*longest);
                    &mut fate.alive
                }
            };
            *side.entry(flow.node).or_default() += 1;
        }
        Ok(fate)
    }
}

impl Flow {
    fn open(remote: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&remote, PATIENCE).context("connect to the service")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut name = Vec::new();
        let mut octet = [0];
        while stream.read(&mut octet)? == 1 && octet != *b"\n" {
            name.extend_from_slice(&octet);
        }
        ensure!(!name.is_empty(), "{remote} closed a new connection");
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            node: String::from_utf8(name)?,
            is_broken: false,
            is_ended: false,
            due: Instant::now(),
            asked: None,
            longest_wait: Duration::ZERO,
            left: 0,
        })
    }

    fn lives(&self) -> bool {
        !self.is_broken && !self.is_ended
    }

    /// Sends a line when one is due, or looks for the answer to the last one.
    fn turn(&mut self, now: Instant) {
        match self.asked {
            None if self.due <= now => self.ask(now),
            None => {}
            Some((since, missing)) => self.hear(since, missing, now),
        }
    }

    fn ask(&mut self, now: Instant) {
        const LINE: &[u8; 8] = b"are you\n";
        self.due = now + PACE;
        match self.stream.write(LINE) {
            Ok(len) if len == LINE.len() => self.asked = Some((now, len)),
            Ok(_) | Err(_) => self.is_broken = true,
        }
    }

    fn hear(&mut self, since: Instant, missing: usize, now: Instant) {
        let mut octets = [0; 8];
        match self.stream.read(&mut octets[..missing]) {
            Ok(len) if len == missing => {
                self.asked = None;
                self.longest_wait = self.longest_wait.max(since.elapsed());
                self.left = self.left.saturating_sub(1);
            }
            Ok(len) if len > 0 => self.asked = Some((since, missing - len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock && now < since + PATIENCE => {}
            Ok(_) | Err(_) => self.is_broken = true,
        }
    }
}

/// Goes on until told to stop, and then until each that lives has exchanged some lines more.
fn exchange_until(mut flows: Vec<Flow>, stop: &AtomicBool, leave: &Mutex<BTreeSet<String>>) -> Vec<Flow> {
    let mut is_stopping = false;
    while !is_stopping || flows.iter().any(|flow| flow.lives() && flow.left > 0) {
        if !is_stopping && stop.load(Ordering::SeqCst) {
            is_stopping = true;
            flows.iter_mut().for_each(|flow| flow.left = LAST_LINES);
        }
        end(&mut flows, &leave.lock().unwrap_or_else(PoisonError::into_inner));
        let now = Instant::now();
        flows.iter_mut().filter(|flow| flow.lives()).for_each(|flow| flow.turn(now));
        thread::sleep(LOOK);
    }
    flows
}

/// Ends the connections to these nodes.
fn end(flows: &mut [Flow], nodes: &BTreeSet<String>) {
    for flow in flows.iter_mut().filter(|flow| flow.lives() && nodes.contains(&flow.node)) {
        // The node's end closes when it reads that ours has.
        flow.is_ended = true;
        flow.is_broken = flow.stream.shutdown(std::net::Shutdown::Both).is_err();
    }
}
