//! What was done, the config and the versions.

use bgp_api::{ActionReply, ConfigReply, VersionReply};

use crate::text::{clean, clean_lines, duration};

/// `neighbor ADDRESS reset|shutdown|start`.
pub(crate) fn action(reply: &ActionReply) -> String {
    format!("{} {}: {}\n", clean(&reply.address), reply.action, clean(&reply.message))
}

/// `show config`: TOML with a comment on top, so that it may be saved as it is.
pub(crate) fn config(reply: &ConfigReply) -> String {
    let mut text = format!(
        "# {}, loaded {} ago; passwords are hidden\n",
        clean(&reply.path),
        duration(reply.loaded_seconds)
    );
    if let Some(trial) = trial(reply.confirm_seconds, reply.rolled_back_seconds) {
        text.push_str(&format!("# {trial}\n"));
    }
    text.push_str(&clean_lines(&reply.toml));
    text.push('\n');
    text
}

/// What is to be said of a reload that needs its confirmation, or did not get it.
pub(crate) fn trial(confirm_seconds: Option<u64>, rolled_back_seconds: Option<u64>) -> Option<String> {
    match (confirm_seconds, rolled_back_seconds) {
        (Some(left), _) => Some(format!(
            "not confirmed: the former config comes back in {}; bgpctl confirm keeps this one",
            duration(left)
        )),
        (None, Some(ago)) => Some(format!(
            "rolled back {} ago, nobody confirmed the reload: the file still has what was taken back",
            duration(ago)
        )),
        (None, None) => None,
    }
}

/// `version`.
pub(crate) fn version(reply: &VersionReply) -> String {
    format!("bgpd-rs {} (API {})\n", clean(&reply.version), clean(&reply.api.join(", ")))
}
