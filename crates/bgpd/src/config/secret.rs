//! Keeps passwords out of reports: the text that a report quotes has them masked.
//!
//! Owns finding them, also in a text that does not parse. Masking keeps every octet's place, so spans stay true.

use super::fault::Span;

/// `text` with the given places, and whatever follows `password =`, replaced by as many stars.
pub(super) fn mask(text: &str, secrets: &[Span]) -> String {
    let mut octets = text.as_bytes().to_vec();
    for span in secrets.iter().cloned().chain(after_password_keys(text)) {
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

fn stars(character: char) -> String {
    if character == '\n' { "\n".to_owned() } else { "*".repeat(character.len_utf8()) }
}

/// The values after `password =` as they stand in the text, whether it parses or not.
fn after_password_keys(text: &str) -> impl Iterator<Item = Span> {
    text.match_indices("password").filter_map(|(start, key)| {
        let mut at = start + key.len();
        at += text.get(at..)?.find(|c: char| c != '"' && c != '\'')?;
        at += text.get(at..)?.find(|c: char| c != ' ' && c != '\t')?;
        let rest = text.get(at..)?.strip_prefix('=')?;
        at = text.len() - rest.trim_start_matches([' ', '\t']).len();
        Some(at..at + value_len(text.get(at..)?))
    })
}

/// How long the value is that `rest` begins with: to its closing quote, else to the end of the line.
fn value_len(rest: &str) -> usize {
    for quote in ["\"\"\"", "'''"] {
        if let Some(inner) = rest.strip_prefix(quote) {
            return inner.find(quote).map_or(rest.len(), |end| end + 2 * quote.len());
        }
    }
    let line = rest.find('\n').unwrap_or(rest.len());
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return line };
    let mut escaped = false;
    for (index, character) in rest.char_indices().skip(1).take_while(|(index, _)| *index < line) {
        if character == quote && !escaped {
            return index + 1;
        }
        escaped = character == '\\' && quote == '"' && !escaped;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_password_key_is_masked_and_nothing_moves() {
        for (text, masked) in [
            ("password = \"geheim\"\nport = 1", "password = ********\nport = 1"),
            ("{ password = 'a', port = 1 }", "{ password = ***, port = 1 }"),
            ("\"password\"=\"a\\\"b\" # x", "\"password\"=****** # x"),
            ("password = \"open\nport = 1", "password = *****\nport = 1"),
            ("password-file = \"/etc/x\"", "password-file = \"/etc/x\""),
            ("password = \"ü\"", "password = ****"),
        ] {
            assert_eq!(mask(text, &[]), masked);
            assert_eq!(mask(text, &[]).len(), text.len());
        }
        let within = |text: &str, start, end| mask(text, std::slice::from_ref(&Span { start, end }));
        assert_eq!(within("pasword = \"x\"", 10, 13), "pasword = ***");
        assert_eq!(within("ü", 0, 1), "**");
        assert_eq!(within("a", 5, 3), "a");
        assert_eq!(within("a", 7, 9), "a");
    }
}
