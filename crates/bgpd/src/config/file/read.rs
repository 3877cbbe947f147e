//! From one TOML value to one typed value, with a fault that says what would have been right.
//!
//! Owns the value types of the file: numbers with bounds, words, addresses, lists. Which key has which is in `file`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use bgp_wire::prefix::PrefixError;
use bgp_wire::{Asn, Family, Prefix};
use toml::Spanned;
use toml::de::{DeInteger, DeValue};
use zeroize::Zeroizing;

use super::super::fault::{Fault, Sink, Span};
use super::super::{secret, suggest};

/// A value of the file as it was parsed.
pub(in crate::config) type Raw<'i> = Spanned<DeValue<'i>>;

/// What can be read from a TOML value.
pub(in crate::config) trait Read: Sized {
    /// Reads `raw`, the value of `key`; says what is wrong into `sink` and gives `None` where it is no such value.
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self>;
}

/// The way to a value, for messages: `[neighbor."2001:db8::2"] hold-time`.
#[derive(Clone, Copy)]
pub(in crate::config) enum Key<'a> {
    /// The whole file.
    Root,
    /// A key below another.
    Below(&'a Key<'a>, &'a str),
}

impl<'a> Key<'a> {
    /// The key `name` inside this one.
    pub(in crate::config) fn below(&'a self, name: &'a str) -> Key<'a> {
        Key::Below(self, name)
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Below(Key::Root, name) => write!(f, "{}", Name(name)),
            Self::Below(above, name) => write!(f, "{above}.{}", Name(name)),
        }
    }
}

/// A key as TOML writes it: bare where it can be, else quoted; control characters escaped.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !self.0.is_empty() && self.0.chars().all(bare) {
            f.write_str(self.0)
        } else {
            f.write_str(&secret::quoted(self.0))
        }
    }
}

/// The fault of a value that is not what `key` takes.
pub(super) fn expected(key: &Key<'_>, raw: &Raw<'_>, what: impl fmt::Display) -> Fault {
    let found = match raw.get_ref() {
        DeValue::String(text) if text.len() <= 64 => secret::quoted(text),
        DeValue::String(_) => "this text".to_owned(),
        DeValue::Integer(number) if number.as_str().len() <= 20 => number.as_str().to_owned(),
        DeValue::Integer(_) => "this number".to_owned(),
        DeValue::Float(_) => "a number with a fraction".to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Fault::error(raw.span(), format!("`{key}` takes {what}, not {found}")).label(format!("expected {what}"))
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Number<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// The number; it fits whatever holds `MAX`.
    pub(in crate::config) fn get<T: TryFrom<u32> + Default>(self) -> T {
        T::try_from(self.0).unwrap_or_default()
    }
}

fn integer(value: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(value.as_str(), value.radix()).ok()
}

impl<const MIN: u32, const MAX: u32> Read for Number<MIN, MAX> {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let number =
            raw.get_ref().as_integer().and_then(integer).and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| (MIN..=MAX).contains(number)) {
            Some(number) => Some(Self(number)),
            None => {
                sink.push(expected(key, raw, format_args!("a whole number from {MIN} to {MAX}")));
                None
            }
        }
    }
}

impl Read for bool {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let value = raw.get_ref().as_bool();
        if value.is_none() {
            let mut fault = expected(key, raw, "true or false");
            if let Some(word) = raw.get_ref().as_str().and_then(|text| text.parse::<Self>().ok()) {
                fault = fault.fix(raw.span(), word.to_string());
            }
            sink.push(fault);
        }
        value
    }
}

/// Text of at most `MAX` octets, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Text<const MAX: usize>(pub(in crate::config) String);

impl<const MAX: usize> Read for Text<MAX> {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(text) = raw.get_ref().as_str() else {
            sink.push(expected(key, raw, "a text in quotes"));
            return None;
        };
        if text.is_empty() || text.len() > MAX || text.chars().any(char::is_control) {
            sink.push(expected(
                key,
                raw,
                format_args!("1 to {MAX} bytes of text without control characters"),
            ));
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

/// A password as typed; its place is marked as secret.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::config) struct Secret(pub(in crate::config) Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Read for Secret {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        sink.secrets.push(raw.span());
        let text = raw.get_ref().as_str();
        if text.is_none() {
            // Not `expected`, which would quote it.
            sink.push(
                Fault::error(raw.span(), format!("`{key}` takes a text in quotes")).label("not in quotes"),
            );
        }
        text.map(|text| Self(Zeroizing::new(text.to_owned())))
    }
}

impl Read for PathBuf {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        match raw.get_ref().as_str() {
            Some(text) if !text.is_empty() && !text.contains('\0') => Some(Self::from(text)),
            _ => {
                sink.push(expected(key, raw, "the path of a file, in quotes"));
                None
            }
        }
    }
}

