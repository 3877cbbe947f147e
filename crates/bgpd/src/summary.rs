//! `bgpctl show summary`: what supervisor, routing and host say, put together.

use std::time::Instant;

use bgp_api::{Memory, RibSize, Summary};
use bgp_wire::Family;

use crate::control::Control;
use crate::{host, process, routing, supervisor};

/// The reply.
pub fn view(control: &Control, peers: supervisor::Summary, routes: routing::Summary) -> Summary {
    Summary {
        router_id: peers.router_id.to_string(),
        local_as: peers.asn.0,
        version: bgp_api::VERSION.to_owned(),
        pid: std::process::id(),
        uptime_seconds: control.started.elapsed().as_secs(),
        peers: peers.peers,
        rib: Family::ALL
            .into_iter()
            .map(|family| RibSize {
                family: family.to_string(),
                prefixes: routes.sizes.prefixes[family],
                paths: routes.sizes.paths[family],
                best: routes.sizes.prefixes[family],
            })
            .collect(),
        fib: Family::ALL.into_iter().map(|family| routes.fib[family].clone()).collect(),
        kernel_nexthops: routes.nexthops,
        kernel_groups: routes.groups,
        config: peers.config,
        checks: host::checks(peers.set_hash_policy)
            .into_iter()
            .chain(host::kernel::checks(&routes, Instant::now()))
            .collect(),
        memory: Memory {
            resident_bytes: process::figures().resident_bytes,
            rib_bytes: None,
            attribute_sets: routes.sizes.attribute_sets,
        },
    }
}
