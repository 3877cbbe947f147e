//! Writes the messages of `tests/corpus` as seeds for the fuzz targets: `fuzz_seeds DIRECTORY [FILE.jsonl ...]`.
//!
//! One directory per target. The first octet of what `framing`, `update`, `round_trip` and `differential` take is the
//! context, as `fuzz/src/lib.rs` reads it; `session` takes steps.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde_json::Value;

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or_else(|| io::Error::other("which directory?"))?;
    let mut files: Vec<PathBuf> = arguments.collect();
    if files.is_empty() {
        let messages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/messages");
        files = fs::read_dir(messages)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    }
    let mut count = 0;
    for file in files {
        for line in fs::read_to_string(&file)?.lines() {
            let record: Value = serde_json::from_str(line)?;
            count += write(&out, &record, count)?;
        }
    }
    println!("{count} seeds in {}", out.display());
    Ok(())
}

fn write(out: &Path, record: &Value, number: usize) -> io::Result<usize> {
    let octets = unhex(record["hex"].as_str().unwrap_or_default());
    let body = octets.get(19..).unwrap_or_default();
    let context = u8::from(record["as4"] == true)
        | u8::from(record["addpath"].as_array().is_some_and(|list| !list.is_empty())) << 1
        | u8::from(record["peer"] == "ibgp") << 2;
    let with = |first: u8, rest: &[u8]| [&[first], rest].concat();
    let mut seeds = vec![("framing", with(63, &octets)), ("session", session(&octets))];
    match octets.get(18) {
        Some(1) => seeds.push(("open", body.to_vec())),
        Some(2) => {
            seeds
                .extend(["update", "round_trip", "differential"].map(|target| (target, with(context, body))));
            seeds.push(("handover", with(0, &octets)));
        }
        Some(3) => seeds.push(("notification", body.to_vec())),
        Some(5) => seeds.push(("route_refresh", body.to_vec())),
        _ => {}
    }
    for (target, seed) in &seeds {
        let directory = out.join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("seed-{number:05}")), seed)?;
    }
    Ok(seeds.len())
}

/// Steps as `fuzz/targets/session.rs` reads them: start, a connection of the peer, its OPEN and KEEPALIVE, the message
/// as it is, ten minutes.
fn session(octets: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(octets.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[0, 0, 0, 1, 5, 200, 90, 6, 4, high, low], octets, &[10, 0x92, 0x7c]].concat()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default();
    let digits: Vec<u8> = text.chars().map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect()
}
