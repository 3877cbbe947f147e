//! Descriptors that cross: the memory file with the state, and messages that carry descriptors (`SCM_RIGHTS`, unix(7)).

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockaddrLike, SockaddrStorage, getsockname,
    recvmsg, sendmsg,
};

/// Descriptors in one message; the kernel takes 253.
const AT_ONCE: usize = 64;

/// A memory file that holds what `write` writes.
///
/// # Errors
/// There is no memory, or no descriptor.
pub(super) fn memory(write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("bgpd-rs-state", MFdFlags::MFD_CLOEXEC)?);
    write(&mut file)?;
    Ok(file.into())
}

/// What a descriptor is.
#[derive(Debug)]
pub(super) enum Found {
    /// A socket that listens.
    Listening(std::net::TcpListener),
    /// Any other TCP socket.
    Connection(std::net::TcpStream),
    /// No socket of the internet families: the state.
    Memory(OwnedFd),
}

/// Finds out what a descriptor is.
pub(super) fn identify(descriptor: OwnedFd) -> Found {
    let family = getsockname::<SockaddrStorage>(descriptor.as_raw_fd()).ok().and_then(|name| name.family());
    if !matches!(family, Some(AddressFamily::Inet | AddressFamily::Inet6)) {
        return Found::Memory(descriptor);
    }
    match nix::sys::socket::getsockopt(&descriptor, nix::sys::socket::sockopt::AcceptConn) {
        Ok(true) => Found::Listening(descriptor.into()),
        Ok(false) | Err(_) => Found::Connection(descriptor.into()),
    }
}

/// Sends descriptors over a stream, in order.
///
/// # Errors
/// The other end is gone.
pub(super) fn send(stream: &UnixStream, descriptors: &[OwnedFd]) -> io::Result<()> {
    for some in descriptors.chunks(AT_ONCE) {
        let raw: Vec<RawFd> = some.iter().map(AsRawFd::as_raw_fd).collect();
        let sent = sendmsg::<()>(
            stream.as_raw_fd(),
            &[IoSlice::new(b"D")],
            &[ControlMessage::ScmRights(&raw)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Everything that comes over a stream until its end: descriptors, and the octets that came beside them.
///
/// # Errors
/// Reading fails or takes longer than the stream's time limit.
#[expect(unsafe_code, reason = "nix gives received descriptors as numbers")]
pub(super) fn receive(stream: &UnixStream) -> io::Result<(Vec<OwnedFd>, Vec<u8>)> {
    let (mut descriptors, mut octets) = (Vec::new(), Vec::new());
    loop {
        let mut buffer = [0; 256];
        let mut space = nix::cmsg_space!([RawFd; AT_ONCE]);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), flags) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows them.
                descriptors.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
            }
        }
        let count = message.bytes;
        if count == 0 {
            return Ok((descriptors, octets));
        }
        octets.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn holding(text: &str) -> OwnedFd {
        memory(|file| file.write_all(text.as_bytes())).unwrap()
    }

    #[test]
    fn descriptors_arrive_in_order_and_are_told_apart() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let client_address = client.local_addr().unwrap();
        let mut all = vec![holding("state"), listener.into(), client.into()];
        for _ in 0..2 * AT_ONCE {
            all.push(holding("more"));
        }
        let sender = std::thread::spawn(move || send(&ours, &all));
        let (received, octets) = receive(&theirs).unwrap();
        sender.join().unwrap().unwrap();
        assert_eq!((received.len(), octets.len()), (3 + 2 * AT_ONCE, 3));
        let mut found = received.into_iter().map(identify);
        let Some(Found::Memory(file)) = found.next() else { panic!("no state") };
        let mut octets = [0; 5];
        File::from(file).read_exact_at(&mut octets, 0).unwrap();
        assert_eq!(&octets, b"state");
        assert!(
            matches!(found.next(), Some(Found::Listening(listener)) if listener.local_addr().unwrap() == address)
        );
        assert!(
            matches!(found.next(), Some(Found::Connection(stream)) if stream.local_addr().unwrap() == client_address)
        );
    }
}
