//! Neighbours and groups: addresses, listen ranges, who inherits from whom.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bgp_wire::Prefix;
use toml::Spanned;

use super::super::fault::{Fault, Sink, Span};
use super::super::file::{self, File, Named, Text};
use super::super::model::{Group, Mode, Neighbor, RemoteAsn};
use super::super::{secret, suggest};
use super::password;
use super::peer::{self, Context, Levels, settings};
use super::policies::name_fits;

/// The typed groups by name.
type Typed<'a> = BTreeMap<&'a str, (&'a Spanned<String>, &'a file::Group)>;

/// The listen ranges, each with its group's name and its place.
pub(super) type Ranges = BTreeMap<Prefix, (String, Span)>;

pub(super) fn check(
    file: &File,
    cx: &Context<'_>,
    sink: &mut Sink,
) -> (BTreeMap<IpAddr, Neighbor>, BTreeMap<String, Group>) {
    let typed: Typed<'_> = entries(&file.peer_group)
        .map(|(name, group)| (name.get_ref().as_str(), (name, group.get_ref())))
        .collect();
    let mut ranges = Ranges::new();
    let mut groups = BTreeMap::new();
    for (name, group) in typed.values() {
        name_fits("peer group", name, 63, sink);
        if let Some(checked) = check_group(name, group, cx, sink) {
            check_ranges(&checked, typed_ranges(group), &mut ranges, sink);
            groups.insert(checked.name.clone(), checked);
        }
    }
    let mut neighbors = BTreeMap::new();
    let mut places: BTreeMap<IpAddr, Span> = BTreeMap::new();
    for (address, neighbor) in entries(&file.neighbor) {
        let Some(checked) = check_neighbor(address, neighbor.get_ref(), &typed, cx, sink) else { continue };
        if let Some(first) = places.insert(checked.address, address.span()) {
            let mut both = [first, address.span()];
            both.sort_by_key(|place| place.start);
            let [earlier, later] = both;
            let title = format!("the neighbor {} is there twice", checked.address);
            sink.push(
                Fault::error(later, title).label("the same address again").related(earlier, "first here"),
            );
        }
        neighbors.insert(checked.address, checked);
    }
    let of_neighbors = neighbors.values().filter_map(|it| Some((it, places.get(&it.address)?)));
    password::unsigned(of_neighbors, &groups, &ranges, sink);
    (neighbors, groups)
}

fn entries<T>(named: &Option<Spanned<Named<T>>>) -> impl Iterator<Item = &(Spanned<String>, Spanned<T>)> {
    named.iter().flat_map(|named| &named.get_ref().0)
}

fn typed_ranges(group: &file::Group) -> &[Spanned<Prefix>] {
    group.listen_range.as_ref().map_or(&[], |ranges| ranges.get_ref())
}

/// The group, if it admits peers by listen range. One that does not is checked all the same.
fn check_group(
    name: &Spanned<String>,
    group: &file::Group,
    cx: &Context<'_>,
    sink: &mut Sink,
) -> Option<Group> {
    let levels = Levels { own: &group.peer, group: None, place: name.span() };
    let ranges = typed_ranges(group);
    let remote_asn = peer::remote_asn(&levels);
    let settings = settings(&levels, remote_asn.unwrap_or(RemoteAsn::External), cx, sink);
    let who = format!("the peer group {}", secret::quoted(name.get_ref()));
    if ranges.is_empty() {
        if let Some(limit) = &group.listen_limit {
            let fault = Fault::warning(limit.span(), "`listen-limit` has no effect without `listen-range`");
            sink.push(fault.label("limits nothing"));
        }
        return None;
    }
    if remote_asn.is_none() {
        let fault = Fault::error(name.span(), format!("{who} has a `listen-range` but no `remote-asn`"));
        let fault = fault.label("which AS may connect?");
        sink.missing(
            "remote-asn",
            fault.help("remote-asn = NUMBER, \"external\" (any but ours) or \"internal\" (ours)"),
        );
    } else {
        peer::warn_without_import(&levels, &settings, &who, cx, sink);
    }
    active_with_range(group, sink);
    Some(Group {
        name: name.get_ref().clone(),
        listen_ranges: ranges.iter().map(|range| *range.get_ref()).collect(),
        listen_limit: group.listen_limit.as_ref().map_or(1000, |limit| limit.get_ref().get()),
        settings,
    })
}

