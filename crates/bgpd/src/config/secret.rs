//! Keeps secrets out of reports: what a report quotes of the file has them masked.
//!
//! Owns finding them, also in a text that does not parse or was written for another daemon: whatever follows a word
//! that names a secret. Masking keeps every octet's place, so spans stay true.

use super::fault::Span;
use super::suggest;

/// Parts of words that name a secret, in small letters.
const HINTS: [&str; 6] = ["passw", "passphrase", "secret", "md5", "key", "authent"];
/// Whole ones.
const WORDS: [&str; 3] = ["pw", "pwd", "psk"];

/// `text` with the given places, and whatever follows a word that names a secret, replaced by as many stars.
pub(super) fn mask(text: &str, secrets: &[Span]) -> String {
    let mut octets = text.as_bytes().to_vec();
    for span in secrets.iter().cloned().chain(after_names(text)) {
        let inside = span.start.min(octets.len())..span.end.min(octets.len());
        for octet in octets.get_mut(inside).unwrap_or_default() {
            if *octet != b'\n' {
                *octet = b'*';
            }
        }
    }
    // A span that cuts a character leaves a lone octet; it becomes a star too, so that the length stays.
    String::from_utf8(octets).unwrap_or_else(|_| text.chars().map(stars).collect())
}

/// A piece of the file in quotes, for the words of a report.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", mask(text, &[]))
}

/// Whether a key, or a word of another daemon's configuration, names a secret.
pub(super) fn is_named_by(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    // The path of one is none.
    word != "password-file"
        && (HINTS.iter().any(|hint| word.contains(hint))
            || WORDS.contains(&word.as_str())
            || suggest::nearest(&word, ["password"]).is_some())
}

fn stars(character: char) -> String {
    if character == '\n' { "\n".to_owned() } else { "*".repeat(character.len_utf8()) }
}

fn after_names(text: &str) -> impl Iterator<Item = Span> {
    words(text).filter(|word| text.get(word.clone()).is_some_and(is_named_by)).filter_map(|word| {
        let value = value(text.get(word.end..)?);
        let start = text.len() - value.len();
        Some(start..start + value_len(value))
    })
}

/// Words as keys are made of.
fn words(text: &str) -> impl Iterator<Item = Span> {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.find(is_part)?;
        let rest = text.get(start..)?;
        at = start + rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        Some(start..at)
    })
}

/// `rest` from where the value of the word before it begins: behind the word's own closing quote and behind `=` or `:`,
/// where one stands; then it may be on a line of its own.
fn value(rest: &str) -> &str {
    let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches([' ', '\t']);
    rest.strip_prefix(['=', ':']).map_or(rest, str::trim_start)
}

/// To the end of the line, whatever stands there; further where something is open that is closed later.
fn value_len(value: &str) -> usize {
    let line = value.find('\n').unwrap_or(value.len());
    let closed = [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]")].into_iter().find_map(|(open, close)| {
        let inner = value.strip_prefix(open)?;
        Some(inner.find(close).map_or(value.len(), |at| open.len() + at + close.len()))
    });
    closed.unwrap_or(0).max(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_name_of_a_secret_is_masked_and_nothing_moves() {
        for (text, masked) in [
            ("password = \"geheim\"\nport = 1", "password = ********\nport = 1"),
            ("{ password = 'a', port = 1 }", "{ password = ***************"),
            ("\"password\"=\"a\\\"b\" # x", "\"password\"=**********"),
            ("password = \"open\nport = 1", "password = *****\nport = 1"),
            ("password = \"a\"b\"\n", "password = *****\n"),
            ("password-file = \"/etc/x\"", "password-file = \"/etc/x\""),
            ("password = \"ü\"", "password = ****"),
            // Whatever the separator and the case, and other daemons' words for it.
            ("password: \"geheim\"", "password: ********"),
            ("password \"geheim\";", "password *********"),
            ("PASSWORD\tgeheim", "PASSWORD\t******"),
            ("neighbor 10.0.0.2 password 8 geheim", "neighbor 10.0.0.2 password ********"),
            ("MD5 = \"x\"", "MD5 = ***"),
            ("authSecretRef: geheim", "authSecretRef: ******"),
            ("authentication-key \"x\"", "authentication-key ***"),
            ("pasword \"geheim\"", "pasword ********"),
            ("mode = \"passive\" # keepalive", "mode = \"passive\" # keepalive"),
            // On more lines than one.
            ("password =\n  \"geheim\"\nport", "password =\n  ********\nport"),
            ("password = [\n\"a\",\n\"b\"]\nport", "password = *\n****\n****\nport"),
            ("password = \"\"\"\na\nb\"\"\"\nport", "password = ***\n*\n****\nport"),
            ("password\nport", "password\nport"),
        ] {
            assert_eq!(mask(text, &[]), masked);
            assert_eq!(mask(text, &[]).len(), text.len());
        }
        let within = |text: &str, start, end| mask(text, std::slice::from_ref(&Span { start, end }));
        assert_eq!(within("a = \"x\"", 4, 7), "a = ***");
        assert_eq!(within("ü", 0, 1), "**");
        assert_eq!(within("a", 5, 3), "a");
        assert_eq!(within("a", 7, 9), "a");
        assert_eq!(quoted("10.0.0.2 password geheim"), "\"10.0.0.2 password ******\"");
    }
}
