//! The control socket as a file: where it is, who may connect, and whose it was before.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use nix::unistd::{Group, User, chown};
use tokio::net::UnixListener;
use tracing::warn;

/// Owner and group may connect, nobody else.
const MODE: u32 = 0o660;

/// Binds the control socket; a stale file of a daemon that is gone is replaced.
///
/// # Errors
/// Another daemon answers there, the directory is missing, or this process may not write it.
pub fn bind(path: &Path, group: Option<&str>) -> anyhow::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory).with_context(|| {
            format!("cannot create the directory {} of the control socket", directory.display())
        })?;
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!(
            "another bgpd-rs answers at the control socket {}; stop it, or choose another socket by --control-socket",
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("cannot remove the stale control socket {}", path.display()))?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen at the control socket {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    if let Some(group) = group {
        give_to_group(path, group);
    }
    Ok(listener)
}

/// A missing group costs its members the access, not the daemon its start.
fn give_to_group(path: &Path, group: &str) {
    match Group::from_name(group) {
        // It is in the daemon's own group from the start, and the unit forbids chown(2).
        Ok(Some(found)) if fs::metadata(path).is_ok_and(|file| file.gid() == found.gid.as_raw()) => {}
        Ok(Some(found)) => {
            if let Err(error) = chown(path, None, Some(found.gid)) {
                warn!(path = %path.display(), group, %error, "the control socket cannot be given to the group");
            }
        }
        Ok(None) => {
            warn!(group, "there is no such group; only root and the daemon's user can use the control socket")
        }
        Err(error) => warn!(group, %error, "the control group cannot be looked up"),
    }
}

/// Makes the directory of the control socket and gives it to `user`, where it does not exist yet: after root is given
/// up, nobody could.
///
/// # Errors
/// The directory cannot be made, or there is no such user.
pub fn give_directory(path: &Path, user: &str) -> anyhow::Result<()> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
        return Ok(());
    };
    if !nix::unistd::getuid().is_root() || directory.exists() {
        return Ok(());
    }
    let found = User::from_name(user)?.with_context(|| format!("there is no user {user:?}"))?;
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    chown(directory, Some(found.uid), Some(found.gid))
        .with_context(|| format!("cannot give {} to {user}", directory.display()))
}
