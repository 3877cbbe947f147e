//! The control socket as a file: where it is, who may connect, and whose it was before.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use nix::unistd::{Gid, User, chown};
use tokio::net::UnixListener;
use tracing::warn;

use super::Rules;

/// Owner and group may connect, nobody else.
const MODE: u32 = 0o660;
/// Everybody may connect, and is asked who it is then.
const MODE_WITH_READERS: u32 = 0o666;

/// Binds the control socket; a stale file of a daemon that is gone is replaced.
///
/// # Errors
/// Another daemon answers there, something that is no socket is there, the directory is missing, or this process may
/// not write it.
pub fn bind(path: &Path, rules: &Rules) -> anyhow::Result<UnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => bail!(
            "another bgpd-rs answers at the control socket {}; stop it, or take over from it by --replace (a second one beside it needs another network namespace, and another socket by --control-socket)",
            path.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove_stale(path)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot listen at the control socket {}", path.display()))?;
    let mode = if rules.lets_others_in() { MODE_WITH_READERS } else { MODE };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    if let Some(group) = rules.group {
        give_to_group(path, group);
    }
    Ok(listener)
}

/// To connect to a file is refused as well, and it may be somebody's.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let is_socket = fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        bail!("{shown} is there and is no socket: move it away, or set another control.socket");
    }
    fs::remove_file(path).with_context(|| format!("cannot remove the stale control socket {shown}"))
}

/// Where that is impossible the group's members do not get in; the daemon starts all the same.
fn give_to_group(path: &Path, group: Gid) {
    // It is in the daemon's own group from the start, and the unit forbids chown(2).
    if fs::metadata(path).is_ok_and(|file| file.gid() == group.as_raw()) {
        return;
    }
    if let Err(error) = chown(path, None, Some(group)) {
        warn!(path = %path.display(), %group, %error, "the control socket cannot be given to the group");
    }
}

/// Makes the directory of the control socket where it does not exist yet, and gives it to `user`, whom this process is
/// about to become: after root is given up, and with the sandbox around it, nobody could.
///
/// # Errors
/// The directory cannot be made, or there is no such user.
pub fn make_directory(path: &Path, user: Option<&str>) -> anyhow::Result<()> {
    let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) else {
        return Ok(());
    };
    if directory.exists() {
        return Ok(());
    }
    fs::create_dir_all(directory).with_context(|| {
        format!("cannot create the directory {} of the control socket", directory.display())
    })?;
    let Some(user) = user.filter(|_| nix::unistd::getuid().is_root()) else { return Ok(()) };
    let found = User::from_name(user)?.with_context(|| format!("there is no user {user:?}"))?;
    chown(directory, Some(found.uid), Some(found.gid))
        .with_context(|| format!("cannot give {} to {user}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_file_is_let_be() {
        let directory = std::env::temp_dir().join(format!("bgpd-rs-socket-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("control.sock");
        fs::write(&path, "somebody's").unwrap();
        let refused = bind(&path, &Rules::default()).unwrap_err().to_string();
        assert!(refused.contains("is no socket"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
        fs::remove_file(&path).unwrap();
        let first = bind(&path, &Rules::default()).unwrap();
        assert!(bind(&path, &Rules::default()).unwrap_err().to_string().contains("another bgpd-rs"));
        drop(first);
        bind(&path, &Rules::default()).unwrap();
        fs::remove_dir_all(directory).unwrap();
    }
}
