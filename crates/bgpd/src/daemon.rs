//! The daemon as a whole: its tasks are made and joined here, in the order in which they need each other.
//!
//! Start: what listens is opened and system calls are fenced in; then come kernel, BFD, routing and supervisor, then those
//! who answer at the sockets; then the service manager hears READY, though the kernel may still be read. Stop: sessions
//! first, so that peers are told, then the kernel's table; the other way round where its routes stay. Hand-over: everything
//! comes to rest, peers and kernel hear nothing, and another process goes on. A task that ends by itself ends the daemon: a
//! service manager that restarts it does more good than half a daemon.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bgp_fib::{Fib, FibConfig, GroupKind, Resilient};
use bgp_netlink::groups::Abilities;
use bgp_netlink::{Kernel, KernelConfig, Moves};
use bgp_rib::{Rib, RibConfig};
use bgp_wire::{PerFamily, RouterId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::config::{Config, NexthopGroups, Restart, Sandbox};
use crate::control::{self, Control};
use crate::events::Hub;
use crate::handover::{Handed, Inherited, Successors, To};
use crate::listener::Listeners;
use crate::routing::{self, Inputs, Order, Routing};
use crate::sandbox::Fence;
use crate::supervisor::{self, Parts, Request, Supervisor};
use crate::{bfd, buckets, host, identity, metrics, random, sandbox, service, session_config};

/// How long the kernel may take to be left as configured.
pub(crate) const KERNEL_PATIENCE: Duration = Duration::from_secs(20);
/// The longest that a stop takes, for the service manager.
const STOP_AT_MOST: Duration = Duration::from_secs(25);
/// How far apart signals that were sent together are heard, with reserve for a machine that is busy.
const SIGNALS_TOGETHER: Duration = Duration::from_millis(100);

/// What the daemon starts with.
#[derive(Debug)]
pub struct Start {
    /// The checked configuration.
    pub config: Config,
    /// Its file.
    pub config_path: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Who may use it.
    pub rules: control::Rules,
    /// What the process before has handed over.
    pub inherited: Inherited,
}

/// The tasks that the daemon does not live without.
struct Tasks {
    supervisor: JoinHandle<()>,
    routing: JoinHandle<()>,
    /// Ends with the BFD thread.
    bfd: oneshot::Receiver<()>,
    requests: mpsc::Sender<Request>,
    orders: mpsc::Sender<Order>,
    /// Asks routing whether it goes on.
    pings: mpsc::Sender<oneshot::Sender<()>>,
    control: Arc<Control>,
    /// Whether the kernel's routes outlive the daemon.
    keep_routes: bool,
    /// What a restart does with the sessions.
    restart: Restart,
}

/// How the daemon's life ended.
enum End {
    /// Sessions closed, kernel left as configured.
    Stopped,
    /// Everything is at rest, and this process goes on with it.
    AtRest(Box<Handed>, To),
}

/// Runs until a signal ends it.
///
/// # Errors
/// A socket cannot be opened at the start, or a task ends by itself.
pub async fn run(mut start: Start) -> anyhow::Result<()> {
    let recorder = metrics::install()?;
    let listening = std::mem::take(&mut start.inherited.listeners);
    let config = &start.config;
    let router_id = identity::router_id(config.bgp.router_id)?;
    if config.kernel.set_multipath_hash_policy {
        host::set_multipath_hash_policy();
    }
    host::log(&host::checks(config.kernel.set_multipath_hash_policy));

    warn_of_unused_table(config.kernel.table).await;

    let listeners = Arc::new(Listeners::bind(&config.bgp.listen, listening)?);
    for (prefix, key) in session_config::keys(config) {
        listeners.set_key(prefix, Some(&key));
    }
    let socket = control::bind(&start.socket, &start.rules)?;
    let successors = Successors::listen(&start.socket);
    let scrapes = config.metrics.listen.map(metrics::Port::open);
    let mut signals = Signals::new()?;

    fence_calls(config.process.sandbox);
    let socket_path = start.socket.clone();
    let mut tasks = spawn(start, router_id, Arc::clone(&listeners))?;
    tokio::spawn(control::serve(socket, Arc::clone(&tasks.control)));
    if let Some(scrapes) = scrapes {
        tokio::spawn(metrics::serve(scrapes, recorder, Arc::clone(&tasks.control)));
    }
    listeners.start(&tasks.requests);
    if let Some(period) = service::watchdog_period() {
        tokio::spawn(feed_watchdog(period, tasks.requests.clone(), tasks.pings.clone()));
    }
    service::ready("running");
    info!(version = bgp_api::VERSION, %router_id, "bgpd-rs is running");

    let end = live(&mut tasks, &mut signals, &successors).await;
    drop(successors);
    if let Err(error) = std::fs::remove_file(&socket_path) {
        warn!(path = %socket_path.display(), %error, "the control socket cannot be removed");
    }
    match end? {
        End::Stopped => Ok(()),
        End::AtRest(handed, to) => give(handed, to).await,
    }
}

/// From here on, on every thread, only the system calls that the daemon needs.
fn fence_calls(mode: Sandbox) {
    match sandbox::calls::restrict(mode) {
        Fence::Closed => {}
        Fence::Partial => {
            warn!("process.sandbox is \"log\": system calls are logged by the kernel, not refused")
        }
        Fence::Open(why) => warn!("system calls are not fenced in: {why}"),
    }
}

/// Routes in a table that no policy rule leads to forward nothing.
async fn warn_of_unused_table(table: u32) {
    match bgp_netlink::rules::consulted(table).await {
        Ok(consulted) => {
            for (family, _) in consulted.iter().filter(|(_, consulted)| !**consulted) {
                warn!(
                    table,
                    %family,
                    "no policy rule leads to kernel.table: its routes forward nothing; `ip rule add lookup {table}`, \
                     with -6 for IPv6"
                );
            }
        }
        Err(error) => warn!(table, %error, "policy rules cannot be read"),
    }
}

fn spawn(start: Start, router_id: RouterId, listeners: Arc<Listeners>) -> anyhow::Result<Tasks> {
    let Start { config, config_path, socket, rules, inherited } = start;
    // Asked before the kernel is watched: the probe's objects are none of the table's business.
    let fib_config = fib_config(&config);
    let idle_timer = match fib_config.groups {
        GroupKind::Resilient(resilient) => Some(Duration::from_secs(resilient.idle_timer.into())),
        GroupKind::HashThreshold => None,
    };
    // Without routes of ours nobody goes by a bucket of ours.
    let has_buckets = idle_timer.filter(|_| fib_config.install);
    let hub = Hub::default();
    let (kernel, events) =
        Kernel::start(KernelConfig { table: config.kernel.table, ..KernelConfig::default() })
            .context("cannot speak with the kernel by netlink (is CAP_NET_ADMIN missing?)")?;
    let (keep_routes, restart) = (config.kernel.keep_routes_on_stop, config.process.restart);
    let ports = config.bgp.listen.iter().map(SocketAddr::port).collect();
    let rib = Rib::new(RibConfig {
        local_asn: config.bgp.asn,
        router_id,
        maximum_paths: config.bgp.maximum_paths.into(),
        multipath_relax: config.bgp.multipath_relax,
        backups: config.kernel.install && config.kernel.nexthop_backup,
        hash_seed: random::seed(),
    });
    let fib = Fib::new(fib_config, Instant::now());
    let (to_routing, from_peers) = routing::lanes();
    let (orders, received_orders) = mpsc::channel(routing::SMALL_QUEUE);
    let (queries, received_queries) = mpsc::channel(routing::SMALL_QUEUE);
    let (pings, received_pings) = mpsc::channel(1);
    let (requests, received_requests) = mpsc::channel(supervisor::QUEUE);

    let (to_routing_of_bfd, news) = mpsc::channel(bfd::NEWS);
    let (bfd, bfd_ended) =
        bfd::start(hub.clone(), to_routing_of_bfd).context("the BFD thread cannot be started")?;

    let inputs = Inputs {
        peers: from_peers,
        orders: received_orders,
        queries: received_queries,
        pings: received_pings,
        kernel: events,
        bfd: news,
    };
    let (own_restart, own_restart_known) = watch::channel(None);
    let beginning = (config.kernel.startup_grace, inherited.state.is_some());
    let (wants_buckets, buckets_wanted) = watch::channel(None);
    tokio::spawn(buckets::look_after(has_buckets, buckets_wanted, queries.clone()));
    let routing = Routing::new((rib, fib), kernel, hub.clone(), beginning, own_restart, wants_buckets);
    let routing = tokio::spawn(routing.run(inputs));
    let supervisor = Supervisor::new(Parts {
        config,
        config_path,
        router_id,
        hostname: identity::hostname(),
        listeners,
        routing: to_routing,
        orders: orders.clone(),
        hub: hub.clone(),
        own_restart: own_restart_known,
        bfd: bfd.clone(),
        inherited,
    });
    let supervisor = tokio::spawn(supervisor.run(received_requests));
    let control = Arc::new(Control {
        supervisor: requests.clone(),
        routing: queries,
        bfd: bfd.requests().clone(),
        hub,
        moves: moves(),
        idle_timer,
        ports,
        started: Instant::now(),
        path: socket,
        rules,
    });
    Ok(Tasks { supervisor, routing, bfd: bfd_ended, requests, orders, pings, control, keep_routes, restart })
}

/// The largest weight that every kernel takes.
const NARROW: u16 = 256;

fn fib_config(config: &Config) -> FibConfig {
    let (groups, largest_weight) = groups(config);
    FibConfig {
        install: config.kernel.install,
        table: config.kernel.table,
        metric: config.kernel.metric,
        preferred_source: PerFamily {
            ipv4: config.kernel.preferred_source_ipv4.map(Into::into),
            ipv6: config.kernel.preferred_source_ipv6.map(Into::into),
        },
        resolve_mapped_next_hops: config.kernel.resolve_mapped_next_hops,
        // Routing ends the start-up phase.
        startup_grace: None,
        probe_interval: config.kernel.neighbor_probe_interval,
        audit_interval: config.kernel.audit_interval,
        hash_seed: random::seed(),
        groups,
        keep_buckets: config.kernel.keep_buckets,
        largest_weight,
        ..FibConfig::default()
    }
}

/// The kind of next-hop groups that is wanted and that this kernel has, and the largest weight that it takes.
fn groups(config: &Config) -> (GroupKind, u16) {
    let resilient = GroupKind::Resilient(config.kernel.resilient);
    // A drained node keeps some buckets where weights are narrow and buckets many.
    let narrow = if config.kernel.keep_buckets {
        GroupKind::Resilient(Resilient { buckets: Resilient::FEW_BUCKETS, ..config.kernel.resilient })
    } else {
        resilient
    };
    match config.kernel.nexthop_groups {
        NexthopGroups::Plain => return (GroupKind::HashThreshold, NARROW),
        NexthopGroups::Resilient if !config.kernel.install => return (resilient, NARROW),
        NexthopGroups::Resilient => {}
    }
    match bgp_netlink::groups::abilities() {
        Ok(Abilities { resilient: true, wide_weights }) => {
            debug!(buckets = config.kernel.resilient.buckets, wide_weights, "next-hop groups are resilient");
            if wide_weights { (resilient, u16::MAX) } else { (narrow, NARROW) }
        }
        Ok(Abilities { resilient: false, .. }) => {
            warn!(
                "this kernel has no resilient next-hop groups: every change of a route's next hops breaks connections \
                 of those that stay; Linux 5.13 and later have them"
            );
            (GroupKind::HashThreshold, NARROW)
        }
        Err(error) => {
            warn!(%error, "the kernel was asked whether it has resilient next-hop groups; taken for granted");
            (narrow, NARROW)
        }
    }
}

fn moves() -> Option<watch::Receiver<Moves>> {
    bgp_netlink::watch_moves()
        .inspect_err(
            |error| warn!(%error, "changes of next-hop groups are not watched: `show nexthops` tells less"),
        )
        .ok()
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGUSR2: the service manager is about to start the next process.
    hand_over: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            hand_over: listen(SignalKind::user_defined2())?,
        })
    }

    /// Whether SIGTERM belongs to a hand-over: the service manager sends SIGUSR2 for one and then SIGTERM, whatever is to
    /// come, and two signals that come together are heard in any order, for threads of their own take them.
    async fn hand_over_too(&mut self) -> bool {
        tokio::time::timeout(SIGNALS_TOGETHER, self.hand_over.recv()).await.is_ok()
    }
}

