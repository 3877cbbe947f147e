//! What Landlock and seccomp leave: tried by a process that is root, so that nothing but the fences can be what refuses.

use std::fs;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use bgpd_rs::config::Sandbox;
use bgpd_rs::privileges::settle;
use bgpd_rs::sandbox::{Fence, calls, files};
use libc::c_long;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socket,
};

use crate::is;

/// Calls that end the process, each tried by a process of its own.
pub(crate) const DEADLY: &[(&str, c_long)] = &[
    ("execve", libc::SYS_execve),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("bpf", libc::SYS_bpf),
    ("init_module", libc::SYS_init_module),
    ("mount", libc::SYS_mount),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("keyctl", libc::SYS_keyctl),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("userfaultfd", libc::SYS_userfaultfd),
];

/// A system call with nothing but zeros; its errno.
fn call(number: c_long) -> i32 {
    // SAFETY: with null pointers and zero lengths no call that is tried here touches this process's memory.
    let result = unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
}

/// Makes one of the deadly calls on another thread than the one that put up the fence.
pub(crate) fn dies_of(name: &str) {
    let (_, number) = DEADLY.iter().find(|(known, _)| *known == name).unwrap();
    settle(None).unwrap();
    let (go, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        wait.recv().unwrap();
        call(*number)
    });
    is(calls::restrict(Sandbox::On), Fence::Closed, "seccomp");
    go.send(()).unwrap();
    panic!("{name} was survived: errno {:?}", thread.join());
}

/// A directory of the daemon's own, as `/etc/bgpd-rs` and `/run/bgpd-rs` are. The parent makes and removes it: behind the
/// fences nothing of it can be removed.
pub(crate) struct Home(PathBuf);

impl Home {
    /// Where the child finds it.
    pub(crate) const VARIABLE: &str = "PRIVILEGES_HOME";

    fn given() -> Self {
        Self(std::env::var_os(Self::VARIABLE).expect("the parent names it").into())
    }

    pub(crate) fn make() -> Self {
        let home = std::env::temp_dir().join(format!("bgpd-rs-fences-{}", std::process::id()));
        for directory in ["etc", "run", "keys", "elsewhere"] {
            fs::create_dir_all(home.join(directory)).unwrap();
        }
        for file in ["etc/bgpd-rs.toml", "etc/other.toml", "keys/key", "elsewhere/file"] {
            fs::write(home.join(file), "text").unwrap();
        }
        Self(home)
    }

