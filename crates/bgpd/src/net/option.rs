//! The one door to `setsockopt` for options that no crate knows.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use libc::{c_int, c_void, socklen_t};

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
