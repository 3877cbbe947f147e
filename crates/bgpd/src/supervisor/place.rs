//! Where an address stands in a configuration: an entry of its own, or a listen range.

use std::net::IpAddr;
use std::sync::Arc;

use bgp_wire::Prefix;

use crate::config::{Config, Group, Settings};

/// Where a peer stands in the configuration.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) settings: Arc<Settings>,
    pub(super) group: Option<String>,
    pub(super) interface: Option<String>,
    /// The listen range that lets it in; `None` for a neighbour configured by address.
    pub(super) range: Option<Prefix>,
}

impl Place {
    /// The place that a configuration has for an address.
    pub(super) fn of(config: &Config, address: IpAddr) -> Option<Self> {
        if let Some(neighbor) = config.neighbors.get(&address) {
            return Some(Self {
                settings: Arc::new(neighbor.settings.clone()),
                group: neighbor.group.clone(),
                interface: neighbor.interface.clone(),
                range: None,
            });
        }
        let (range, group) = range_for(config, address)?;
        Some(Self {
            settings: Arc::new(group.settings.clone()),
            group: Some(group.name.clone()),
            interface: None,
            range: Some(range),
        })
    }
}

/// The longest listen range that holds the address, and its group.
pub(super) fn range_for(config: &Config, address: IpAddr) -> Option<(Prefix, &Group)> {
    let group = config.group_for(address)?;
    let ranges = group.listen_ranges.iter().filter(|range| range.contains(address));
    Some((*ranges.max_by_key(|range| range.len())?, group))
}