async fn live(tasks: &mut Tasks, signals: &mut Signals, successors: &Successors) -> anyhow::Result<End> {
    loop {
        let to = tokio::select! {
            _ = signals.hand_over.recv() => To::Store,
            to = successors.next() => to,
            _ = signals.terminate.recv() => {
                if signals.hand_over_too().await
                    && let Some(end) = rest(tasks, To::Store).await?
                {
                    return Ok(end);
                }
                return stop(tasks, "SIGTERM", tasks.keep_routes).await;
            }
            _ = signals.interrupt.recv() => return stop(tasks, "SIGINT", tasks.keep_routes).await,
            _ = signals.hangup.recv() => {
                info!("SIGHUP: reloading");
                if tasks.requests.send(Request::Reload { patience: None, reply: None }).await.is_err() {
                    bail!("the supervisor task has ended");
                }
                continue;
            }
            ended = &mut tasks.routing => {
                error!(?ended, "the routing task has ended by itself");
                bail!("the routing task has ended by itself; the log before this line says why");
            }
            ended = &mut tasks.supervisor => {
                error!(?ended, "the supervisor task has ended by itself");
                bail!("the supervisor task has ended by itself; the log before this line says why");
            }
            _ = &mut tasks.bfd => {
                bail!("the BFD thread has ended by itself; the log before this line says why");
            }
        };
        if let Some(end) = rest(tasks, to).await? {
            return Ok(end);
        }
    }
}

