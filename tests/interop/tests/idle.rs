//! A change that comes alone wakes one thread of the daemon, and wakes it once.
//!
//! What a change takes in an idle daemon is mostly being woken. A second thread that is woken on the way, or the first a
//! second time, is not seen in any route; it is seen in how often the daemon's threads went to sleep, which the kernel counts.
#![cfg(feature = "labs")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bgp_wire::{Asn, Message, Prefix};
use interop::daemon::Daemon;
use interop::faults::usage::of_each_thread;
use interop::lab::{HOST_V4, Lab};
use interop::speaker::{Settings, Speaker};

const CONFIG: &str = r#"[bgp]
asn = 64513
router-id = "172.50.0.1"

[kernel]
install = false

[neighbor."172.50.0.2"]
remote-asn = 64601
import = "all"

[neighbor."172.50.0.3"]
remote-asn = 64602
export = "all"
"#;
/// Changes of one measurement.
const CHANGES: u8 = 50;
/// Timers of the daemon, and what the kernel tells of neighbours, come in between now and then.
const OTHERS: u64 = 20;

fn speaker(lab: &Lab, node: usize, asn: u32) -> Result<Speaker> {
    let node = &lab.nodes[node];
    let settings = Settings { asn: Asn(asn), ..Settings::cilium(&node.name)? };
    let remote = SocketAddr::new(HOST_V4.parse()?, 179);
    node.namespace.inside(|| Speaker::dial(remote, &settings))?
}

/// Waits until a route is heard of, whatever comes before it.
fn hear_of(speaker: &Speaker, prefix: Prefix) -> Result<()> {
    loop {
        let Some(message) = speaker.hear()? else { bail!("the session is over") };
        if let Message::Update(update) = message
            && update
                .announced
                .iter()
                .flat_map(|route| route.nlri.ipv4())
                .any(|heard| Prefix::V4(heard) == prefix)
        {
            return Ok(());
        }
    }
}

/// How often each thread of a process went to sleep.
fn sleeps(pid: i32) -> Result<BTreeMap<OsString, u64>> {
    let counts = of_each_thread(pid, "voluntary_ctxt_switches:")?;
    counts.into_iter().map(|(thread, count)| Ok((thread, count.parse()?))).collect()
}

#[test]
fn a_change_that_comes_alone_wakes_one_thread_once() -> Result<()> {
    let lab = Lab::with_nodes(2)?;
    let daemon = Daemon::start(&lab, CONFIG)?;
    let (from, to) = (speaker(&lab, 0, 64601)?, speaker(&lab, 1, 64602)?);
    let mut counts: Vec<u64> = Vec::new();
    // In the first round the next hop is looked up, and sessions have just come up.
    for round in 0..4 {
        let before = sleeps(daemon.pid())?;
        for change in 0..CHANGES {
            let prefix = format!("198.18.{round}.{change}/32").parse::<Prefix>().context("prefix")?;
            from.announce(&[prefix])?;
            hear_of(&to, prefix)?;
        }
        let since = |(thread, now): (OsString, u64)| {
            now.saturating_sub(before.get(&thread).copied().unwrap_or_default())
        };
        counts.push(sleeps(daemon.pid())?.into_iter().map(since).sum());
    }
    let least = counts.iter().min().copied().context("no round")?;
    assert!(
        least <= u64::from(CHANGES) + OTHERS,
        "{CHANGES} changes each, and threads slept {counts:?} times"
    );
    Ok(())
}
