//! The paths of version 1 and how a path with a variable part or a query is written.
//!
//! The constants with braces are in the form that axum takes as a route.

use crate::action::NeighborAction;

/// `GET` -> [`crate::VersionReply`].
pub const VERSION: &str = "/v1/version";
/// `GET` -> [`crate::Summary`].
pub const SUMMARY: &str = "/v1/summary";
/// `GET ?`[`crate::NeighborQuery`] -> [`crate::NeighborsReply`]; an unknown address is 404 `neighbor-unknown`.
pub const NEIGHBORS: &str = "/v1/neighbors";
/// `POST` [`crate::ActionRequest`] (an empty body is an empty request) -> [`crate::ActionReply`]; the last part is
/// `reset`, `shutdown`, `start`, `graceful-shutdown` or `no-graceful-shutdown`; with the last two the address may be
/// [`ALL_NEIGHBORS`].
pub const NEIGHBOR_ACTION: &str = "/v1/neighbors/{address}/{action}";
/// In the place of an address: every neighbour, and those that come later.
pub const ALL_NEIGHBORS: &str = "all";
/// `GET ?`[`crate::RouteQuery`] -> [`crate::RoutesReply`].
pub const ROUTES: &str = "/v1/routes";
/// `GET ?`[`crate::FibQuery`] -> [`crate::FibReply`].
pub const FIB: &str = "/v1/fib";
/// `GET` -> [`crate::NexthopsReply`].
pub const NEXTHOPS: &str = "/v1/nexthops";
/// `GET` -> [`crate::DrainReply`]; `POST` [`crate::DrainRequest`] -> the same, of that node. An unknown node is 404
/// `neighbor-unknown`, a name that several nodes have is 409 `conflict`.
pub const DRAIN: &str = "/v1/drain";
/// `GET` -> [`crate::BfdReply`].
pub const BFD: &str = "/v1/bfd";
/// `GET` -> [`crate::DoctorReply`].
pub const DOCTOR: &str = "/v1/doctor";
/// `GET` -> [`crate::ConfigReply`].
pub const CONFIG: &str = "/v1/config";
/// `POST` [`crate::ReloadRequest`] (an empty body is an empty request) -> [`crate::ReloadReply`]; `GET
/// ?`[`crate::PlanQuery`] -> [`crate::ReloadPlan`], which changes nothing. A config with faults is 422
/// `config-invalid`; a reload while another one waits for its confirmation is 409 `conflict`.
pub const RELOAD: &str = "/v1/reload";
/// `POST`, no body -> [`crate::ConfirmReply`]; 409 `conflict` where nothing waits for it.
pub const CONFIRM: &str = "/v1/reload/confirm";
/// `GET` -> one [`crate::Event`] as JSON per line (`application/x-ndjson`), the first is `monitor-started`.
pub const MONITOR: &str = "/v1/monitor";

/// The path that does `action` to the neighbour `address`.
pub fn neighbor_action(address: &str, action: NeighborAction) -> String {
    format!("{NEIGHBORS}/{}/{action}", encode(address))
}

/// `path` with those of `pairs` that have a value behind it as a query.
pub fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = path.to_owned();
    let mut mark = '?';
    for (key, value) in pairs {
        if let Some(value) = value {
            text.push(mark);
            text.push_str(key);
            text.push('=');
            text.push_str(&encode(value));
            mark = '&';
        }
    }
    text
}

/// Percent encoding, RFC 3986 section 2.1. The colon of an IPv6 address stays readable: it may stand in a path segment
/// and in a query.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;

    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                encoded.push(char::from(octet));
            }
            // Writing to a String cannot fail.
            _ => write!(encoded, "%{octet:02X}").unwrap_or_default(),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_readable_and_everything_else_is_encoded() {
        assert_eq!(neighbor_action("2001:db8::2", NeighborAction::Reset), "/v1/neighbors/2001:db8::2/reset");
        assert_eq!(
            neighbor_action("fe80::1%eth0/../x", NeighborAction::Start),
            "/v1/neighbors/fe80::1%25eth0%2F..%2Fx/start"
        );
    }

    #[test]
    fn only_values_that_exist_reach_the_query() {
        let pairs = [("prefix", Some("2004::1/128")), ("received", None), ("family", Some("a&b c"))];
        assert_eq!(with_query(ROUTES, &pairs), "/v1/routes?prefix=2004::1%2F128&family=a%26b%20c");
        assert_eq!(with_query(ROUTES, &[("limit", None)]), "/v1/routes");
    }
}