/// Brings everything to rest, for another process to go on; `None` where nothing came of it and everybody goes on here.
async fn rest(tasks: &mut Tasks, to: To) -> anyhow::Result<Option<End>> {
    match (tasks.restart, &to) {
        (Restart::Hitless, _) => {}
        (Restart::Graceful, To::Store) => return stop(tasks, "graceful restart", true).await.map(Some),
        (Restart::Cold, To::Store) => {
            return stop(tasks, "restart without hand-over", tasks.keep_routes).await.map(Some);
        }
        (other, To::Process(..)) => {
            to.refuse(&format!(
                "its configuration says process.restart = \"{other}\"; stop it, then start the other one"
            ));
            return Ok(None);
        }
    }
    if let Err(why) = to.check() {
        to.refuse(why);
        return Ok(None);
    }
    let (reply, at_rest) = oneshot::channel();
    if tasks.requests.send(Request::Rest(reply)).await.is_err() {
        return Ok(None);
    }
    let Ok(handed) = at_rest.await else {
        to.refuse("it does not come to rest; its log says why");
        return Ok(None);
    };
    // It ends when the kernel has answered everything.
    if tokio::time::timeout(KERNEL_PATIENCE, &mut tasks.routing).await.is_err() {
        warn!("the kernel takes too long; the next process finds out what it did");
    }
    Ok(Some(End::AtRest(Box::new(handed), to)))
}

