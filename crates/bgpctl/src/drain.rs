//! `bgpctl drain`: gives the order, waits for the node to be free, and says how far it is.

use std::time::{Duration, Instant};

use bgp_api::{Drain, DrainReply, DrainRequest, DrainState, path};

use crate::cli::DrainArgs;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Style, print, print_json};
use crate::table::{Align, Table};
use crate::text::{clean, count, duration};

/// Between two questions.
const PACE: Duration = Duration::from_secs(1);
/// Between two lines of progress.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// For so long the daemon may be away: a restart does not end a drain.
const AWAY_AT_MOST: Duration = Duration::from_secs(30);

/// Does what was typed.
pub(crate) async fn run(
    client: &Client<'_>,
    args: &DrainArgs,
    style: Style,
    json: bool,
) -> Result<(), Failure> {
    let Some(node) = &args.node else {
        let reply: DrainReply = client.get(path::DRAIN).await?;
        return if json { print_json(&reply) } else { print(&list(&reply, style)) };
    };
    let force = args.force && args.wait.is_none();
    let idle_seconds = args.idle.map(|idle| u32::try_from(idle.as_secs()).unwrap_or(u32::MAX));
    let mut request = DrainRequest { node: node.clone(), undo: args.undo, idle_seconds, force };
    let reply = order(client, &request).await?;
    let Some(drain) = reply.nodes.first() else {
        return if json { print_json(&reply) } else { print(&said(node, &reply)) };
    };
    // Whoever asked by address is answered by name from here on.
    let name = drain.node.clone();
    request.node.clone_from(&name);
    if !json {
        print(&said(&format!("{} ({})", drain.node, drain.addresses.join(", ")), &reply))?;
    }
    if args.no_wait {
        return if json { print_json(&reply) } else { Ok(()) };
    }
    let mut waiting = Waiting { client, node: &name, json, gives_up: !args.force, said: None };
    let reply = match waiting.until_free(args.wait).await {
        Err(Failure::Busy(what)) if args.force => {
            request.force = true;
            let forced = order(client, &request).await?;
            if !json {
                print(&format!("{}\n{}", clean(&what), said(&request.node, &forced)))?;
            }
            waiting.until_free(None).await?
        }
        other => other?,
    };
    match reply.nodes.first() {
        Some(drain) if !json => print(&free(drain)),
        _ => print_json(&reply),
    }
}

async fn order(client: &Client<'_>, request: &DrainRequest) -> Result<DrainReply, Failure> {
    let body = serde_json::to_string(request).map_err(|error| Failure::Malformed(error.to_string()))?;
    client.post(path::DRAIN, body).await
}

/// Somebody who waits for a node.
struct Waiting<'a> {
    client: &'a Client<'a>,
    node: &'a str,
    json: bool,
    /// It ends where the node is the last leg of a route.
    gives_up: bool,
    /// The last line of progress, and when it was printed.
    said: Option<(String, Instant)>,
}

impl Waiting<'_> {
    /// Returns when the node carries no flow; the reply has it alone.
    async fn until_free(&mut self, at_most: Option<Duration>) -> Result<DrainReply, Failure> {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(PACE).await;
            let drain = self.ask().await?;
            if drain.state == DrainState::Drained {
                return Ok(DrainReply { nodes: vec![drain], message: None });
            }
            if drain.last_leg_routes > 0 && self.gives_up {
                return Err(Failure::LastLeg(last_leg(&drain)));
            }
            if at_most.is_some_and(|at_most| begun.elapsed() >= at_most) {
                return Err(Failure::Busy(format!("{}: {}", drain.node, progress(&drain))));
            }
            self.say(progress(&drain))?;
        }
    }

    async fn ask(&self) -> Result<Drain, Failure> {
        let begun = Instant::now();
        loop {
            match self.client.get::<DrainReply>(path::DRAIN).await {
                Ok(reply) => {
                    let mut nodes = reply.nodes.into_iter();
                    return nodes.find(|drain| drain.node == self.node).ok_or_else(|| {
                        Failure::NotFound(format!(
                            "{} is drained no longer: somebody has undone it",
                            self.node
                        ))
                    });
                }
                Err(Failure::Unreachable { .. } | Failure::Silent { .. })
                    if begun.elapsed() < AWAY_AT_MOST =>
                {
                    tokio::time::sleep(PACE).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn say(&mut self, line: String) -> Result<(), Failure> {
        let is_news = self.said.as_ref().is_none_or(|(said, at)| *said != line && at.elapsed() >= SAY_EVERY);
        if self.json || !is_news {
            return Ok(());
        }
        print(&format!("{}: {}\n", clean(self.node), clean(&line)))?;
        self.said = Some((line, Instant::now()));
        Ok(())
    }
}

fn said(node: &str, reply: &DrainReply) -> String {
    let message = reply.message.as_deref().unwrap_or("done");
    format!("{}: {}\n", clean(node), clean(message))
}

/// What it still carries.
fn progress(drain: &Drain) -> String {
    match (drain.buckets_in_use, drain.buckets) {
        (Some(in_use), Some(buckets)) => {
            let timer = drain.idle_timer_seconds.unwrap_or_default();
            format!(
                "{in_use} of {} in use, in {}; a bucket is free {timer} s after its last packet",
                count(buckets, "bucket"),
                count(drain.groups, "group")
            )
        }
        (_, _) => format!("has legs in {}", count(drain.groups, "group")),
    }
}

fn last_leg(drain: &Drain) -> String {
    let named = u64::try_from(drain.last_leg_prefixes.len()).unwrap_or(u64::MAX);
    let more = match drain.last_leg_routes.saturating_sub(named) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} stays the last leg of {}: {}{more}",
        drain.node,
        count(drain.last_leg_routes, "route"),
        drain.last_leg_prefixes.join(", ")
    )
}

fn free(drain: &Drain) -> String {
    let node = clean(&drain.node);
    let ago = duration(drain.drained_seconds.unwrap_or_default());
    let what = if drain.forced { "has no leg any more" } else { "carries no flow any more" };
    format!("{node} {what}, for {ago}: it may be stopped; bgpctl drain --undo {node} lets it serve again\n")
}

/// Who is drained.
fn list(reply: &DrainReply, style: Style) -> String {
    if reply.nodes.is_empty() {
        return "no node is drained\n".to_owned();
    }
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("ADDRESSES", Align::Left),
        ("SINCE", Align::Right),
        ("GROUPS", Align::Right),
        ("STATE", Align::Left),
    ]);
    for drain in &reply.nodes {
        let state = match (drain.state, drain.last_leg_routes) {
            (DrainState::Drained, _) if drain.forced => "drained by force".to_owned(),
            (DrainState::Drained, _) => "drained, carries no flow".to_owned(),
            (_, 1..) => last_leg(drain),
            (_, 0) => progress(drain),
        };
        table.row(vec![
            drain.node.clone().into(),
            drain.addresses.join(" ").into(),
            duration(drain.since_seconds).into(),
            drain.groups.to_string().into(),
            state.into(),
        ]);
    }
    table.render(style.painter)
}
