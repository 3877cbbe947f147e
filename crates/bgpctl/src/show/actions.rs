//! What was done, the config and the versions.

use bgp_api::{ActionReply, ConfigReply, ReloadReply, VersionReply};

use crate::text::{clean, clean_lines, duration};

/// `neighbor ADDRESS reset|shutdown|start`.
pub(crate) fn action(reply: &ActionReply) -> String {
    format!("{} {}: {}\n", clean(&reply.address), reply.action, clean(&reply.message))
}

/// `reload`.
pub(crate) fn reload(reply: &ReloadReply) -> String {
    let mut text = match reply.changes.len() {
        0 => format!("{}: nothing changed\n", clean(&reply.path)),
        1 => format!("{}: 1 change\n", clean(&reply.path)),
        n => format!("{}: {n} changes\n", clean(&reply.path)),
    };
    let mut list = |lead: &str, items: &[String]| {
        for item in items {
            text.push_str(&format!("  {lead}{}\n", clean(item)));
        }
    };
    list("", &reply.changes);
    list("session reset: ", &reply.reset);
    list("after a restart: ", &reply.needs_restart);
    text
}

/// `show config`: TOML with a comment on top, so that it may be saved as it is.
pub(crate) fn config(reply: &ConfigReply) -> String {
    format!(
        "# {}, loaded {} ago; passwords are hidden\n{}\n",
        clean(&reply.path),
        duration(reply.loaded_seconds),
        clean_lines(&reply.toml)
    )
}

/// `version`.
pub(crate) fn version(reply: &VersionReply) -> String {
    format!("bgpd-rs {} (API {})\n", clean(&reply.version), clean(&reply.api.join(", ")))
}
