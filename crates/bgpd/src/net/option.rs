//! The one door to `setsockopt` and `getsockopt` for options that no crate knows.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use libc::{c_int, c_void, gid_t, socklen_t};
use nix::unistd::Gid;

/// A value that the kernel may read octet by octet: every octet of it is initialized, padding included.
///
/// # Safety
/// The type must be `repr(C)` or a primitive, without padding.
pub(super) unsafe trait OptionValue {}

// SAFETY: an integer has no padding.
unsafe impl OptionValue for c_int {}

/// Sets an option of a socket.
pub(super) fn set<T: OptionValue>(
    socket: &impl AsFd,
    level: c_int,
    name: c_int,
    value: &T,
) -> io::Result<()> {
    let len = socklen_t::try_from(size_of::<T>()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed; the pointer and the length describe `value`,
    // which the kernel only reads, before the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast::<c_void>(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The supplementary groups of the process at the other end of a Unix socket, as they were when it connected.
pub(super) fn peer_groups(socket: &impl AsFd) -> io::Result<Vec<Gid>> {
    let mut groups: Vec<gid_t> = vec![0; 32];
    loop {
        let mut len =
            socklen_t::try_from(size_of_val(groups.as_slice())).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the descriptor is open for as long as `socket` is borrowed; pointer and length describe `groups`, which
        // the kernel writes before the call returns, and every pattern of octets is a `gid_t`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast::<c_void>(),
                &raw mut len,
            )
        };
        // Also where there was not room enough, `len` says how much it takes.
        let count = usize::try_from(len).unwrap_or(0) / size_of::<gid_t>();
        let error = io::Error::last_os_error();
        match result {
            0 => return Ok(groups.into_iter().take(count).map(Gid::from_raw).collect()),
            _ if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => {
                groups.resize(count, 0)
            }
            _ => return Err(error),
        }
    }
}
