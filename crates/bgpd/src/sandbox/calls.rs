//! seccomp: which system calls (seccomp(2)).
//!
//! Three kinds. What the daemon uses is allowed, some of it with conditions on arguments: no page becomes executable, no
//! process is made, sockets are Unix, IPv4, IPv6, route netlink and netlink that lists sockets. What no daemon of this
//! kind ever calls, and what an intruder calls first, ends the process. Everything else answers ENOSYS, as an older kernel
//! would: a library that tries something new falls back to what it did before, and routes stay.
//!
//! The filters are data in `filters`, compiled by `seccompiler`; hot calls have no conditions, so that the kernel
//! answers them from a bitmap. Calls have other numbers, and some other names, on each kind of processor: on one for
//! which there is no list there is no fence.

use seccompiler::SeccompAction;

use self::filters::programs;
use super::Fence;
use crate::config::Sandbox;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
mod filters;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod filters {
    use seccompiler::{BackendError, BpfProgram, Error, SeccompAction};

    pub(super) fn programs(_: SeccompAction, _: SeccompAction) -> Result<[BpfProgram; 2], Error> {
        Err(BackendError::InvalidTargetArch(std::env::consts::ARCH.to_owned()).into())
    }
}

/// Puts up the fence on all threads. It cannot be taken down.
///
/// `no_new_privs` must be set on every thread already; `privileges::settle` has done that.
pub fn restrict(mode: Sandbox) -> Fence {
    let filters = match mode {
        Sandbox::Off => return Fence::Open("process.sandbox is \"off\"".to_owned()),
        Sandbox::On => programs(SeccompAction::KillProcess, SeccompAction::Errno(ENOSYS)),
        // The second filter would log what the first one ends, too.
        Sandbox::Log => programs(SeccompAction::Log, SeccompAction::Log),
    };
    match filters.and_then(|filters| {
        filters.iter().try_for_each(|program| seccompiler::apply_filter_all_threads(program))
    }) {
        Ok(()) if mode == Sandbox::Log => Fence::Partial,
        Ok(()) => Fence::Closed,
        Err(error) => Fence::Open(error.to_string()),
    }
}

/// As `SECCOMP_RET_ERRNO` takes it.
const ENOSYS: u32 = libc::ENOSYS.unsigned_abs();
