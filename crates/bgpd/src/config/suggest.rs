//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that `typed` is most likely a slip of, if one is near enough.
pub(super) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A longer text is no slip of any key, and its distance would take long to find.
    if typed.len() > 64 {
        return None;
    }
    let typed = typed.to_lowercase().replace('_', "-");
    let begins =
        |candidate: &str| typed.len() >= 3 && (candidate.starts_with(&typed) || typed.starts_with(candidate));
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&typed, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= candidate.len().max(typed.len()) / 3 || begins(candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a, b or c`, each as it is written in the file.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("\"{only}\""),
        [first @ .., last] => {
            let first = first.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            format!("{first} or \"{last}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let keys = ["hold-time", "keepalive", "remote-asn", "router-id"];
        for (typed, meant) in [
            ("hold-tiem", Some("hold-time")),
            ("hold_time", Some("hold-time")),
            ("remote-as", Some("remote-asn")),
            ("Router-ID", Some("router-id")),
            ("hold", Some("hold-time")),
            ("weather", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
        assert_eq!(alternatives(&["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
    }
}
