//! The names of NOTIFICATION codes and subcodes, as IANA's registry has them.

use std::fmt;

use super::Notification;

/// Writes `Code/Subcode`; numbers stand for what has no name.
pub(super) fn code(notification: &Notification, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (name, subcodes): (&str, &[&str]) = match notification.code {
        1 => ("Message Header Error", &HEADER),
        2 => ("OPEN Message Error", &OPEN),
        3 => ("UPDATE Message Error", &UPDATE),
        4 => ("Hold Timer Expired", &[]),
        5 => ("Finite State Machine Error", &FSM),
        6 => ("Cease", &CEASE),
        7 => ("ROUTE-REFRESH Message Error", &ROUTE_REFRESH),
        8 => ("Send Hold Timer Expired", &[]),
        unknown => return write!(f, "Error {unknown}/{}", notification.subcode),
    };
    f.write_str(name)?;
    match (notification.subcode, subcodes.get(usize::from(notification.subcode))) {
        (0, _) => Ok(()),
        (_, Some(subcode)) if !subcode.is_empty() => write!(f, "/{subcode}"),
        (unknown, _) => write!(f, "/{unknown}"),
    }
}

const HEADER: [&str; 4] = ["", "Connection Not Synchronized", "Bad Message Length", "Bad Message Type"];
const OPEN: [&str; 12] = [
    "",
    "Unsupported Version Number",
    "Bad Peer AS",
    "Bad BGP Identifier",
    "Unsupported Optional Parameter",
    "Authentication Failure",
    "Unacceptable Hold Time",
    "Unsupported Capability",
    "",
    "",
    "",
    "Role Mismatch",
];
const UPDATE: [&str; 12] = [
    "",
    "Malformed Attribute List",
    "Unrecognized Well-known Attribute",
    "Missing Well-known Attribute",
    "Attribute Flags Error",
    "Attribute Length Error",
    "Invalid ORIGIN Attribute",
    "AS Routing Loop",
    "Invalid NEXT_HOP Attribute",
    "Optional Attribute Error",
    "Invalid Network Field",
    "Malformed AS_PATH",
];
const FSM: [&str; 4] = [
    "",
    "Receive Unexpected Message in OpenSent State",
    "Receive Unexpected Message in OpenConfirm State",
    "Receive Unexpected Message in Established State",
];
const CEASE: [&str; 11] = [
    "",
    "Maximum Number of Prefixes Reached",
    "Administrative Shutdown",
    "Peer De-configured",
    "Administrative Reset",
    "Connection Rejected",
    "Other Configuration Change",
    "Connection Collision Resolution",
    "Out of Resources",
    "Hard Reset",
    "BFD Down",
];
const ROUTE_REFRESH: [&str; 2] = ["", "Invalid Message Length"];
