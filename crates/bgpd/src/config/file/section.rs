//! Tables whose keys are known: every unknown one is a fault with the key that was probably meant.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::super::fault::{Fault, Sink};
use super::super::{secret, suggest};
use super::read::{Key, Raw, Read, at, expected};

/// A table with known keys.
pub(in crate::config) trait Section: Default {
    /// The table as it is called in messages about where a key belongs, such as `[bgp]`.
    const NAME: &'static str;

    /// Every key it knows.
    fn keys() -> Vec<&'static str>;

    /// Reads the value of `name` into its field. False for an unknown key.
    fn set(&mut self, name: &str, key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> bool;
}

/// Defines a section: a struct with an optional field per key, what reads it and the list of its keys.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $name:ident $called:literal $(with $shared:ident: $Shared:ty)? {
            $($key:literal $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(in crate::config) struct $name {
            $(pub(in crate::config) $shared: $Shared,)?
            $(pub(in crate::config) $field: Option<toml::Spanned<$type>>,)*
        }

        impl $crate::config::file::section::Section for $name {
            const NAME: &'static str = $called;

            fn keys() -> Vec<&'static str> {
                #[allow(unused_mut, reason = "only a section with shared keys extends its own")]
                let mut keys = vec![$($key),*];
                $(keys.extend(<$Shared as $crate::config::file::section::Section>::keys());)?
                keys
            }

            fn set(
                &mut self,
                name: &str,
                key: &$crate::config::file::read::Key<'_>,
                raw: &$crate::config::file::read::Raw<'_>,
                sink: &mut $crate::config::fault::Sink,
            ) -> bool {
                match name {
                    $($key => self.$field = $crate::config::file::read::at(key, raw, sink),)*
                    _ => return false $(|| self.$shared.set(name, key, raw, sink))?,
                }
                true
            }
        }

        impl $crate::config::file::read::Read for $name {
            fn read(
                key: &$crate::config::file::read::Key<'_>,
                raw: &$crate::config::file::read::Raw<'_>,
                sink: &mut $crate::config::fault::Sink,
            ) -> Option<Self> {
                $crate::config::file::section::read(key, raw, sink)
            }
        }
    };
}
pub(super) use section;

/// Reads a section from a table.
pub(super) fn read<S: Section>(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<S> {
    match raw.get_ref() {
        DeValue::Table(table) => Some(read_table(key, table, sink)),
        DeValue::Array(entries) => {
            let fault = expected(key, raw, "one table").help(format!("write [{key}], with single brackets"));
            sink.push(fault);
            entries
                .iter()
                .find_map(|entry| entry.get_ref().as_table())
                .map(|table| read_table(key, table, sink))
        }
        _ => {
            let fault = expected(key, raw, format_args!("a table such as {}", S::NAME));
            sink.push(
                fault.help(format!("write {{ KEY = VALUE }} with one or more of: {}", S::keys().join(", "))),
            );
            None
        }
    }
}

/// Reads a section from the entries of a table.
pub(super) fn read_table<S: Section>(key: &Key<'_>, table: &DeTable<'_>, sink: &mut Sink) -> S {
    let mut section = S::default();
    for (name, raw) in table.iter() {
        if !section.set(name.get_ref(), &key.below(name.get_ref()), raw, sink) {
            unknown::<S>(key, name, raw, sink);
        }
    }
    section
}

fn unknown<S: Section>(above: &Key<'_>, name: &Spanned<DeString<'_>>, raw: &Raw<'_>, sink: &mut Sink) {
    let mut keys = S::keys();
    let typed: &str = name.get_ref();
    if name.span().is_empty() {
        // Made up by the parser behind a syntax error, which is said already.
        return;
    }
    let meant = suggest::nearest(typed, keys.iter().copied());
    if secret::is_named_by(typed) {
        sink.secrets.push(raw.span());
    }
    let whole = above.below(typed).to_string();
    let mut fault = Fault::error(name.span(), format!("unknown key `{whole}`")).label("no such key");
    if let Some(meant) = meant {
        sink.doubtful.insert(meant.to_owned());
        sink.push(fault.label(format!("did you mean `{meant}`?")).fix(name.span(), meant));
        return;
    }
    if let Some(section) = super::home_of(typed) {
        fault = fault.help(format!("`{typed}` is a key of {section}"));
    }
    keys.sort_unstable();
    sink.push(fault.help(format!("{} takes {}", S::NAME, keys.join(", "))));
}

/// Tables below a table, each with a name that the operator gave: `[peer-group.cilium]`.
#[derive(Debug)]
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(Spanned<String>, Spanned<T>)>);

impl<T: Section + Read> Read for Named<T> {
    fn read(key: &Key<'_>, raw: &Raw<'_>, sink: &mut Sink) -> Option<Self> {
        let Some(table) = raw.get_ref().as_table() else {
            sink.push(expected(key, raw, format_args!("tables such as {}", T::NAME)));
            return None;
        };
        let entry = |(name, raw): (&Spanned<DeString<'_>>, &Raw<'_>)| {
            let value = at(&key.below(name.get_ref()), raw, sink)?;
            Some((Spanned::new(name.span(), name.get_ref().to_string()), value))
        };
        Some(Self(table.iter().filter_map(entry).collect()))
    }
}
