//! What each side of a session announced in its OPEN, side by side.

use std::collections::BTreeMap;

use bgp_api::Capability as View;
use bgp_session::Status;
use bgp_wire::capability::Capability;

use crate::config::{GracefulRestartMode, Settings};

/// One line a capability, in the order of names.
pub(super) fn views(settings: &Settings, session: &Status) -> Vec<View> {
    let Some(negotiated) = &session.negotiated else { return Vec::new() };
    let mut lines: BTreeMap<String, View> = BTreeMap::new();
    for (name, value) in ours(settings) {
        lines.entry(name.clone()).or_insert_with(|| View { name, ..View::default() }).local = Some(value);
    }
    for capability in &negotiated.capabilities {
        let (name, value) = words(capability);
        lines.entry(name.clone()).or_insert_with(|| View { name, ..View::default() }).remote = Some(value);
    }
    lines.into_values().collect()
}

fn ours(settings: &Settings) -> Vec<(String, String)> {
    let yes = || "yes".to_owned();
    let mut names = vec![
        ("4-octet AS".to_owned(), yes()),
        ("enhanced route refresh".to_owned(), yes()),
        ("extended message".to_owned(), yes()),
        ("route refresh".to_owned(), yes()),
    ];
    for (family, offered) in settings.session.families.iter() {
        if *offered {
            names.push((format!("multiprotocol {family}"), yes()));
        }
    }
    if settings.session.families.ipv4 {
        names.push(("extended next hop".to_owned(), "ipv4-unicast over IPv6".to_owned()));
    }
    match settings.session.graceful_restart.mode {
        GracefulRestartMode::Off => {}
        GracefulRestartMode::Helper => names.push(("graceful restart".to_owned(), "as helper".to_owned())),
        GracefulRestartMode::Full => names.push((
            "graceful restart".to_owned(),
            format!("{} s", settings.session.graceful_restart.restart_time),
        )),
    }
    let long_lived = settings.session.graceful_restart.long_lived_stale_time;
    if !long_lived.is_zero() && settings.session.graceful_restart.mode != GracefulRestartMode::Off {
        names.push(("long-lived graceful restart".to_owned(), format!("{} s", long_lived.as_secs())));
    }
    names
}

fn words(capability: &Capability) -> (String, String) {
    let yes = || "yes".to_owned();
    match capability {
        Capability::Multiprotocol(code) => (format!("multiprotocol {code}"), yes()),
        Capability::RouteRefresh => ("route refresh".to_owned(), yes()),
        Capability::ExtendedNextHop(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|entry| format!("{} over afi {}", entry.family, entry.next_hop_afi))
                .collect();
            (
                "extended next hop".to_owned(),
                entries.join(", ").replace("afi 2", "IPv6").replace("afi 1", "IPv4"),
            )
        }
        Capability::ExtendedMessage => ("extended message".to_owned(), yes()),
        Capability::GracefulRestart(restart) => {
            let families: Vec<_> = restart
                .families
                .iter()
                .map(|(family, kept)| format!("{family}{}", if *kept { " (forwarding kept)" } else { "" }))
                .collect();
            let mut text = format!("{} s", restart.restart_time);
            for part in [
                restart.restarted.then(|| "restarted".to_owned()),
                restart.notification.then(|| "notification".to_owned()),
                (!families.is_empty()).then(|| families.join(", ")),
            ]
            .into_iter()
            .flatten()
            {
                text.push_str(", ");
                text.push_str(&part);
            }
            ("graceful restart".to_owned(), text)
        }
        Capability::LongLivedGracefulRestart(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|entry| format!("{} {} s", entry.family, entry.stale_time)).collect();
            let text = if entries.is_empty() { "as helper".to_owned() } else { entries.join(", ") };
            ("long-lived graceful restart".to_owned(), text)
        }
        Capability::FourOctetAs(asn) => ("4-octet AS".to_owned(), asn.to_string()),
        Capability::AddPath(entries) => ("add-path".to_owned(), format!("{} families", entries.len())),
        Capability::EnhancedRouteRefresh => ("enhanced route refresh".to_owned(), yes()),
        Capability::Fqdn { host, domain } if domain.is_empty() => ("fqdn".to_owned(), host.clone()),
        Capability::Fqdn { host, domain } => ("fqdn".to_owned(), format!("{host}.{domain}")),
        Capability::Unknown { code, value } => {
            (format!("unknown (code {code})"), format!("{} octets", value.len()))
        }
    }
}