fn active_with_range(group: &file::Group, sink: &mut Sink) {
    if let (Some(mode), Some(range)) = (&group.peer.mode, &group.listen_range)
        && *mode.get_ref() == Mode::Active
    {
        let fault = Fault::error(mode.span(), "`mode` = \"active\" and `listen-range` exclude each other");
        sink.push(
            fault.label("accepts no connection").related(range.span(), "peers here can only be accepted"),
        );
    }
}

/// The longest range wins, so only equal ones are ambiguous.
fn check_ranges(group: &Group, typed: &[Spanned<Prefix>], seen: &mut Ranges, sink: &mut Sink) {
    for range in typed {
        let prefix = *range.get_ref();
        if let Some((other, place)) = seen.insert(prefix, (group.name.clone(), range.span())) {
            let fault = Fault::error(range.span(), format!("the listen range {prefix} is given twice"));
            let fault = fault.label(format!("in the peer group {}", secret::quoted(&group.name)));
            sink.push(
                fault
                    .related(place, format!("and in {}", secret::quoted(&other)))
                    .help("of different ranges the longest wins"),
            );
        }
        if prefix.address().is_multicast() {
            let fault = Fault::error(range.span(), format!("the listen range {prefix} is multicast"));
            sink.push(fault.label("nobody connects from there"));
        }
        if let IpAddr::V6(v6) = prefix.address()
            && v6.to_ipv4_mapped().is_some()
        {
            let fault =
                Fault::error(range.span(), format!("the listen range {prefix} is IPv4 written as IPv6"));
            sink.push(fault.label("IPv4-mapped").help("write an IPv4 prefix"));
        }
        if let Some(local) = group.settings.session.local_address
            && local.is_ipv4() != prefix.address().is_ipv4()
        {
            let title = format!("the listen range {prefix} cannot connect to `local-address` {local}");
            sink.push(Fault::error(range.span(), title).label("another address family"));
        }
    }
}

fn check_neighbor(
    typed: &Spanned<String>,
    neighbor: &file::Neighbor,
    groups: &Typed<'_>,
    cx: &Context<'_>,
    sink: &mut Sink,
) -> Option<Neighbor> {
    let address = address(typed, neighbor, sink);
    let group = neighbor.peer_group.as_ref().and_then(|name| known_group(name, groups, sink));
    let levels =
        Levels { own: &neighbor.peer, group: group.map(|(_, group)| &group.peer), place: typed.span() };
    let remote_asn = peer::remote_asn(&levels);
    // A group that is not there may have one; that is said already.
    let group_unknown = neighbor.peer_group.is_some() && group.is_none();
    if remote_asn.is_none() && !group_unknown {
        let fault = Fault::error(
            typed.span(),
            format!("the neighbor {} has no `remote-asn`", secret::quoted(typed.get_ref())),
        );
        let fault = fault.label("needs: remote-asn = NUMBER, \"external\" or \"internal\"");
        sink.missing("remote-asn", fault.help("its own or that of its peer-group"));
    }
    let settings = settings(&levels, remote_asn.unwrap_or(RemoteAsn::External), cx, sink);
    let address = address?;
    if remote_asn.is_some() && group.is_none_or(|(_, group)| typed_ranges(group).is_empty()) {
        warn_once(typed, group, &levels, &settings, cx, sink);
    }
    check_local(address, &levels, sink);
    Some(Neighbor {
        address,
        interface: super::text(&neighbor.interface),
        group: group.map(|(name, _)| name.get_ref().clone()),
        settings,
    })
}