/// Reads what a text in quotes parses to.
macro_rules! read_parsed {
    ($($type:ty: $what:literal),* $(,)?) => {$(
        impl Read for $type {
            fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
                let value = raw.get_ref().as_str().and_then(|text| text.parse().ok());
                if value.is_none() {
                    sink.push(expected(key, raw, $what));
                }
                value
            }
        }
    )*};
}

read_parsed! {
    IpAddr: "an IPv4 or IPv6 address in quotes",
    Ipv4Addr: "an IPv4 address in quotes",
    Ipv6Addr: "an IPv6 address in quotes",
    SocketAddr: "an address with a port in quotes, such as \"0.0.0.0:179\" or \"[::]:179\"",
}

impl Read for Prefix {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(text) = raw.get_ref().as_str() else {
            sink.push(expected(key, raw, "a prefix in quotes, such as \"10.0.0.0/8\" or \"2001:db8::/64\""));
            return None;
        };
        match text.parse::<Self>() {
            Ok(prefix) => Some(prefix),
            Err(error) => {
                let title = format!("`{key}`: the prefix {} {error}", secret::quoted(text));
                let mut fault = Fault::error(raw.span(), title).label("not a prefix");
                if let PrefixError::HostBits(network) = error {
                    fault = fault.fix(raw.span(), format!("\"{network}\""));
                }
                sink.push(fault);
                None
            }
        }
    }
}

impl Read for Asn {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let number =
            raw.get_ref().as_integer().and_then(integer).and_then(|number| u32::try_from(number).ok());
        let fault = match number {
            None => {
                let fault = expected(key, raw, "an AS number from 1 to 4294967294");
                match raw.get_ref().as_str().and_then(asn_in_text) {
                    Some(asn) => fault.fix(raw.span(), asn.to_string()),
                    None => fault,
                }
            }
            Some(number) => match reserved_asn(number) {
                None => return Some(Self(number)),
                Some(why) => Fault::error(raw.span(), format!("`{key}` cannot be {number}: {why}"))
                    .label("reserved AS number"),
            },
        };
        sink.push(fault);
        None
    }
}

/// The number meant by "64512", "AS64512" or "1.10" (asdot, RFC 5396).
pub(super) fn asn_in_text(text: &str) -> Option<u32> {
    let text = text.trim().trim_start_matches(['A', 'S', 'a', 's']);
    match text.split_once('.') {
        None => text.parse().ok(),
        Some((high, low)) => {
            Some(u32::from(high.parse::<u16>().ok()?) << 16 | u32::from(low.parse::<u16>().ok()?))
        }
    }
}

fn reserved_asn(number: u32) -> Option<&'static str> {
    match number {
        0 => Some("no speaker may use AS 0 (RFC 7607)"),
        23456 => Some("it is AS_TRANS, which stands in for four-octet numbers (RFC 6793)"),
        65535 | u32::MAX => Some("it is reserved (RFC 7300)"),
        _ => None,
    }
}

impl<T: Read> Read for Vec<Spanned<T>> {
    /// A list; one entry may stand without brackets. Every wrong entry is said.
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let entries = match raw.get_ref() {
            DeValue::Array(entries) => &entries[..],
            _ => std::slice::from_ref(raw),
        };
        let values = entries.iter().filter_map(|entry| at(key, entry, sink));
        Some(values.collect())
    }
}

/// Reads a value and keeps its place.
pub(super) fn at<T: Read>(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Spanned<T>> {
    let value = T::read(key, raw, sink).map(|value| Spanned::new(raw.span(), value));
    if value.is_none()
        && let Key::Below(_, name) = key
    {
        sink.doubtful.insert((*name).to_owned());
    }
    value
}

/// One of a few words.
pub(super) fn word<T: Copy>(key: &Key<'_>, raw: &Raw<'_>, words: &[(&str, T)], sink: &mut Sink) -> Option<T> {
    let typed = raw.get_ref().as_str();
    if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == typed) {
        return Some(*value);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    sink.push(wrong_word(key, raw, &names, suggest::alternatives(&names)));
    None
}

/// The fault of a text that is none of `words`.
pub(super) fn wrong_word(key: &Key<'_>, raw: &Raw<'_>, words: &[&str], what: impl fmt::Display) -> Fault {
    let fault = expected(key, raw, what);
    match raw.get_ref().as_str().and_then(|typed| suggest::nearest(typed, words.iter().copied())) {
        Some(meant) => fault.fix(raw.span(), format!("\"{meant}\"")),
        None => fault,
    }
}

impl Read for Family {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        word(key, raw, &Self::ALL.map(|family| (family_name(family), family)), sink)
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4-unicast",
        Family::Ipv6Unicast => "ipv6-unicast",
    }
}

/// A place that the value of a missing key would have, for faults about it.
pub(in crate::config) fn place<T>(value: &Option<Spanned<T>>, otherwise: &Span) -> Span {
    value.as_ref().map_or_else(|| otherwise.clone(), Spanned::span)
}
