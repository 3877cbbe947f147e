//! Who may look, and who may change: the credentials of the process at the other end of the socket (unix(7)).
//!
//! The kernel says them: SO_PEERCRED and SO_PEERGROUPS, as they were when it connected. Everything is for root, the
//! daemon's own user and members of `control.group`. Looking alone is for `control.readers`. No name service is asked:
//! groups are numbers since the start.

use std::os::fd::AsFd;

use nix::unistd::{Gid, Group, Uid};
use tokio::net::UnixStream;
use tracing::warn;

use crate::config::Readers;
use crate::net;

/// The process at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    uid: Option<Uid>,
    /// Its group and its supplementary groups.
    groups: Vec<Gid>,
}

/// What a caller may do, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    None,
    /// Ask.
    Read,
    /// Ask and change.
    Full,
}

/// Who may do what, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `control.group` by name, for messages.
    pub group_name: Option<String>,
    /// Its members have full access.
    pub group: Option<Gid>,
    /// Who may look.
    pub readers: ReadersRule,
}

/// `control.readers`, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadersRule {
    /// Only those who may change, too.
    #[default]
    Nobody,
    /// Every user of the host.
    Everybody,
    /// Members of this group.
    Group(Gid),
}

impl Rules {
    /// Looks the groups up. One that does not exist costs its members the access, not the daemon its start.
    pub fn look_up(group: Option<&str>, readers: &Readers) -> Self {
        Self {
            group_name: group.map(str::to_owned),
            group: group.and_then(|name| look_up("control.group", name)),
            readers: match readers {
                Readers::Nobody => ReadersRule::Nobody,
                Readers::Everybody => ReadersRule::Everybody,
                Readers::Group(name) => {
                    look_up("control.readers", name).map_or(ReadersRule::Nobody, ReadersRule::Group)
                }
            },
        }
    }

    /// Whether the socket must let in others than owner and group.
    pub(super) fn lets_others_in(&self) -> bool {
        self.readers != ReadersRule::Nobody
    }

    /// What would help a caller who may not.
    pub(super) fn hint(&self) -> String {
        match &self.group_name {
            Some(group) => {
                format!(
                    "run it as root, or join the group {group} (`usermod -aG {group} USER`) and log in again"
                )
            }
            None => "run it as root; `group` under [control] would let the members of a group in".to_owned(),
        }
    }
}

fn look_up(key: &str, name: &str) -> Option<Gid> {
    match Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid),
        Ok(None) => {
            warn!(group = name, "there is no such group ({key}); nobody is let in for it");
            None
        }
        Err(error) => {
            warn!(group = name, %error, "the group cannot be looked up ({key}); nobody is let in for it");
            None
        }
    }
}

impl Caller {
    /// Asks the kernel who is at the other end.
    pub fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        let mut groups: Vec<Gid> = net::peer_groups(&stream.as_fd()).unwrap_or_default();
        groups.extend(credentials.map(|credentials| Gid::from_raw(credentials.gid())));
        Self { uid: credentials.map(|credentials| Uid::from_raw(credentials.uid())), groups }
    }

    /// Its user, in words.
    pub(super) fn name(&self) -> String {
        self.uid.map_or_else(|| "a user that the kernel does not name".to_owned(), |uid| format!("uid {uid}"))
    }

    /// What it may do.
    pub fn access(&self, rules: &Rules) -> Access {
        let own = self.uid.is_some_and(|uid| uid.is_root() || uid == Uid::effective());
        if own || rules.group.is_some_and(|group| self.groups.contains(&group)) {
            return Access::Full;
        }
        match rules.readers {
            ReadersRule::Everybody => Access::Read,
            ReadersRule::Group(group) if self.groups.contains(&group) => Access::Read,
            ReadersRule::Group(_) | ReadersRule::Nobody => Access::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32, groups: &[u32]) -> Caller {
        Caller { uid: Some(Uid::from_raw(uid)), groups: groups.iter().copied().map(Gid::from_raw).collect() }
    }

    #[test]
    fn the_group_changes_readers_look_and_the_rest_gets_nothing() {
        let group = Some(Gid::from_raw(100));
        let rules = |readers| Rules { group_name: None, group, readers };
        let readers = rules(ReadersRule::Group(Gid::from_raw(200)));
        for (who, access) in [
            (caller(0, &[0]), Access::Full),
            (caller(Uid::effective().as_raw(), &[7]), Access::Full),
            (caller(4000, &[4000, 100]), Access::Full),
            (caller(4000, &[100, 200]), Access::Full),
            (caller(4000, &[4000, 200]), Access::Read),
            (caller(4000, &[4000]), Access::None),
            (Caller { uid: None, groups: Vec::new() }, Access::None),
        ] {
            assert_eq!(who.access(&readers), access, "{who:?}");
        }
        assert_eq!(caller(4000, &[4000]).access(&rules(ReadersRule::Everybody)), Access::Read);
        assert_eq!(caller(4000, &[200]).access(&rules(ReadersRule::Nobody)), Access::None);
        assert_eq!(caller(4000, &[100]).access(&Rules::default()), Access::None);
    }

    #[test]
    fn the_kernel_says_who_we_are() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let (one, _other) = UnixStream::pair().unwrap();
            let caller = Caller::of(&one);
            assert_eq!(caller.uid, Some(Uid::effective()));
            let mut own = nix::unistd::getgroups().unwrap();
            own.push(Gid::effective());
            assert!(own.iter().all(|group| caller.groups.contains(group)), "{caller:?} {own:?}");
        });
    }
}
