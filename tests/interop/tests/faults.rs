//! Every fault of `scripts/faults` in its short form, with traffic flowing; each fails where the daemon does not keep what
//! it promises. `docs/reliability.md` has the table at full length.
#![cfg(feature = "labs")]

use anyhow::{Context, Result};
use interop::faults::{Length, select};

fn survives(name: &str) -> Result<()> {
    let fault = select(&[name.to_owned()])?.pop().context("no such fault")?;
    let outcome = fault.run(Length::SHORT)?;
    eprintln!(
        "{name}: {} of {} requests lost; {}",
        outcome.tally.lost.len(),
        outcome.tally.total(),
        outcome.said
    );
    Ok(())
}

#[test]
fn peer_killed() -> Result<()> {
    survives("peer-killed")
}

#[test]
fn peer_frozen() -> Result<()> {
    survives("peer-frozen")
}

#[test]
fn link_cut() -> Result<()> {
    survives("link-cut")
}

#[test]
fn node_silent() -> Result<()> {
    survives("node-silent")
}

#[test]
fn half_open() -> Result<()> {
    survives("half-open")
}

#[test]
fn one_octet_a_second() -> Result<()> {
    survives("one-octet-a-second")
}

#[test]
fn never_reading() -> Result<()> {
    survives("never-reading")
}

#[test]
fn flapping() -> Result<()> {
    survives("flapping")
}

#[test]
fn maximum_prefix() -> Result<()> {
    survives("maximum-prefix")
}

#[test]
fn hold_time_3() -> Result<()> {
    survives("hold-time-3")
}

#[test]
fn rst_forged() -> Result<()> {
    survives("rst-forged")
}

#[test]
fn rst_storm() -> Result<()> {
    survives("rst-storm")
}

#[test]
fn connections_unknown() -> Result<()> {
    survives("connections-unknown")
}

#[test]
fn connections_known() -> Result<()> {
    survives("connections-known")
}

#[test]
fn connections_range() -> Result<()> {
    survives("connections-range")
}

#[test]
fn netlink_enobufs() -> Result<()> {
    survives("netlink-enobufs")
}

#[test]
fn netlink_enomem() -> Result<()> {
    survives("netlink-enomem")
}

#[test]
fn netlink_eperm() -> Result<()> {
    survives("netlink-eperm")
}

#[test]
fn netlink_held() -> Result<()> {
    survives("netlink-held")
}

#[test]
fn no_capability() -> Result<()> {
    survives("no-capability")
}

#[test]
fn deleted_by_others() -> Result<()> {
    survives("deleted-by-others")
}

#[test]
fn fought_over() -> Result<()> {
    survives("fought-over")
}

#[test]
fn disk_full() -> Result<()> {
    survives("disk-full")
}

#[test]
fn log_stuck() -> Result<()> {
    survives("log-stuck")
}

#[test]
fn control_flooded() -> Result<()> {
    survives("control-flooded")
}

#[test]
fn metrics_scraped() -> Result<()> {
    survives("metrics-scraped")
}

#[test]
fn no_descriptors() -> Result<()> {
    survives("no-descriptors")
}

#[test]
fn config_garbage() -> Result<()> {
    survives("config-garbage")
}

#[test]
fn sighup_storm() -> Result<()> {
    survives("sighup-storm")
}

#[test]
fn kill_9() -> Result<()> {
    survives("kill-9")
}
