//! The value of `bfd`: on, off, or a table; and intervals as text, `"300ms"`.

use std::time::Duration;

use toml::de::DeValue;

use super::super::fault::Sink;
use super::Number;
use super::read::{Key, Raw, Read, expected};
use super::section::section;

section! {
    /// RFC 5880.
    Bfd "bfd" {
        "min-tx" min_tx: Interval<10, 60_000>,
        "min-rx" min_rx: Interval<10, 60_000>,
        "multiplier" multiplier: Number<1, 255>,
        "passive" passive: bool,
    }
}

/// What `bfd` may be.
#[derive(Debug)]
pub(in crate::config) enum BfdChoice {
    /// `false`: also where the group says otherwise.
    Off,
    /// `true`.
    On,
    /// On, with these.
    Table(Box<Bfd>),
}

impl Read for BfdChoice {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        match raw.get_ref() {
            DeValue::Boolean(false) => Some(Self::Off),
            DeValue::Boolean(true) => Some(Self::On),
            DeValue::Table(_) => Bfd::read(key, raw, sink).map(|table| Self::Table(Box::new(table))),
            _ => {
                sink.push(expected(key, raw, "true, false or a table such as { min-tx = \"100ms\" }"));
                None
            }
        }
    }
}

/// A time from `MIN` to `MAX` milliseconds, as text with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Interval<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Interval<MIN, MAX> {
    /// The time.
    pub(in crate::config) fn get(self) -> Duration {
        Duration::from_millis(self.0.into())
    }
}

/// The milliseconds of `300ms` or `1s`.
fn milliseconds(text: &str) -> Option<u32> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    number.trim_end().parse::<u32>().ok()?.checked_mul(unit)
}

impl<const MIN: u32, const MAX: u32> Read for Interval<MIN, MAX> {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let typed = raw.get_ref().as_str().and_then(milliseconds);
        if let Some(time) = typed.filter(|time| (MIN..=MAX).contains(time)) {
            return Some(Self(time));
        }
        let what = format!("a time from \"{MIN}ms\" to \"{}s\"", MAX / 1000);
        let mut fault = expected(key, raw, what);
        let number = raw.get_ref().as_integer().and_then(|number| number.as_str().parse::<u32>().ok());
        if let Some(number) = number.filter(|number| (MIN..=MAX).contains(number)) {
            fault = fault.fix(raw.span(), format!("\"{number}ms\""));
        }
        sink.push(fault);
        None
    }
}
