//! A speaker that stays: it dials again after every loss, as Cilium's does, and takes orders from standard input.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bgp_wire::Prefix;

use super::{Settings, Speaker};

/// The pause after a lost session, as GoBGP's.
const IDLE: Duration = Duration::from_secs(5);
/// How often a session's end is looked for while there are no orders.
const ORDERS: Duration = Duration::from_millis(50);

/// Holds a session with the host until the process ends: after a loss it waits 5 s and dials again. What is announced
/// changes by lines of standard input.
pub fn keep_up(remote: SocketAddr, settings: &Settings, announced: Vec<Prefix>) -> Result<()> {
    let mut announced: BTreeSet<_> = announced.into_iter().collect();
    let (sender, orders) = channel();
    thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    loop {
        match Speaker::dial(remote, settings) {
            Ok(speaker) => {
                eprintln!("established with {remote}");
                let end = serve(&speaker, &mut announced, &orders);
                eprintln!("session with {remote} ended: {end:#}");
            }
            Err(error) => eprintln!("{error:#}"),
        }
        thread::sleep(IDLE);
    }
}

/// Announces what there is, follows the orders, and comes back with the reason when the session is over.
fn serve(speaker: &Speaker, announced: &mut BTreeSet<Prefix>, orders: &Receiver<String>) -> anyhow::Error {
    let mut work = || -> Result<()> {
        announced.iter().try_for_each(|prefix| speaker.announce(&[*prefix]))?;
        loop {
            if speaker.is_over() {
                bail!("closed by the host");
            }
            match orders.recv_timeout(ORDERS) {
                Ok(line) => obey(speaker, announced, &line)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(ORDERS),
            }
        }
    };
    work().err().unwrap_or_else(|| anyhow!("no reason"))
}

fn obey(speaker: &Speaker, announced: &mut BTreeSet<Prefix>, line: &str) -> Result<()> {
    let mut words = line.split_whitespace();
    let order = words.next().unwrap_or_default();
    let prefix = words.next().unwrap_or_default().parse::<Prefix>();
    match (order, prefix) {
        ("announce", Ok(prefix)) => {
            announced.insert(prefix);
            speaker.announce(&[prefix])
        }
        ("withdraw", Ok(prefix)) => {
            announced.remove(&prefix);
            speaker.withdraw(&[prefix])
        }
        _ => {
            eprintln!("neither `announce PREFIX` nor `withdraw PREFIX`: {line}");
            Ok(())
        }
    }
}
