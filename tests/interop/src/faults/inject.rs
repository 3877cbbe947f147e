//! System calls that fail: a seccomp filter around the daemon asks this process about every request that it sends to the
//! kernel by netlink, or about every thread that it starts, and this process lets it through or has it fail
//! (seccomp_unotify(2)).
//!
//! The daemon's own filters are put on top and do not know; what it sees is what `sendto` of a kernel without memory
//! gives it.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sockets::descriptor_of;

/// The number under which the daemon inherits the end that the kernel asks.
const LISTENER: libc::c_int = 900;
/// Octets of `struct sockaddr_nl`: what tells a request to netlink from octets for a peer.
const NETLINK_ADDRESS: u32 = 12;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// Requests to netlink.
    Netlink,
    /// New threads, once the daemon's sandbox is closed: its answer to `clone3` has libc fall back to `clone`, which can be
    /// asked about.
    Threads,
}

/// What calls answer at the moment, and how often they have.
#[derive(Clone, Debug, Default)]
pub struct Injector {
    errno: Arc<AtomicI32>,
    failed: Arc<AtomicU64>,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Injector {
    /// Has the command put the filter up before it becomes its program. [`Injector::attend`] must follow at once.
    pub fn surround(command: &mut Command, calls: Calls) {
        // SAFETY: prctl, seccomp, dup2 and close are async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || match calls {
                Calls::Netlink => put_up_filter(&mut ask_about_netlink()),
                Calls::Threads => put_up_filter(&mut ask_about_threads()),
            });
        }
    }

    /// From now on every request waits, as where somebody else holds the lock of the kernel's interfaces and routes; `false`
    /// lets them go on.
    pub fn hold(&self, held: bool) {
        let (flag, changed) = &*self.held;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = held;
        changed.notify_all();
    }

    fn wait_while_held(&self) {
        let (flag, changed) = &*self.held;
        let flag = flag.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_while(flag, |held| *held));
    }

    /// Answers what the kernel asks, on a thread of its own, until the daemon has ended.
    pub fn attend(&self, pid: i32) -> Result<()> {
        let listener = descriptor_of(pid, LISTENER).context("the filter's listener")?;
        let this = self.clone();
        thread::spawn(move || this.answer(&listener));
        Ok(())
    }

    /// From now on every call fails with this error.
    pub fn fail(&self, errno: Errno) {
        self.errno.store(errno as i32, Ordering::SeqCst);
    }

    /// From now on calls go through. Says how many failed since the last time.
    pub fn let_through(&self) -> u64 {
        self.errno.store(0, Ordering::SeqCst);
        self.failed.swap(0, Ordering::SeqCst)
    }

    fn answer(&self, listener: &OwnedFd) {
        loop {
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            // Nobody is left whom the filter is around.
            if fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
                return;
            }
            self.wait_while_held();
            let errno = self.errno.load(Ordering::SeqCst);
            if let Some(id) = question(listener) {
                if errno != 0 {
                    self.failed.fetch_add(1, Ordering::SeqCst);
                }
                reply(listener, id, errno);
            }
        }
    }
}

/// The id of the call that waits; none if it has ended meanwhile.
fn question(listener: &OwnedFd) -> Option<u64> {
    // SAFETY: all octets zero is a valid value of this structure of numbers, and what the kernel wants to see.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the structure is the one that this request fills.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut asked) };
    (result == 0).then_some(asked.id)
}

fn reply(listener: &OwnedFd, id: u64, errno: i32) {
    let flags = if errno == 0 { libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32 } else { 0 };
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags };
    // SAFETY: the descriptor is open, and the structure is the one that this request reads. Who asked may be gone, which
    // is as good as answered.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer);
    }
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
/// Where the number of the call is in `struct seccomp_data`.
const NUMBER: u32 = 0;

/// A step of classic BPF over `struct seccomp_data`.
const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// `sendto` with an address of netlink's length.
fn ask_about_netlink() -> [libc::sock_filter; 6] {
    /// The lower half of the sixth argument.
    const ADDRESS_LENGTH: u32 = if cfg!(target_endian = "little") { 56 } else { 60 };
    [
        step(LOAD, NUMBER, 0, 0),
        step(JUMP_IF_EQUAL, libc::SYS_sendto as u32, 0, 3),
        step(LOAD, ADDRESS_LENGTH, 0, 0),
        step(JUMP_IF_EQUAL, NETLINK_ADDRESS, 0, 1),
        step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]
}

fn ask_about_threads() -> [libc::sock_filter; 4] {
    [
        step(LOAD, NUMBER, 0, 0),
        step(JUMP_IF_EQUAL, libc::SYS_clone as u32, 0, 1),
        step(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]
}

fn put_up_filter(program: &mut [libc::sock_filter]) -> std::io::Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is there for the call, and its length is its own; the other calls take numbers. The copy is
    // meant for the program to be, the first one ends with the exec.
    let result = unsafe {
        let listener = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const filter,
        );
        if listener < 0 { -1 } else { libc::dup2(listener as libc::c_int, LISTENER) }
    };
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
