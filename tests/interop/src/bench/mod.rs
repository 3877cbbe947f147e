//! What is measured of bgpd-rs and of FRR on the lab's host, side by side: how long a change takes to the kernel
//! (`latency`), and what many services cost at a start (`services`).

use std::fmt;

use anyhow::{Context, Result};

use crate::daemon::Daemon;
use crate::frr::Frr;
use crate::lab::{HOST_V6, Lab, Node};
use crate::speaker::Speaker;
use crate::wait::PATIENCE;

pub mod latency;
pub mod services;

/// FRR as the lab's host.
const FRR_HOST: &str = "router bgp 64513
 bgp router-id 172.50.0.1
 no bgp ebgp-requires-policy
 neighbor cilium peer-group
 neighbor cilium remote-as 64512
 bgp listen range 2001:3200:3200::/64 peer-group cilium
 address-family ipv6 unicast
  neighbor cilium activate
 exit-address-family
";

/// Who runs on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
    /// This project's daemon.
    BgpdRs,
    /// FRR.
    Frr,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BgpdRs => "bgpd-rs",
            Self::Frr => "FRR",
        })
    }
}

/// The running one.
#[derive(Debug)]
pub(crate) enum Host {
    BgpdRs(Daemon),
    Frr(Frr),
}

impl Host {
    fn start(subject: Subject, lab: &Lab) -> Result<Self> {
        Ok(match subject {
            Subject::BgpdRs => Self::BgpdRs(Daemon::start_k3d(lab)?),
            Subject::Frr => Self::Frr(Frr::start(lab, &lab.host, FRR_HOST)?),
        })
    }

    /// The processes that it is made of.
    fn pids(&self) -> Vec<i32> {
        match self {
            Self::BgpdRs(daemon) => vec![daemon.pid()],
            Self::Frr(frr) => vec![frr.bgpd_pid(), frr.zebra_pid()],
        }
    }
}

/// A node's session with the host, which may not listen yet; and FRR does not let a peer in before it has seen a link-local address of its own.
fn dial(lab: &Lab, node: &Node) -> Result<Speaker> {
    let mut speaker = None;
    lab.until(&format!("{} has its session", node.name), PATIENCE, || {
        speaker = Some(Speaker::on(node, HOST_V6)?);
        Ok(true)
    })?;
    speaker.context("no session")
}
