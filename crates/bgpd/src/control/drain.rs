//! `bgpctl drain`: which node is meant, then routing is told.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use bgp_api::{Drain, DrainReply, DrainRequest, ErrorCode, ErrorReply, Neighbor};

use super::handlers::{Reply, allow_change, ask, order};
use super::{Caller, Control, neighbors};
use crate::buckets::keep_own_flows;
use crate::routing::{DrainWhat, Query};

/// A node as it is known by its neighbours.
#[derive(Debug, PartialEq, Eq)]
struct Node {
    name: String,
    addresses: BTreeSet<IpAddr>,
}

pub(super) async fn status(State(control): State<Arc<Control>>) -> Reply<DrainReply> {
    Ok(Json(ask(&control.routing, Query::Drains).await?))
}

pub(super) async fn act(
    State(control): State<Arc<Control>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Bytes,
) -> Reply<DrainReply> {
    allow_change(&control, &caller)?;
    let request: DrainRequest = serde_json::from_slice(&body).map_err(|error| {
        ErrorReply::new(ErrorCode::BadRequest, format!("the body is no drain request: {error}"))
    })?;
    let known = ask(&control.routing, Query::Drains).await?.nodes;
    let node = match known.iter().find(|drain| is_named(drain, &request.node)) {
        Some(drain) => Node { name: drain.node.clone(), addresses: addresses(&drain.addresses) },
        None => {
            let seen = neighbors::views(&control, None).await?;
            let neighbors: Vec<Neighbor> = seen.into_iter().map(|seen| seen.neighbor).collect();
            find(&neighbors, &request.node)?
        }
    };
    let what = match (request.undo, request.force) {
        (true, _) => DrainWhat::Undo,
        (false, true) => DrainWhat::Force,
        (false, false) => DrainWhat::Begin {
            idle: request.idle_seconds.map(|seconds| Duration::from_secs(seconds.max(1).into())),
        },
    };
    // What is in use shows before idle buckets are moved.
    if let Some(usual) = control.idle_timer {
        let asked = request.idle_seconds.map(|seconds| Duration::from_secs(seconds.into()));
        keep_own_flows(asked.unwrap_or(usual)).await;
    }
    let Node { name: node, addresses } = node;
    Ok(Json(order(&control.routing, |reply| Query::Drain { node, addresses, what, reply }).await?))
}

fn is_named(drain: &Drain, text: &str) -> bool {
    drain.node == text
        || text.parse().is_ok_and(|address: IpAddr| addresses(&drain.addresses).contains(&address))
}

/// The node of which `text` is an address, the host name or the description.
fn find(neighbors: &[Neighbor], text: &str) -> Result<Node, ErrorReply> {
    let wanted: Option<IpAddr> = bare(text).parse().ok();
    let is_meant = |neighbor: &&Neighbor| match wanted {
        Some(address) => bare(&neighbor.address).parse() == Ok(address),
        None => hostname(neighbor) == Some(text) || neighbor.description.as_deref() == Some(text),
    };
    let meant: Vec<&Neighbor> = neighbors.iter().filter(is_meant).collect();
    let Some(first) = meant.first() else {
        return Err(ErrorReply::new(ErrorCode::NeighborUnknown, format!("no neighbor is called {text:?}"))
            .with_hint("bgpctl show neighbors lists their addresses and names"));
    };
    let host = hostname(first);
    if meant.len() > 1 && (host.is_none() || meant.iter().any(|other| hostname(other) != host)) {
        let all: Vec<&str> = meant.iter().map(|neighbor| neighbor.address.as_str()).collect();
        let message = format!("several neighbors are called {text:?}: {}", all.join(", "));
        return Err(ErrorReply::new(ErrorCode::Conflict, message).with_hint("name one by its address"));
    }
    let of_host = |neighbor: &&Neighbor| host.is_some() && hostname(neighbor) == host;
    let its = neighbors.iter().filter(of_host).chain(meant.iter().copied());
    Ok(Node {
        name: host.or(first.description.as_deref()).unwrap_or(&first.address).to_owned(),
        addresses: its.filter_map(|neighbor| bare(&neighbor.address).parse().ok()).collect(),
    })
}

fn hostname(neighbor: &Neighbor) -> Option<&str> {
    neighbor.negotiated.as_ref()?.hostname.as_deref()
}

fn addresses(texts: &[String]) -> BTreeSet<IpAddr> {
    texts.iter().filter_map(|text| bare(text).parse().ok()).collect()
}

/// Without its zone.
fn bare(address: &str) -> &str {
    address.split('%').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bgp_api::Negotiated;

    use super::*;

    fn neighbor(address: &str, hostname: Option<&str>, description: Option<&str>) -> Neighbor {
        let negotiated = Negotiated { hostname: hostname.map(str::to_owned), ..Negotiated::default() };
        Neighbor {
            address: address.to_owned(),
            description: description.map(str::to_owned),
            negotiated: Some(negotiated),
            ..Neighbor::default()
        }
    }

    #[test]
    fn a_node_is_found_by_any_of_its_names_with_all_its_sessions() {
        let all = [
            neighbor("172.50.0.2", Some("node2"), None),
            neighbor("fe80::2%br0", Some("node2"), None),
            neighbor("172.50.0.3", Some("node3"), Some("spare")),
            neighbor("172.50.0.4", None, None),
        ];
        let node2 = find(&all, "node2").unwrap();
        assert_eq!(node2.addresses, addresses(&["172.50.0.2".to_owned(), "fe80::2".to_owned()]));
        assert_eq!(find(&all, "fe80::2").unwrap(), node2);
        assert_eq!(find(&all, "spare").unwrap().name, "node3");
        assert_eq!(find(&all, "172.50.0.4").unwrap().name, "172.50.0.4");
        assert_eq!(find(&all, "node9").unwrap_err().error.code, ErrorCode::NeighborUnknown);
    }

    #[test]
    fn a_name_that_several_nodes_have_names_none() {
        let all = [
            neighbor("172.50.0.2", Some("node2"), Some("cilium")),
            neighbor("172.50.0.3", Some("node3"), Some("cilium")),
        ];
        let refused = find(&all, "cilium").unwrap_err().error;
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert!(refused.message.contains("172.50.0.2, 172.50.0.3"), "{refused}");
    }
}
