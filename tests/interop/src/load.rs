//! Who uses a service while something happens to it: steady HTTP and 200 long-lived connections from a client behind the
//! host, and what the event cost them.
//!
//! A planned event costs nothing. A node that dies takes its own connections along and what was asked before its leg was out
//! of the kernel; everybody else notices nothing, and its leg goes within [`REPAIR`] of the evidence.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::flows::{self, Fate, Flows};
use crate::lab::Lab;
use crate::traffic::{Tally, Traffic};

/// The long-lived connections.
pub const FLOWS: usize = 200;
/// The threads that ask by HTTP.
const THREADS: usize = 4;
/// From the evidence that a node is dead until its leg is out of the kernel.
pub const REPAIR: Duration = Duration::from_millis(50);
/// How often a node dies until it is shown that its leg goes so fast.
const DEATHS: usize = 10;

/// Requests and connections under way, until [`Load::finish`].
#[derive(Debug)]
pub struct Load {
    flows: Flows,
    requests: Traffic,
}

/// What an event cost.
#[derive(Debug)]
pub struct Cost {
    /// Of the long-lived connections.
    pub fate: Fate,
    /// Of the requests.
    pub tally: Tally,
}

impl Load {
    /// Starts both. The nodes have the service, and the backends of [`flows::start_backends`].
    pub fn start(lab: &mut Lab, service: &str) -> Result<Self> {
        let client = lab.client()?;
        let flows = Flows::open(client, format!("[{service}]:{}", flows::PORT).parse()?, FLOWS)?;
        let requests = Traffic::start(client, format!("[{service}]:80").parse()?, THREADS)?;
        Ok(Self { flows, requests })
    }

    /// How many connections a node has.
    pub fn of(&self, node: &str) -> usize {
        self.flows.nodes().get(node).copied().unwrap_or_default()
    }

    /// A moment as [`Tally::lost`] tells it.
    pub fn at(&self, moment: Instant) -> Duration {
        self.requests.at(moment)
    }

    /// Ends both, and prints what became of them.
    pub fn finish(self, event: &str) -> Result<Cost> {
        let cost = Cost { fate: self.flows.finish()?, tally: self.requests.stop()? };
        eprintln!("{event}: {cost}");
        Ok(cost)
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fate, tally } = self;
        let (lost, all, gap) = (tally.lost.len(), tally.total(), tally.longest_gap);
        write!(f, "{lost} of {all} requests lost, longest gap {gap:?}; {fate:?}")
    }
}

impl Cost {
    /// Every request was answered and every connection lives.
    pub fn expect_none(&self) {
        let Self { fate, tally } = self;
        assert_eq!(tally.lost, [], "of {} requests", tally.total());
        assert_eq!((fate.broken.len(), fate.alive.values().sum::<usize>()), (0, FLOWS), "{fate:?}");
    }

    /// The `own` connections of this node are broken and nobody else's; what is lost was asked before its leg was gone.
    pub fn expect_only_of(&self, node: &str, own: usize, gone: Duration) {
        let Self { fate, tally } = self;
        assert!(own > 0, "it had none: {fate:?}");
        assert_eq!((fate.broken.get(node), fate.broken_beside(node)), (Some(&own), 0), "{fate:?}");
        assert!(tally.lost.iter().all(|(begun, _)| *begun <= gone), "gone at {gone:?}: {:?}", tally.lost);
    }
}

/// Nobody is sent to this node any more, and nobody loses anything.
pub fn expect_without(lab: &mut Lab, service: &str, node: &str) -> Result<()> {
    let load = Load::start(lab, service)?;
    ensure!(load.of(node) == 0, "new connections of a dead node: {:?}", load.flows.nodes());
    let cost = load.finish(&format!("after the end of {node}"))?;
    cost.expect_none();
    ensure!(!cost.tally.answered.contains_key(node), "{:?}", cost.tally);
    Ok(())
}

/// A dead node's leg was gone so long after the evidence; where that is more than [`REPAIR`], it is killed again, up to
/// `DEATHS` times in all: a machine with too much to do may have us wait for a processor, and the kernel changes one network
/// at a time whichever namespace it is of, not each time.
pub fn expect_repaired(
    what: &str,
    first: Duration,
    mut kill_again: impl FnMut() -> Result<Duration>,
) -> Result<()> {
    let mut taken = vec![first];
    loop {
        let delay = taken.last().copied().unwrap_or_default();
        eprintln!("{what}: its leg left the kernel {delay:?} after the evidence");
        if delay <= REPAIR {
            return Ok(());
        }
        if taken.len() == DEATHS {
            break;
        }
        taken.push(kill_again()?);
    }
    Err(anyhow::anyhow!("{taken:?} after the evidence")).context(what.to_owned())
}