/// Gives everything away; nothing of ours is left when this process ends.
async fn give(handed: Box<Handed>, to: To) -> anyhow::Result<()> {
    if matches!(to, To::Store) {
        service::stopping(STOP_AT_MOST);
    }
    let sessions = handed.sessions.len();
    let (outcome, to) = tokio::task::spawn_blocking(move || (to.give(&handed), to)).await?;
    outcome.context("the sessions could not be handed over; peers see their connections close")?;
    info!(sessions, "handed over");
    // The other end waits for the end of this process, not of this function.
    std::mem::forget(to);
    Ok(())
}

async fn stop(tasks: &Tasks, why: &str, keep: bool) -> anyhow::Result<End> {
    info!("{why}: stopping");
    service::stopping(STOP_AT_MOST);
    if keep {
        // Before the sessions: their ends must not take the routes along.
        leave_kernel(tasks, keep).await;
        close_sessions(tasks, keep).await;
    } else {
        close_sessions(tasks, keep).await;
        leave_kernel(tasks, keep).await;
    }
    info!("stopped");
    Ok(End::Stopped)
}

async fn close_sessions(tasks: &Tasks, keep: bool) {
    let (reply, closed) = oneshot::channel();
    if tasks.requests.send(Request::Stop { keep, reply }).await.is_ok() && closed.await.is_err() {
        warn!("the supervisor has ended before the sessions were closed");
    }
}

async fn leave_kernel(tasks: &Tasks, keep: bool) {
    let (reply, left) = oneshot::channel();
    if tasks.orders.send(Order::Stop { keep, reply }).await.is_err() {
        return;
    }
    match tokio::time::timeout(KERNEL_PATIENCE, left).await {
        Ok(Ok(())) => info!("the kernel's table is done with"),
        Ok(Err(_)) => warn!("the routing task has ended before the kernel's table was left as configured"),
        Err(_) => warn!("the kernel takes too long; routes may stay, the next start adopts or removes them"),
    }
}

/// Tells the service manager that we live, as long as supervisor and routing answer.
async fn feed_watchdog(
    period: Duration,
    supervisor: mpsc::Sender<Request>,
    routing: mpsc::Sender<oneshot::Sender<()>>,
) {
    let mut due = tokio::time::interval(period);
    loop {
        due.tick().await;
        let alive =
            tokio::try_join!(control::ask(&supervisor, Request::Ping), control::ask(&routing, |reply| reply));
        match alive {
            Ok(_) => service::alive(),
            Err(reply) => error!("watchdog not fed: {}", reply.error.message),
        }
    }
}
