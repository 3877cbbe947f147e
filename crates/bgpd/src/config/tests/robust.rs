//! No text makes the configuration panic, and every refusal says something.

use proptest::prelude::*;

use super::super::load_str;

const SEED: &str = concat!(
    include_str!("../../../../../config/examples/tor.toml"),
    "\n[neighbor.\"192.0.2.9\"]\nremote-asn = 1\npassword = 'x'\nmaximum-prefix = { limit = 5, action = \"stop\" }\n",
    "shutdown = \"ü\"\n[log]\nlevel = \"info\"\n[control]\nsocket = \"/x\"\n",
);

fn survives(text: &str) {
    match load_str(text, "t.toml") {
        Ok(loaded) => {
            assert_eq!(loaded.warnings.errors(), 0);
            assert!(!loaded.config.to_toml().is_empty());
            assert!(loaded.warnings.render(true).len() >= loaded.warnings.warnings());
        }
        Err(faults) => {
            assert!(faults.errors() > 0);
            assert!(!faults.render(true).is_empty() && !faults.to_string().is_empty());
            assert_eq!(faults.lines().count(), faults.errors() + faults.warnings());
        }
    }
}

/// What a slip of the hand or a broken tool puts in.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"".to_owned()),
        Just("'''".to_owned()),
        Just("\n".to_owned()),
        Just("[[".to_owned()),
        Just("]".to_owned()),
        Just("{".to_owned()),
        Just(" = ".to_owned()),
        Just("\r\n".to_owned()),
        Just("\u{feff}".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("0x_f".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("ü\0\u{1b}".to_owned()),
        Just("import = [[[{a.b.c = 1}]]]\n".to_owned()),
        ".{0,4}",
    ]
}

proptest! {
    #[test]
    fn mutated_text(edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, piece()), 1..6)) {
        let mut text: Vec<char> = SEED.chars().collect();
        for (index, cut, piece) in edits {
            let at = index.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        survives(&text.into_iter().collect::<String>());
    }

    #[test]
    fn random_text(text in "\\PC{0,200}", lines in prop::collection::vec("[a-z\\[\\]{}.=\"'\\-0-9 ,#\n]{0,40}", 0..8)) {
        survives(&text);
        survives(&lines.join("\n"));
    }

    #[test]
    fn random_values(value in "(-?[0-9]{1,20}|true|\\[\\]|\\{\\}|\"[0-9a-f:./]{0,30}\")", index in 0_usize..200) {
        let lines: Vec<String> = SEED
            .lines()
            .enumerate()
            .map(|(number, line)| match line.split_once('=') {
                Some((key, _)) if number == index % SEED.lines().count() => format!("{key}= {value}"),
                _ => line.to_owned(),
            })
            .collect();
        survives(&lines.join("\n"));
    }
}

#[test]
fn depth_and_length_are_bounded() {
    survives(&format!("a = {}", "[".repeat(100_000)));
    survives(&"[".repeat(100_000));
    survives(&format!("{} = 1", "a.".repeat(100_000)));
    survives(&"x\n".repeat(2_000));
    let faults = load_str(&(0..2_000).map(|n| format!("k{n} = 1\n")).collect::<String>(), "t").unwrap_err();
    assert_eq!(faults.errors(), 2_001);
    assert!(faults.to_string().contains("1961 more not shown; t: 2001 errors"));
}
