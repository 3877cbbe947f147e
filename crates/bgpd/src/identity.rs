//! Who we are where the configuration does not say: BGP Identifier and host name.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use anyhow::bail;
use bgp_wire::RouterId;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use tracing::info;

/// The configured identifier, or one of this host's own: the lowest IPv4 address that is not a loopback address, and on
/// a host without IPv4 a number made of the machine id. It is chosen once and stays while the daemon runs.
///
/// # Errors
/// Nothing to derive it from.
pub fn router_id(configured: Option<RouterId>) -> anyhow::Result<RouterId> {
    if let Some(configured) = configured {
        return Ok(configured);
    }
    if let Some(derived) = lowest_address() {
        info!(router_id = %derived, "bgp.router-id is not set; taken from an interface address");
        return Ok(derived);
    }
    if let Some(derived) = std::fs::read_to_string("/etc/machine-id").ok().and_then(|id| from_text(id.trim()))
    {
        info!(router_id = %derived, "bgp.router-id is not set and this host has no IPv4 address; made from the machine id");
        return Ok(derived);
    }
    bail!(
        "bgp.router-id is not set, and this host has neither an IPv4 address nor /etc/machine-id to derive it from"
    )
}

fn lowest_address() -> Option<RouterId> {
    getifaddrs()
        .ok()?
        .filter(|found| !found.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        .filter_map(|found| Some(found.address?.as_sockaddr_in()?.ip()))
        .filter(|address| !address.is_loopback() && !address.is_link_local())
        .min()
        .and_then(|address: Ipv4Addr| RouterId::try_from(address).ok())
}

/// The same text gives the same number; the hasher of the standard library is used with its fixed keys.
fn from_text(text: &str) -> Option<RouterId> {
    if text.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    RouterId::new(u32::try_from(hasher.finish() >> 32).unwrap_or(1).max(1))
}

/// This host's name, for the FQDN capability.
pub fn hostname() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty())
}