/// The warning about a missing `import` stands at the group where there is one: one word there helps all its neighbours.
fn warn_once(
    typed: &Spanned<String>,
    group: Option<(&Spanned<String>, &file::Group)>,
    levels: &Levels<'_>,
    settings: &super::super::model::Settings,
    cx: &Context<'_>,
    sink: &mut Sink,
) {
    let (place, who) = match group {
        Some((name, _)) => (name.span(), format!("the peer group {}", secret::quoted(name.get_ref()))),
        None => (typed.span(), format!("the neighbor {}", typed.get_ref())),
    };
    let levels = Levels { own: levels.own, group: levels.group, place };
    peer::warn_without_import(&levels, settings, &who, cx, sink);
}

fn known_group<'a>(
    typed: &Spanned<Text<63>>,
    groups: &Typed<'a>,
    sink: &mut Sink,
) -> Option<(&'a Spanned<String>, &'a file::Group)> {
    let name = typed.get_ref().0.as_str();
    let found = groups.get(name).copied();
    if found.is_none() {
        let fault = Fault::error(typed.span(), format!("there is no peer group {}", secret::quoted(name)))
            .label("not defined");
        let names: Vec<&str> = groups.keys().copied().collect();
        sink.push(match suggest::nearest(name, names.iter().copied()) {
            Some(meant) => fault.fix(typed.span(), format!("\"{meant}\"")),
            None if names.is_empty() => fault.help("a group is defined by [peer-group.NAME]; there is none"),
            None => fault.help(format!("could be {}", suggest::alternatives(&names))),
        });
    }
    found
}

fn address(typed: &Spanned<String>, neighbor: &file::Neighbor, sink: &mut Sink) -> Option<IpAddr> {
    let text = typed.get_ref();
    let Ok(address) = text.parse::<IpAddr>() else {
        let title = format!("the neighbor {} is not an IPv4 or IPv6 address", secret::quoted(text));
        let fault = Fault::error(typed.span(), title);
        sink.push(match text.split_once('%') {
            Some((address, interface)) => {
                let (address, interface) = (secret::quoted(address), secret::quoted(interface));
                fault.label(format!("write {address} and inside the table: interface = {interface}"))
            }
            None if text.contains('/') => fault
                .label("a prefix")
                .help("peers of a whole prefix are a [peer-group.NAME] with listen-range"),
            None => fault.label("not an address"),
        });
        return None;
    };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let fault =
            Fault::error(typed.span(), format!("the neighbor {text} is an IPv4 address written as IPv6"));
        sink.push(fault.label("IPv4-mapped").fix(typed.span(), format!("\"{v4}\"")));
        return None;
    }
    if let Some(why) = super::unusable(address) {
        sink.push(
            Fault::error(typed.span(), format!("the neighbor {text}: {why}")).label("no peer's address"),
        );
        return None;
    }
    if is_link_local(address) && neighbor.interface.is_none() {
        let fault =
            Fault::error(typed.span(), format!("the neighbor {text} is link-local and has no `interface`"));
        sink.push(fault.label("on which link?").help("write inside the table: interface = \"NAME\""));
    }
    Some(address)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn check_local(address: IpAddr, levels: &Levels<'_>, sink: &mut Sink) {
    let Some(local) = levels.local_address() else { return };
    let typed = *local.get_ref();
    if typed == address {
        let fault =
            Fault::error(local.span(), format!("`local-address` is the neighbor's own address {address}"));
        sink.push(fault.label("needs an address of this host").related(levels.place.clone(), "the neighbor"));
    } else if typed.is_ipv4() != address.is_ipv4() {
        let fault = Fault::error(
            local.span(),
            format!("`local-address` {typed} cannot reach the neighbor {address}"),
        );
        sink.push(fault.label("another address family").related(levels.place.clone(), "the neighbor"));
    }
}
