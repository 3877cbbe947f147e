//! Which system calls there are, by name, and the two filters that are made of them.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Calls without a condition. Those for handing sockets and sessions to a successor are among them: descriptors travel
/// by `sendmsg`, state in a `memfd`, and a process is watched by a `pidfd`.
#[rustfmt::skip]
const ALLOWED: &[c_long] = &[
    // Files and descriptors.
    libc::SYS_read, libc::SYS_readv, libc::SYS_pread64, libc::SYS_write, libc::SYS_writev, libc::SYS_pwrite64,
    libc::SYS_lseek, libc::SYS_openat, libc::SYS_close, libc::SYS_close_range, libc::SYS_fstat, libc::SYS_newfstatat,
    libc::SYS_statx, libc::SYS_fstatfs, libc::SYS_statfs, libc::SYS_getdents64, libc::SYS_readlinkat,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_unlinkat, libc::SYS_mkdirat, libc::SYS_renameat2,
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fcntl, libc::SYS_flock, libc::SYS_ftruncate,
    libc::SYS_fallocate, libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_dup, libc::SYS_dup3, libc::SYS_pipe2,
    libc::SYS_eventfd2, libc::SYS_memfd_create, libc::SYS_getcwd, libc::SYS_umask,
    // Waiting.
    libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_ppoll,
    libc::SYS_pselect6, libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres,
    libc::SYS_gettimeofday, libc::SYS_restart_syscall,
    // Sockets that are there.
    libc::SYS_bind, libc::SYS_connect, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_getsockname,
    libc::SYS_getpeername, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg, libc::SYS_recvmsg,
    libc::SYS_sendmmsg, libc::SYS_recvmmsg, libc::SYS_setsockopt, libc::SYS_getsockopt, libc::SYS_shutdown,
    // Memory.
    libc::SYS_brk, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_membarrier, libc::SYS_mincore,
    // Threads and signals.
    libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_set_tid_address,
    libc::SYS_exit, libc::SYS_exit_group, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_getcpu,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack, libc::SYS_tgkill, libc::SYS_tkill, libc::SYS_kill, libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal, libc::SYS_pidfd_getfd, libc::SYS_wait4, libc::SYS_waitid,
    // Who and how much.
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getegid, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_capget,
    libc::SYS_prlimit64, libc::SYS_getrusage, libc::SYS_times, libc::SYS_sysinfo, libc::SYS_uname, libc::SYS_getrandom,
];

/// What newer architectures do by calls of the list above.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_OF_THIS_MACHINE: &[c_long] = &[
    libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_unlink, libc::SYS_mkdir,
    libc::SYS_rename, libc::SYS_chmod, libc::SYS_readlink, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_wait,
    libc::SYS_epoll_create, libc::SYS_pipe, libc::SYS_dup2, libc::SYS_getdents, libc::SYS_time, libc::SYS_arch_prctl,
    libc::SYS_getrlimit, libc::SYS_eventfd, libc::SYS_renameat,
];
#[cfg(target_arch = "aarch64")]
const ALLOWED_OF_THIS_MACHINE: &[c_long] = &[libc::SYS_renameat];
#[cfg(target_arch = "riscv64")]
const ALLOWED_OF_THIS_MACHINE: &[c_long] = &[];

/// Calls that end the process. None of them is called by this program or by a library of it, whatever the input.
#[rustfmt::skip]
const DEADLY: &[c_long] = &[
    // Another program.
    libc::SYS_execve, libc::SYS_execveat,
    // Another process's memory.
    libc::SYS_ptrace, libc::SYS_process_vm_readv, libc::SYS_process_vm_writev,
    // Code or state in the kernel.
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_kexec_load, libc::SYS_reboot, libc::SYS_userfaultfd, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Another view of the system.
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_chroot, libc::SYS_move_mount,
    libc::SYS_open_tree, libc::SYS_fsopen, libc::SYS_fsconfig, libc::SYS_fsmount, libc::SYS_fspick,
    libc::SYS_mount_setattr, libc::SYS_setns, libc::SYS_unshare, libc::SYS_open_by_handle_at,
    // The system's keys, clock, name, swap.
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key, libc::SYS_settimeofday, libc::SYS_clock_settime,
    libc::SYS_adjtimex, libc::SYS_clock_adjtime, libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_swapon,
    libc::SYS_swapoff, libc::SYS_acct, libc::SYS_quotactl,
];