    pub(crate) fn remove(self) {
        fs::remove_dir_all(self.0).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

/// Landlock is around one thread and its children.
pub(crate) fn no_thread_stays_outside() {
    let (go, wait) = mpsc::channel::<()>();
    let outside = std::thread::spawn(move || wait.recv());
    let fence = files::restrict(&files::Needs::default()).fence;
    is(fence, Fence::Open("the process has 2 threads already".to_owned()), "Landlock");
    go.send(()).unwrap();
    outside.join().unwrap().unwrap();
}

pub(crate) fn what_still_works() {
    settle(None).unwrap();
    is(nix::unistd::geteuid().is_root(), true, "is root");
    let home = Home::given();
    let fence = files::restrict(&files::Needs {
        config: home.path("etc/bgpd-rs.toml"),
        password_files: vec![home.path("keys/key")],
        socket: home.path("run/control.sock"),
        listen: vec!["[::]:1790".parse().unwrap()],
    });
    is(fence.fence.clone(), Fence::Closed, "Landlock");
    what_landlock_leaves(&home);

    let (go, wait) = mpsc::channel::<()>();
    let older = std::thread::spawn(move || {
        wait.recv().unwrap();
        what_seccomp_refuses();
    });
    is(calls::restrict(Sandbox::On), Fence::Closed, "seccomp");
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        is(status.lines().any(|line| line == "Seccomp:\t2"), true, "each thread is filtered");
    }
    what_seccomp_leaves(&home);
    what_seccomp_refuses();
    go.send(()).unwrap();
    older.join().unwrap();
    std::thread::spawn(what_seccomp_refuses).join().unwrap();
    // The fences are around what was there before, too: nothing of it can be removed but the socket.
    is(fs::remove_dir_all(&home.0).is_err(), true, "the directory stays, for the parent");
}

fn what_landlock_leaves(home: &Home) {
    let denied = |outcome: std::io::Result<()>, what: &str| {
        is(outcome.map_err(|error| error.kind()), Err(ErrorKind::PermissionDenied), what);
    };
    let read = |path: &Path| fs::read(path).map(drop);
    for path in ["etc/bgpd-rs.toml", "etc/other.toml", "keys/key"] {
        is(read(&home.path(path)).is_ok(), true, path);
    }
    for path in ["/etc/shadow", "/etc/passwd", "/root/.bashrc", "/usr/bin/env"] {
        let there = fs::exists(path).unwrap_or(true);
        is(!there || read(Path::new(path)).is_err(), true, path);
    }
    denied(read(&home.path("elsewhere/file")), "another directory");
    denied(fs::write(home.path("etc/bgpd-rs.toml"), "x"), "to write the configuration");
    denied(fs::write(home.path("run/file"), "x"), "to make a file beside the socket");
    denied(fs::remove_file(home.path("etc/other.toml")), "to remove a configuration");
    denied(Command::new("/bin/true").status().map(drop), "to run a program");

    let socket = home.path("run/control.sock");
    drop(UnixListener::bind(&socket).unwrap());
    fs::remove_file(&socket).unwrap();
    denied(UnixListener::bind(home.path("elsewhere/s")).map(drop), "a socket elsewhere");
    TcpListener::bind("[::]:1790").unwrap();
    TcpListener::bind("[::]:0").unwrap();
    denied(TcpListener::bind("[::]:1791").map(drop), "another port");

    is(bgpd_rs::process::figures().open_fds > 0, true, "its own figures");
    for policy in ["ipv4", "ipv6"] {
        let path = format!("/proc/sys/net/{policy}/fib_multipath_hash_policy");
        is(fs::write(&path, "1").is_ok(), true, &path);
    }
    denied(fs::write("/proc/sys/net/ipv4/ip_forward", "1"), "another setting");
    denied(fs::write("/proc/sys/kernel/core_pattern", "|/bin/sh"), "the kernel's core pattern");
    let parent = nix::sys::signal::kill(nix::unistd::getppid(), None);
    is(parent, Err(nix::Error::EPERM), "to signal another process");
}

fn what_seccomp_leaves(home: &Home) {
    is(std::thread::spawn(|| 7).join().unwrap(), 7, "threads");
    TcpListener::bind("[::]:1790").unwrap();
    drop(UnixListener::bind(home.path("run/control.sock")).unwrap());
    bgp_netlink::TcpMd5Counters::read().unwrap();
    let route = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
    is(route.is_ok(), true, "route netlink");
    // What a successor is handed: descriptors by a Unix socket, state in memory, and somebody to watch.
    let memory = memfd_create("state", MFdFlags::MFD_CLOEXEC).unwrap();
    nix::unistd::write(&memory, b"state").unwrap();
    let (one, other) = UnixStream::pair().unwrap();
    let descriptors = [memory.as_raw_fd()];
    let sent = sendmsg::<()>(
        one.as_raw_fd(),
        &[IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::empty(),
        None,
    );
    is(sent, Ok(1), "sends a descriptor");
    let mut octet = [0];
    let mut room = nix::cmsg_space!([i32; 1]);
    let mut slices = [IoSliceMut::new(&mut octet)];
    let got = recvmsg::<()>(other.as_raw_fd(), &mut slices, Some(&mut room), MsgFlags::empty()).unwrap();
    let received = got.cmsgs().unwrap().any(|message| matches!(message, ControlMessageOwned::ScmRights(_)));
    is(received, true, "receives a descriptor");
    // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
    let watched = unsafe {
        let number = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0);
        OwnedFd::from_raw_fd(i32::try_from(number).unwrap())
    };
    is(watched.as_raw_fd() >= 0, true, "watches a process");
}

/// Each of these is answered as by a kernel that does not have it.
fn what_seccomp_refuses() {
    for (name, number) in [
        ("setuid", libc::SYS_setuid),
        ("clone3", libc::SYS_clone3),
        ("clone of a process", libc::SYS_clone),
        ("a process's priority", libc::SYS_setpriority),
        ("a call that does not exist", 1_000_000),
    ] {
        is(call(number), libc::ENOSYS, name);
    }
    let family = |family| socket(family, SockType::Raw, SockFlag::empty(), None).map(drop);
    is(family(AddressFamily::Packet), Err(nix::Error::ENOSYS), "a packet socket");
    is(family(AddressFamily::Vsock), Err(nix::Error::ENOSYS), "a vsock socket");
    let length = std::num::NonZeroUsize::new(4096).unwrap();
    let executable = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_EXEC;
    // SAFETY: a new anonymous mapping at a place of the kernel's choice overlays nothing.
    let mapped = unsafe {
        nix::sys::mman::mmap_anonymous(None, length, executable, nix::sys::mman::MapFlags::MAP_PRIVATE)
    };
    is(mapped.map(drop), Err(nix::Error::ENOSYS), "executable memory");
}
