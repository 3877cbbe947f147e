//! TCP MD5 signatures, RFC 2385, by `TCP_MD5SIG` and its form for prefixes, `TCP_MD5SIG_EXT`.
//!
//! Keys belong to a socket and to a peer or a prefix of peers; of those that fit, the longest prefix counts. They can be
//! set and removed while a socket listens, and while a connection is up.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use bgp_wire::Prefix;
use libc::c_int;
use zeroize::Zeroize;

use super::Version;
use super::option::{self, OptionValue};

/// `TCP_MD5SIG_MAXKEYLEN`.
const MAX_KEY_LEN: usize = 80;
/// `TCP_MD5SIG_FLAG_PREFIX`.
const FLAG_PREFIX: u8 = 1;
/// Octets of `struct sockaddr_storage`.
const STORAGE_LEN: usize = 128;

/// `struct tcp_md5sig` of linux/tcp.h.
#[repr(C)]
struct Md5Signature {
    address: [u8; STORAGE_LEN],
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    ifindex: c_int,
    key: [u8; MAX_KEY_LEN],
}

// SAFETY: `repr(C)`, and the fields follow one another without a gap: 128 + 1 + 1 + 2 + 4 + 80 = 216 octets.
unsafe impl OptionValue for Md5Signature {}
const _: () = assert!(size_of::<Md5Signature>() == 216);

/// Sets the key for every peer in `prefix`, or removes it; to remove what is not there is `NotFound`.
pub(super) fn set_key(
    socket: &impl AsFd,
    version: Version,
    prefix: Prefix,
    key: Option<&[u8]>,
) -> io::Result<()> {
    let address = prefix.address();
    if Version::of(address) != version {
        return Err(invalid("a TCP MD5 key is for peers of the socket's own address family"));
    }
    let host = prefix == Prefix::host(address);
    let (name, flags) = if host { (libc::TCP_MD5SIG, 0) } else { (libc::TCP_MD5SIG_EXT, FLAG_PREFIX) };
    let mut signature = Md5Signature {
        address: storage(address),
        flags,
        prefix_len: if host { 0 } else { prefix.len() },
        key_len: 0,
        ifindex: 0,
        key: [0; MAX_KEY_LEN],
    };
    if let Some(key) = key {
        let room = signature.key.get_mut(..key.len()).filter(|room| !room.is_empty());
        room.ok_or_else(|| invalid("a TCP MD5 key has 1 to 80 octets"))?.copy_from_slice(key);
        signature.key_len = u16::try_from(key.len()).unwrap_or(0);
    }
    let outcome = option::set(socket, libc::IPPROTO_TCP, name, &signature);
    signature.key.zeroize();
    outcome
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// An address as `struct sockaddr_in` or `sockaddr_in6` without a port.
fn storage(address: IpAddr) -> [u8; STORAGE_LEN] {
    let mut storage = [0; STORAGE_LEN];
    let mut write = |at: usize, octets: &[u8]| {
        if let Some(field) = storage.get_mut(at..at + octets.len()) {
            field.copy_from_slice(octets);
        }
    };
    match address {
        IpAddr::V4(v4) => {
            write(0, &FAMILY_V4.to_ne_bytes());
            write(4, &v4.octets());
        }
        IpAddr::V6(v6) => {
            write(0, &FAMILY_V6.to_ne_bytes());
            write(8, &v6.octets());
        }
    }
    storage
}

const FAMILY_V4: u16 = 2;
const FAMILY_V6: u16 = 10;
const _: () = assert!(libc::AF_INET == 2 && libc::AF_INET6 == 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_wrong_length_or_family_are_refused_before_the_kernel_sees_them() {
        let socket = crate::net::stream(Version::V4).unwrap();
        let prefix = "192.0.2.0/24".parse().unwrap();
        for key in [&[][..], &[b'x'; 81][..]] {
            let refused = set_key(&socket, Version::V4, prefix, Some(key)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
        let other = "2001:db8::/64".parse().unwrap();
        let refused = set_key(&socket, Version::V4, other, Some(b"secret")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}
