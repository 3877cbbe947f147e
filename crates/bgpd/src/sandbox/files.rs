//! Landlock: which files, which TCP ports to listen at, whom signals reach (landlock(7)).
//!
//! What is not named here cannot be opened, whoever owns it and whatever the process is made to do. Descriptors that
//! are open, or that come over a Unix socket, stay usable. Where TCP connects to is not fenced: a reload may bring a
//! neighbour at any port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Fence;
use crate::host::doctor;
use crate::privileges::threads;

/// Linux 6.12. What an older kernel does not know is left out; what a newer one could do more is not asked for untried.
const KNOWN: ABI = ABI::V6;

/// The kernel settings that `kernel.set-multipath-hash-policy` writes.
const HASH_POLICIES: [&str; 2] =
    ["/proc/sys/net/ipv4/fib_multipath_hash_policy", "/proc/sys/net/ipv6/fib_multipath_hash_policy"];

/// What the daemon goes on to need.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The configuration file; the whole directory can be read, for a reload.
    pub config: PathBuf,
    /// Files with passwords; their directories can be read.
    pub password_files: Vec<PathBuf>,
    /// The control socket; sockets can be made and removed in its directory, which exists.
    pub socket: PathBuf,
    /// Where it will listen for TCP.
    pub listen: Vec<SocketAddr>,
}

/// The fence, and the descriptors that it hangs on.
#[derive(Debug)]
#[must_use = "files below /proc lose their rules when the descriptors are closed"]
pub struct Files {
    /// What it has come to.
    pub fence: Fence,
    /// A rule belongs to an inode, and those below `/proc` are made anew when nobody holds them.
    _held: Vec<PathFd>,
}

/// Puts up the fence around the calling thread and all that it starts. It cannot be taken down. Where there are other
/// threads already, they are outside, and that is no fence: they share the memory.
pub fn restrict(needs: &Needs) -> Files {
    let mut held = Vec::new();
    let fence = match (fence(needs, &mut held), threads()) {
        (Err(error), _) => Fence::Open(error.to_string()),
        (Ok(_), Err(error)) => Fence::Open(format!("the threads of the process cannot be counted: {error}")),
        (Ok(_), Ok(threads @ 2..)) => Fence::Open(format!("the process has {threads} threads already")),
        (Ok(RulesetStatus::FullyEnforced), Ok(_)) => Fence::Closed,
        (Ok(RulesetStatus::PartiallyEnforced), Ok(_)) => Fence::Partial,
        (Ok(RulesetStatus::NotEnforced), Ok(_)) => {
            Fence::Open("this kernel has no Landlock, or whoever started the daemon forbids it".to_owned())
        }
    };
    Files { fence, _held: held }
}

fn fence(needs: &Needs, held: &mut Vec<PathFd>) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::BindTcp)?
        .scope(scopes())?
        .create()?;
    for directory in readable(needs) {
        rules = allow(rules, &directory, AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    // Its own figures, and the kernel's counters; of other processes only what is public.
    rules = allow(rules, Path::new("/proc"), AccessFs::ReadFile | AccessFs::ReadDir)?;
    // For the lines of a backtrace, and for a router id on a host without IPv4.
    for file in std::env::current_exe().into_iter().chain([PathBuf::from("/etc/machine-id")]) {
        rules = allow(rules, &file, AccessFs::ReadFile.into())?;
    }
    for place in doctor::PLACES {
        rules = allow(rules, Path::new(place), AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    rules = allow(
        rules,
        parent(&needs.socket),
        AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::MakeSock | AccessFs::RemoveFile,
    )?;
    for directory in service_directories() {
        let all = AccessFs::from_all(KNOWN) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
        rules = allow(rules, &directory, all)?;
    }
    for policy in HASH_POLICIES {
        rules =
            allow(rules, Path::new(policy), AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate)?;
        held.extend(PathFd::new(policy));
    }
    // Port 0 is the kernel's choice: `local-address` binds so before it dials.
    for port in needs.listen.iter().map(SocketAddr::port).chain([0]) {
        rules = rules.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// A path that is not there needs no rule.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)),
        Err(_) => Ok(rules),
    }
}

/// Where the configuration is, and where it really is if it is a symbolic link.
fn readable(needs: &Needs) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for file in needs.password_files.iter().chain([&needs.config]) {
        directories.push(parent(file).to_owned());
        directories.extend(std::fs::canonicalize(file).ok().map(|real| parent(&real).to_owned()));
    }
    directories.sort();
    directories.dedup();
    directories
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// What systemd has made for this service alone: RuntimeDirectory= and StateDirectory=.
fn service_directories() -> Vec<PathBuf> {
    ["RUNTIME_DIRECTORY", "STATE_DIRECTORY"]
        .into_iter()
        .filter_map(std::env::var_os)
        .flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>())
        .filter(|path| path.is_absolute())
        .collect()
}

/// No signals to other processes. No abstract Unix sockets of others either, unless the service manager is one.
fn scopes() -> BitFlags<Scope> {
    let manager_is_abstract =
        std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| socket.as_encoded_bytes().starts_with(b"@"));
    if manager_is_abstract { Scope::Signal.into() } else { Scope::Signal | Scope::AbstractUnixSocket }
}
