//! Labs: real peers, the real kernel, in network namespaces.
//!
//! A lab builds the host and the nodes of a small cluster out of namespaces, runs real daemons there, and asks the
//! real kernel what came of it: nothing is mocked. Every lab is its own (names carry the process id and a counter),
//! several run at once, and everything goes when the lab goes: processes by their ids, namespaces, files.
//!
//! ```text
//! namespace  -> command    one namespace; commands inside
//! process                  programs that run until told to end
//! crowd, flood             connections that stay and say nothing; connections at a pace that no peer has
//! lab        -> http       the host, its bridge, nodes, services, a client
//! daemon, gobgp, frr, bird, openbgpd, exabgp, haproxy, prometheus      who runs in it
//! speaker                  a node's speaker of our own, where gobgpd is not to be had or bytes must be timed
//! sockets                  a socket of another program, from outside
//! service_manager           a stand-in for systemd that keeps descriptors over a restart
//! kernel, rtnl             what the kernel holds, through `ip -j`; when it changes, through rtnetlink
//! flows, traffic -> load   long-lived connections and short requests; both, and what an event cost them
//! faults, soak             what is done to a running daemon under traffic, and what that cost
//! demo, bench, clean       what `scripts/` calls
//! ```
//!
//! The tests are in `tests/`, a file a topic; they need root and the programs that `scripts/setup` installs, so they
//! are built only with the feature `labs`: `scripts/test` runs them. A lab that cannot run fails.

pub mod bench;
pub mod bird;
pub mod clean;
pub mod command;
pub mod crowd;
pub mod daemon;
pub mod demo;
pub mod exabgp;
pub mod faults;
pub mod flood;
pub mod flows;
pub mod frr;
pub mod gobgp;
pub mod haproxy;
pub mod http;
pub mod kernel;
pub mod lab;
pub mod load;
pub mod namespace;
pub mod openbgpd;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod rtnl;
pub mod service_manager;
pub mod soak;
pub mod sockets;
pub mod speaker;
pub mod traffic;
pub mod wait;