/// What `ioctl` may be for: blocking or not, a terminal's size for the log, an interface's index and name.
#[rustfmt::skip]
const IOCTLS: &[libc::Ioctl] = &[
    libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, libc::TCGETS, libc::TIOCGWINSZ, libc::SIOCGIFINDEX, libc::SIOCGIFNAME,
];

/// `PR_SET_VMA`, by which an allocator names its memory.
const PR_SET_VMA: i32 = 0x5356_4d41;
/// What `prctl` may be for: names, questions, and the one promise that only takes away.
#[rustfmt::skip]
const PRCTLS: &[i32] = &[
    libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_GET_DUMPABLE, libc::PR_CAPBSET_READ, libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_SET_NO_NEW_PRIVS, libc::PR_GET_SECCOMP, PR_SET_VMA,
];

/// Families of sockets without a further condition.
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// The kernel runs both filters and does what the stricter one says. The deadly one comes first: the other does not
/// allow that a further one is put up.
pub(super) fn programs(
    deadly: SeccompAction,
    other: SeccompAction,
) -> Result<[BpfProgram; 2], seccompiler::Error> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    let always = DEADLY.iter().map(|call| (*call, Vec::new())).collect();
    Ok([
        SeccompFilter::new(always, SeccompAction::Allow, deadly, machine)?.try_into()?,
        SeccompFilter::new(allowed()?, other, SeccompAction::Allow, machine)?.try_into()?,
    ])
}

fn allowed() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::Error> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_OF_THIS_MACHINE).map(|call| (*call, Vec::new())).collect();
    let not_executable = || Ok::<_, seccompiler::Error>(vec![rule([without(2, libc::PROT_EXEC)])?]);
    rules.insert(libc::SYS_mmap, not_executable()?);
    rules.insert(libc::SYS_mprotect, not_executable()?);
    // Threads, no processes. What `clone3` is asked for cannot be seen from here, so libc is left to fall back to this.
    rules.insert(libc::SYS_clone, vec![rule([with(0, libc::CLONE_THREAD)])?]);
    rules.insert(libc::SYS_ioctl, each(1, IOCTLS.iter().copied())?);
    rules.insert(libc::SYS_prctl, each(0, PRCTLS.iter().map(|option| u64::from(option.unsigned_abs())))?);
    rules.insert(libc::SYS_socketpair, vec![rule([equals(0, number(libc::AF_UNIX))])?]);
    let mut sockets = each(0, FAMILIES.into_iter().map(number))?;
    for protocol in [libc::NETLINK_ROUTE, libc::NETLINK_SOCK_DIAG] {
        sockets.push(rule([equals(0, number(libc::AF_NETLINK)), equals(2, number(protocol))])?);
    }
    rules.insert(libc::SYS_socket, sockets);
    Ok(rules)
}

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

fn number(value: i32) -> u64 {
    u64::from(value.unsigned_abs())
}

fn equals(argument: u8, value: u64) -> Condition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// All of these bits are set.
fn with(argument: u8, bits: i32) -> Condition {
    let bits = number(bits);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), bits)
}

/// None of these bits is set.
fn without(argument: u8, bits: i32) -> Condition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(number(bits)), 0)
}

/// All conditions hold.
fn rule<const N: usize>(conditions: [Condition; N]) -> Result<SeccompRule, seccompiler::Error> {
    Ok(SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)?)
}

/// One rule a value: any of them will do.
fn each(argument: u8, values: impl Iterator<Item = u64>) -> Result<Vec<SeccompRule>, seccompiler::Error> {
    values.map(|value| rule([equals(argument, value)])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ENOSYS;
    use super::*;

    #[test]
    fn the_filters_compile_and_no_call_is_both_allowed_and_deadly() {
        let [deadly, other] = programs(SeccompAction::KillProcess, SeccompAction::Errno(ENOSYS)).unwrap();
        assert!(deadly.len() > DEADLY.len() && other.len() > ALLOWED.len());
        let allowed = allowed().unwrap();
        assert!(DEADLY.iter().all(|call| !allowed.contains_key(call)));
    }

    #[test]
    fn what_is_called_for_every_update_has_no_condition() {
        // With a condition the kernel would run the filter for each call.
        let allowed = allowed().unwrap();
        for call in [
            libc::SYS_epoll_pwait,
            libc::SYS_recvfrom,
            libc::SYS_read,
            libc::SYS_writev,
            libc::SYS_sendmsg,
            libc::SYS_recvmsg,
            libc::SYS_futex,
            libc::SYS_clock_gettime,
        ] {
            assert_eq!(allowed.get(&call), Some(&Vec::new()), "{call}");
        }
    }
}
