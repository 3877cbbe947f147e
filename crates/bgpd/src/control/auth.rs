//! Who may ask, and who may change: the credentials of the process at the other end of the socket (unix(7)).
//!
//! The socket's mode lets root, the daemon's user and the control group connect; this is the second look, by
//! SO_PEERCRED. Reading is for whoever could connect. Changing is for root, the daemon's own user and members of the
//! control group.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use nix::unistd::{Gid, Group, Uid, User};
use tokio::net::UnixListener;

/// The process at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Its user and group; `None` where the kernel did not say.
    credentials: Option<(Uid, Gid)>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream
            .io()
            .peer_cred()
            .ok()
            .map(|credentials| (Uid::from_raw(credentials.uid()), Gid::from_raw(credentials.gid())));
        Self { credentials }
    }
}

impl Caller {
    /// Whether this caller may change something; otherwise who it is, in words.
    ///
    /// # Errors
    /// The caller is not root, not the daemon's user and not in `group`.
    pub fn may_change(self, group: Option<&str>) -> Result<(), String> {
        let Some((uid, gid)) = self.credentials else {
            return Err("the kernel does not say who is calling".to_owned());
        };
        if uid.is_root() || uid == Uid::effective() || group.is_some_and(|group| is_member(uid, gid, group)) {
            return Ok(());
        }
        let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        Err(format!("user {name} may look but not change"))
    }
}

fn is_member(uid: Uid, gid: Gid, group: &str) -> bool {
    let Ok(Some(group)) = Group::from_name(group) else { return false };
    if group.gid == gid {
        return true;
    }
    User::from_uid(uid).ok().flatten().is_some_and(|user| group.mem.contains(&user.name))
}
