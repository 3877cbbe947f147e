//! What the process may do: its own user, two capabilities, nothing more.
//!
//! `CAP_NET_ADMIN` writes routes and next-hop objects, enlarges netlink buffers and writes below `/proc/sys/net`, although
//! those files belong to root. `CAP_NET_BIND_SERVICE` opens port 179. TCP MD5, TTL, binding to addresses that are not
//! there yet and netlink notifications need neither. Nothing the daemon does needs root, and it executes no program.
//!
//! Core dumps and ptrace by others of the same user are off: the process holds passwords and its peers' sessions.
//!
//! Capabilities belong to threads, so [`settle`] runs before there is a second one.

use std::ffi::CString;
use std::fmt;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, User, getuid, initgroups, setgid, setresgid, setresuid};

/// What the daemon needs, and what it cannot do without.
const NEEDED: [(Capability, &str); 2] = [
    (Capability::CAP_NET_ADMIN, "routes cannot be written to the kernel"),
    (Capability::CAP_NET_BIND_SERVICE, "port 179 cannot be opened"),
];

/// What became of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// The user it runs as.
    pub uid: u32,
    /// Whether it is root and was not told whom to become.
    pub stays_root: bool,
    /// Needed and not there; the daemon runs without, but not well.
    pub lacking: Vec<Lack>,
}

/// A capability that is needed and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Its name, such as `CAP_NET_ADMIN`.
    pub capability: String,
    /// What is impossible without it.
    pub meaning: &'static str,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, meaning } = self;
        write!(
            f,
            "{capability} is missing: {meaning}; start by systemd or as root with --user, or give it by setpriv"
        )
    }
}

/// Why privileges could not be settled. The process must not go on.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Too late: other threads would keep what this one gives up.
    #[error("privileges must be given up before the process has {0} threads")]
    Threads(usize),
    /// The user is not in the system's database.
    #[error("there is no user {0:?}; `systemd-sysusers` or `useradd --system {0}` makes one")]
    UnknownUser(String),
    /// A user was named, but only root can become another one.
    #[error("only root can become {wanted:?}; this process runs as uid {uid}")]
    NotRoot {
        /// The user named.
        wanted: String,
        /// Ours.
        uid: u32,
    },
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was given up can be had again.
    #[error("root was given up and could be had again")]
    NotGivenUp,
}

fn step<T, E>(step: &'static str, result: Result<T, E>) -> Result<T, PrivilegeError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|source| PrivilegeError::Refused { step, source: Box::new(source) })
}

/// Becomes `user` if one is named and the process is root; gives up every capability that is not needed, for good; says
/// what is missing. Root without a user named stays what it is, for labs and first trials.
pub fn settle(user: Option<&str>) -> Result<Privileges, PrivilegeError> {
    let threads = step("count threads", threads())?;
    if threads != 1 {
        return Err(PrivilegeError::Threads(threads));
    }
    let stays_root = match user {
        Some(name) if getuid().is_root() => become_user(name)?,
        Some(name) => already(name)?,
        None if getuid().is_root() => true,
        None => false,
    };
    if !stays_root {
        keep_only_needed()?;
    }
    step("forbid new privileges", prctl::set_no_new_privs())?;
    // The second is for whoever makes the process dumpable again.
    step("forbid core dumps", prctl::set_dumpable(false))?;
    if step("read the limit of core dumps", getrlimit(Resource::RLIMIT_CORE))? != (0, 0) {
        step("forbid core dumps", setrlimit(Resource::RLIMIT_CORE, 0, 0))?;
    }
    Ok(Privileges { uid: getuid().as_raw(), stays_root, lacking: lacking()? })
}

/// How many threads this process has. What belongs to threads has to be settled while it is one.
pub(crate) fn threads() -> std::io::Result<usize> {
    std::fs::read_dir("/proc/self/task").map(Iterator::count)
}

/// A unit and a configuration may both name the user; that is no contradiction if it is the same one.
fn already(name: &str) -> Result<bool, PrivilegeError> {
    let uid = getuid();
    match step("look up the user", User::from_uid(uid))? {
        Some(user) if user.name == name => Ok(false),
        _ => Err(PrivilegeError::NotRoot { wanted: name.to_owned(), uid: uid.as_raw() }),
    }
}

/// Changes to the user, keeping permitted capabilities across the change. True if that user is root itself.
fn become_user(name: &str) -> Result<bool, PrivilegeError> {
    let user = step("look up the user", User::from_name(name))?
        .ok_or_else(|| PrivilegeError::UnknownUser(name.to_owned()))?;
    if user.uid.is_root() {
        return Ok(true);
    }
    let login = step("name the user", CString::new(name))?;
    bound_to_needed()?;
    step("keep capabilities", prctl::set_keepcaps(true))?;
    step("set groups", initgroups(&login, user.gid))?;
    step("set the group", setresgid(user.gid, user.gid, user.gid))?;
    step("set the user", setresuid(user.uid, user.uid, user.uid))?;
    step("no longer keep capabilities", prctl::set_keepcaps(false))?;
    Ok(false)
}

/// Takes the rest out of the bounding set, so that no program executed later could have it.
fn bound_to_needed() -> Result<(), PrivilegeError> {
    let bounding = step("read capabilities", caps::read(None, CapSet::Bounding))?;
    let needed = needed();
    bounding
        .into_iter()
        .filter(|capability| !needed.contains(capability))
        .try_for_each(|capability| step("bound capabilities", caps::drop(None, CapSet::Bounding, capability)))
}

/// Keeps what is needed of what is there, and shows that the rest is gone.
fn keep_only_needed() -> Result<(), PrivilegeError> {
    let permitted = step("read capabilities", caps::read(None, CapSet::Permitted))?;
    let kept: CapsHashSet = permitted.intersection(&needed()).copied().collect();
    step("clear ambient capabilities", caps::clear(None, CapSet::Ambient))?;
    // A unit that gives only what is needed may forbid capset(2) as well. What is inheritable then stays, but without
    // ambient capabilities and with `no_new_privs` nothing can inherit it.
    if kept != permitted {
        step("clear inheritable capabilities", caps::clear(None, CapSet::Inheritable))?;
        step("set effective capabilities", caps::set(None, CapSet::Effective, &kept))?;
        step("set permitted capabilities", caps::set(None, CapSet::Permitted, &kept))?;
    }
    let root_again = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok()
        || (!nix::unistd::getgid().eq(&Gid::from_raw(0)) && setgid(Gid::from_raw(0)).is_ok());
    if root_again { Err(PrivilegeError::NotGivenUp) } else { Ok(()) }
}

fn needed() -> CapsHashSet {
    NEEDED.into_iter().map(|(capability, _)| capability).collect()
}

fn lacking() -> Result<Vec<Lack>, PrivilegeError> {
    let effective = step("read capabilities", caps::read(None, CapSet::Effective))?;
    Ok(NEEDED
        .into_iter()
        .filter(|(capability, _)| !effective.contains(capability))
        .map(|(capability, meaning)| Lack { capability: capability.to_string(), meaning })
        .collect())
}
