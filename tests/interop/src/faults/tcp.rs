//! What arrives at port 179, and segments that are not meant well.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use super::peers::further_peer;
use super::scene::{Setup, dial_as, many, many_in_kernel};
use super::{Fault, Length, Outcome, Scene};
use crate::flood::{Flood, forge_resets};
use crate::lab::HOST_V6;
use crate::wait::PATIENCE;

/// What this file does.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "rst-forged",
        what: "RST segments with random sequence numbers for a session's connection, as many as one thread can send",
        run: rst_forged,
    },
    Fault {
        name: "rst-storm",
        what: "a peer announces 100 routes and ends its session by RST, again and again",
        run: rst_storm,
    },
    Fault {
        name: "connections-unknown",
        what: "1,000 connections a second from an address that is no peer",
        run: unknown,
    },
    Fault {
        name: "connections-known",
        what: "1,000 connections a second from the address of a peer whose session is up",
        run: known,
    },
    Fault {
        name: "connections-range",
        what: "1,000 connections a second from 200 addresses of a listen range with `listen-limit` 20",
        run: range,
    },
];

/// Peers that the listen range of a flooded daemon lets in at a time.
const LIMIT: usize = 20;

fn port_179() -> Result<SocketAddr> {
    Ok(SocketAddr::new(HOST_V6.parse()?, 179))
}

fn rst_forged(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    scene.begin()?;
    let probe = scene.probe()?;
    let (SocketAddr::V6(near), SocketAddr::V6(far)) = (scene.speaker(0)?.local(), port_179()?) else {
        bail!("an IPv6 session is needed");
    };
    let over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&over);
    let forger = scene
        .node(0)?
        .namespace
        .inside(move || thread::spawn(move || forge_resets(near, far, 179, &ends)))?;
    thread::sleep(length.seconds(30, 3));
    over.store(true, Ordering::Relaxed);
    let sent = forger.join().map_err(|_| anyhow::anyhow!("the forger panicked"))??;
    ensure!(sent > 1000, "only {sent} segments were sent");
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{sent} segments; the session stays; {latencies}"))?.nothing_lost()
}

fn rst_storm(length: Length) -> Result<Outcome> {
    let mut scene = Scene::start(&Setup::default())?;
    let all = many(100)?;
    scene.begin()?;
    let probe = scene.probe()?;
    let rounds = length.count(500, 25);
    for _ in 0..rounds {
        let (node, settings) = further_peer(&scene, 0, 0)?;
        let speaker = dial_as(&scene.lab, node, &settings)?;
        speaker.announce(&all)?;
        speaker.abort()?;
    }
    scene.lab.until("none of its routes is left", PATIENCE, || Ok(many_in_kernel(&scene.lab)? == 0))?;
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{rounds} sessions; none of their routes stays; {latencies}"))?.nothing_lost()
}

/// So many connections a second for a time; nothing of the sessions, the routes or the traffic may be felt.
fn flooded(length: Length, from: impl Fn(&mut Scene) -> Result<Flood>) -> Result<Outcome> {
    let group = format!("listen-limit = {LIMIT}");
    let mut scene = Scene::start(&Setup { group: &group, ..Setup::default() })?;
    scene.begin()?;
    let probe = scene.probe()?;
    let flood = from(&mut scene)?;
    thread::sleep(length.seconds(60, 4));
    let (made, rate) = flood.stop()?;
    ensure!(made > 100, "only {made} connections were made");
    let known = scene.daemon.json("show neighbors")?["neighbors"].as_array().map(Vec::len);
    ensure!(known.is_some_and(|peers| peers <= LIMIT), "more peers than listen-limit: {known:?}");
    ensure!(scene.flaps([0, 1, 2])? == 0);
    let latencies = probe.stop()?;
    scene.finish(format!("{made} connections, {rate} a second; no session lost; {latencies}"))?.nothing_lost()
}

fn unknown(length: Length) -> Result<Outcome> {
    flooded(length, |scene| Flood::start(scene.lab.client()?, port_179()?, 1000, &[]))
}

fn known(length: Length) -> Result<Outcome> {
    flooded(length, |scene| {
        let node = scene.node(0)?;
        Flood::start(&node.namespace, port_179()?, 1000, &[node.v6().parse()?])
    })
}

fn range(length: Length) -> Result<Outcome> {
    flooded(length, |scene| {
        let mut sources: Vec<IpAddr> = Vec::new();
        for number in 0..200 {
            let (_, settings) = further_peer(scene, 0, number)?;
            sources.push(settings.source.context("an address")?);
        }
        Flood::start(&scene.node(0)?.namespace, port_179()?, 1000, &sources)
    })
}
