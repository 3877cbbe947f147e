//! A service manager that keeps descriptors, as systemd does: sd_notify(3), sd_listen_fds(3).
//!
//! It listens at `NOTIFY_SOCKET`, keeps what comes with `FDSTORE=1` under its `FDNAME=`, lets go on `FDSTOREREMOVE=1`,
//! closes what comes with `BARRIER=1`, notes `MAINPID=`, and gives everything to the program that it starts next. What it does not do:
//! anything else of systemd.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

/// Where descriptors are put before they get their numbers.
const ABOVE: RawFd = 500;

/// See the module.
#[derive(Debug)]
pub struct ServiceManager {
    socket: PathBuf,
    store: Arc<Mutex<Vec<(String, OwnedFd)>>>,
    /// Which process it was told to follow; 0 before.
    main_pid: Arc<AtomicI32>,
}

impl ServiceManager {
    /// Listens in a directory.
    pub fn start(dir: &Path) -> Result<Self> {
        let socket = dir.join("notify.sock");
        let listener = UnixDatagram::bind(&socket).with_context(|| socket.display().to_string())?;
        let store = Arc::new(Mutex::new(Vec::new()));
        let main_pid = Arc::new(AtomicI32::new(0));
        let (kept, followed) = (Arc::clone(&store), Arc::clone(&main_pid));
        std::thread::spawn(move || {
            while let Ok((text, descriptors)) = next(&listener) {
                let told = text.lines().find_map(|line| line.strip_prefix("MAINPID=")?.parse().ok());
                told.into_iter().for_each(|pid| followed.store(pid, Ordering::SeqCst));
                obey(&mut kept.lock().unwrap_or_else(|broken| broken.into_inner()), &text, descriptors);
            }
        });
        Ok(Self { socket, store, main_pid })
    }

    /// Which process it was told to follow instead of the one that it has started; 0 where it was told of none.
    pub fn main_pid(&self) -> i32 {
        self.main_pid.load(Ordering::SeqCst)
    }

    fn store(&self) -> MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.store.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// The names of what it keeps.
    pub fn names(&self) -> Vec<String> {
        self.store().iter().map(|(name, _)| name.clone()).collect()
    }

    fn state_file(&self) -> Result<File> {
        let store = self.store();
        let (_, state) = store.iter().find(|(name, _)| name == "bgpd-state").context("no state is kept")?;
        Ok(File::from(state.try_clone()?))
    }

    /// The state that is kept, in the daemon's own format.
    pub fn state(&self) -> Result<Vec<u8>> {
        let mut file = self.state_file()?;
        let mut octets = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Changes one octet of the state in the middle of it.
    pub fn damage(&self) -> Result<()> {
        let (mut file, octets) = (self.state_file()?, self.state()?);
        let middle = octets.len() / 2;
        let octet = octets.get(middle).context("the state is empty")? ^ 1;
        file.seek(SeekFrom::Start(u64::try_from(middle)?))?;
        file.write_all(&[octet])?;
        Ok(())
    }

    /// Has a program get everything that is kept, as descriptors 3 and following. The shell in front of it knows the
    /// process id that `LISTEN_PID` has to be, and becomes the program.
    pub fn wrap(&self, program: &Command) -> Result<Command> {
        let kept: Vec<(String, OwnedFd)> = self
            .store()
            .iter()
            .map(|(name, fd)| Ok((name.clone(), fd.try_clone()?)))
            .collect::<Result<_>>()?;
        let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
        let mut command = Command::new("sh");
        command.args(["-c", "export LISTEN_PID=$$; exec \"$0\" \"$@\""]);
        command.arg(program.get_program()).args(program.get_args());
        command.env("NOTIFY_SOCKET", &self.socket);
        if !kept.is_empty() {
            command.env("LISTEN_FDS", kept.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        // SAFETY: fcntl, dup2 are async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || place(&kept).map_err(std::io::Error::from));
        }
        Ok(command)
    }

    /// Whether the store has exactly these kinds of descriptors.
    pub fn keeps(&self, kinds: &[&str]) -> bool {
        let names = self.names();
        names.iter().map(String::as_str).collect::<BTreeSet<_>>() == kinds.iter().copied().collect()
    }
}

/// Gives the descriptors their numbers; first out of the way, for they may have each other's.
fn place(kept: &[(String, OwnedFd)]) -> nix::Result<()> {
    for (number, (_, descriptor)) in (0..).zip(kept) {
        // SAFETY: nobody else has descriptors that high; they end with the exec.
        let high = unsafe { nix::unistd::dup2_raw(descriptor, ABOVE + number)? };
        fcntl(&high, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        std::mem::forget(high);
    }
    for number in 0..RawFd::try_from(kept.len()).unwrap_or(0) {
        // SAFETY: made above, and open until the exec; the copies are meant for the program.
        unsafe {
            let high = std::os::fd::BorrowedFd::borrow_raw(ABOVE + number);
            std::mem::forget(nix::unistd::dup2_raw(high, 3 + number)?);
        }
    }
    Ok(())
}

fn next(socket: &UnixDatagram) -> Result<(String, Vec<OwnedFd>)> {
    let mut buffer = [0; 4096];
    let mut space = nix::cmsg_space!([RawFd; 16]);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made them for this process.
            descriptors.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    let count = message.bytes;
    let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
    Ok((text, descriptors))
}

fn obey(store: &mut Vec<(String, OwnedFd)>, text: &str, descriptors: Vec<OwnedFd>) {
    let has = |line: &str| text.lines().any(|said| said == line);
    let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored");
    if has("FDSTORE=1") {
        store.extend(descriptors.into_iter().map(|descriptor| (name.to_owned(), descriptor)));
    } else if has("FDSTOREREMOVE=1") {
        store.retain(|(kept, _)| kept != name);
    }
}
