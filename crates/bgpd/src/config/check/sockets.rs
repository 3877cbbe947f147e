//! Where we listen: for BGP, for bgpctl and for Prometheus.
//!
//! What is taken here can be bound, as far as that depends on the file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;

use super::super::fault::{Fault, Sink};
use super::super::file;
use super::super::model::{Control, Metrics, Readers};
use super::text;

/// Where we listen when nothing else is said.
const LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 179),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 179),
];

pub(super) fn listen(typed: Option<&Spanned<Vec<Spanned<SocketAddr>>>>, sink: &mut Sink) -> Vec<SocketAddr> {
    let Some(typed) = typed else { return LISTEN.to_vec() };
    let mut listen: Vec<SocketAddr> = Vec::new();
    for entry in typed.get_ref() {
        can_be_bound(entry, "bgp.listen", sink);
        let address = *entry.get_ref();
        if listen.contains(&address) {
            sink.push(Fault::warning(entry.span(), format!("`bgp.listen` names {entry} twice")));
            continue;
        }
        if let Some(other) = listen.iter().find(|other| collide(**other, address)) {
            let title = format!("`bgp.listen`: {address} and {other} cannot be listened at side by side");
            sink.push(Fault::error(entry.span(), title).label("one of them has the other's port already"));
        }
        listen.push(address);
    }
    listen
}

/// Whether the kernel refuses the second of two sockets that listen; those of the two families are apart.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one == other || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.is_ipv4() == other.is_ipv4() && overlap
}

fn can_be_bound(entry: &Spanned<SocketAddr>, key: &str, sink: &mut Sink) {
    let address = entry.get_ref();
    if address.port() == 0 {
        sink.push(Fault::error(entry.span(), format!("`{key}`: port 0 is no port")).label("needs a port"));
    }
    let SocketAddr::V6(v6) = address else { return };
    if let Some(v4) = v6.ip().to_ipv4_mapped() {
        let fault =
            Fault::error(entry.span(), format!("`{key}`: {address} is an IPv4 address written as IPv6"));
        let fix = format!("\"{}\"", SocketAddr::new(v4.into(), v6.port()));
        sink.push(fault.label("IPv4-mapped").fix(entry.span(), fix));
    } else if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 {
        let fault = Fault::error(entry.span(), format!("`{key}`: {address} is link-local and names no link"));
        sink.push(fault.label("on which link?").help("\"[::]\" is every address on every link"));
    }
}

/// The longest path that `sockaddr_un` takes, with its closing zero.
const SOCKET_PATH_MAX: usize = 107;
/// What the hand-over socket beside it has in the place of its extension, `crate::handover`.
const HANDOVER: &str = "handover";

pub(super) fn control(typed: Option<&file::Control>, sink: &mut Sink) -> Control {
    let socket = typed.and_then(|control| control.socket.as_ref());
    if let Some(path) = socket {
        let fault = Fault::error(path.span(), format!("`control.socket` cannot be {:?}", path.get_ref()));
        let beside = path.get_ref().with_extension(HANDOVER);
        if !path.get_ref().is_absolute() {
            sink.push(fault.label("must begin with /"));
        } else if beside == *path.get_ref() {
            sink.push(fault.label("taken").help("the hand-over socket has this name"));
        } else if path.get_ref().as_os_str().len() > SOCKET_PATH_MAX {
            sink.push(fault.label(format!("a Unix socket's path has at most {SOCKET_PATH_MAX} bytes")));
        } else if beside.as_os_str().len() > SOCKET_PATH_MAX {
            let why =
                format!("{}, the hand-over socket, has at most {SOCKET_PATH_MAX} bytes", beside.display());
            sink.push(fault.label("too long").help(why));
        }
    }
    Control {
        socket: socket
            .map_or_else(|| PathBuf::from("/run/bgpd-rs/control.sock"), |path| path.get_ref().clone()),
        group: typed.and_then(|control| text(&control.group)),
        readers: match typed.and_then(|control| text(&control.readers)).as_deref() {
            None | Some("nobody") => Readers::Nobody,
            Some("everybody") => Readers::Everybody,
            Some(group) => Readers::Group(group.to_owned()),
        },
    }
}

pub(super) fn metrics(typed: Option<&file::Metrics>, bgp: &[SocketAddr], sink: &mut Sink) -> Metrics {
    let typed = typed.and_then(|metrics| metrics.listen.as_ref());
    let listen = typed.map(|typed| *typed.get_ref());
    if let (Some(typed), Some(address)) = (typed, listen) {
        can_be_bound(typed, "metrics.listen", sink);
        // Unlike BGP's sockets this one is for both families where it says [::].
        let both = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let is_taken = |by: &&SocketAddr| collide(**by, address) || both && by.port() == address.port();
        if let Some(by) = bgp.iter().find(is_taken) {
            let fault =
                Fault::error(typed.span(), format!("`metrics.listen`: BGP listens at {by} (`bgp.listen`)"));
            sink.push(fault.label("needs a port of its own"));
        }
    }
    Metrics { listen }
}

#[cfg(test)]
mod tests {
    /// RFC 4271 section 8.2.1: "port 179 is the BGP port".
    #[test]
    fn without_a_word_both_families_are_listened_at_on_the_port_of_bgp() {
        let config = crate::config::load_str("[bgp]\nasn = 64513\n", "t").unwrap().config;
        let listen: Vec<String> = config.bgp.listen.iter().map(ToString::to_string).collect();
        assert_eq!(listen, ["[::]:179", "0.0.0.0:179"]);
    }
}
