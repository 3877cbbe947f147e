//! The key of TCP MD5 signatures: RFC 2385.
//!
//! A password that exists fits the kernel's limit, no formatting shows it, and its memory is cleared when it goes.

use std::fmt;

use zeroize::Zeroizing;

/// A key of 1 to 80 octets whose `Debug` and `Display` never show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Box<[u8]>>);

/// Why octets are no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing there; to have none, leave the key out.
    #[error("the password is empty")]
    Empty,
    /// More than the kernel's `TCP_MD5SIG_MAXKEYLEN`.
    #[error("the password is {0} bytes long; Linux takes at most 80")]
    TooLong(usize),
}

impl Password {
    /// The most octets that Linux takes.
    pub const MAX_LEN: usize = 80;

    /// Checks the length.
    pub fn new(octets: &[u8]) -> Result<Self, PasswordError> {
        match octets.len() {
            0 => Err(PasswordError::Empty),
            len if len > Self::MAX_LEN => Err(PasswordError::TooLong(len)),
            _ => Ok(Self(Zeroizing::new(octets.into()))),
        }
    }

    /// The octets, for the one place that hands them to the kernel.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl fmt::Display for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_formatting_shows_it_and_its_length_is_bounded() {
        let password = Password::new(b"s3cret").unwrap();
        assert!(!format!("{password:?} {password:#?} {password}").contains("s3cret"));
        assert_eq!(password.expose(), b"s3cret");
        assert_eq!(Password::new(b""), Err(PasswordError::Empty));
        assert!(Password::new(&[b'x'; 80]).is_ok());
        assert_eq!(Password::new(&[b'x'; 81]), Err(PasswordError::TooLong(81)));
    }
}
