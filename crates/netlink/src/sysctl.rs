//! The few kernel settings on which forwarding depends, through `/proc/sys` of the own network namespace.
//!
//! With the default `fib_multipath_hash_policy` of 0 every connection that the host itself opens to one address takes
//! the same next hop; with `nexthop_compat_mode` of 1 a change of a nexthop group costs an event per route. Whether to
//! change them is the configuration's word, not decided here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A setting, one number, of the network namespace of the calling thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sysctl {
    /// How IPv4 picks a member of a multipath route: 0 addresses, 1 addresses and ports, 2 inner addresses, 3 chosen
    /// fields.
    Ipv4MultipathHashPolicy,
    /// The same for IPv6.
    Ipv6MultipathHashPolicy,
    /// Whether the kernel repeats the expanded next hops of nexthop objects in every route, and announces every route
    /// again when a group changes. Holds for both families.
    NexthopCompatMode,
}

impl Sysctl {
    /// The name as sysctl(8) writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4MultipathHashPolicy => "net.ipv4.fib_multipath_hash_policy",
            Self::Ipv6MultipathHashPolicy => "net.ipv6.fib_multipath_hash_policy",
            Self::NexthopCompatMode => "net.ipv4.nexthop_compat_mode",
        }
    }

    /// Reads the value that is in force.
    pub fn read(self) -> Result<u32, SysctlError> {
        let text = std::fs::read_to_string(self.path()).map_err(|source| self.error("read", source))?;
        text.trim().parse().map_err(|_| {
            self.error("read", io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no number")))
        })
    }

    /// Puts `value` in force, for the network namespace and until it ends.
    pub fn write(self, value: u32) -> Result<(), SysctlError> {
        std::fs::write(self.path(), format!("{value}\n")).map_err(|source| self.error("write", source))
    }

    fn path(self) -> PathBuf {
        // `/proc/sys` follows the network namespace of the thread that opens the file.
        Path::new("/proc/sys").join(self.name().replace('.', "/"))
    }

    fn error(self, action: &'static str, source: io::Error) -> SysctlError {
        SysctlError { sysctl: self, action, source }
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a setting could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {sysctl}: {source}{}", hint(.source))]
pub struct SysctlError {
    /// The setting.
    pub sysctl: Sysctl,
    action: &'static str,
    /// What the system said.
    pub source: io::Error,
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => " (this kernel does not have it)",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            " (/proc/sys is protected from this process; set it in /etc/sysctl.d)"
        }
        _ => "",
    }
}
