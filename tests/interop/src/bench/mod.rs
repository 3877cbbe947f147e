//! What is measured of bgpd-rs and of FRR on the lab's host, side by side: how long a change takes to the kernel
//! (`latency`), and what many services cost at a start (`services`).

use std::fmt;

use anyhow::Result;

use crate::daemon::Daemon;
use crate::frr::Frr;
use crate::lab::Lab;

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
