//! Writes the messages of `tests/corpus` as seeds for the fuzz targets: `fuzz_seeds DIRECTORY [FILE.jsonl ...]`.
//!
//! One directory per target. The first octet of what `framing`, `update`, `round_trip` and `differential` take is the
//! context, as `fuzz/src/lib.rs` reads it; `session` takes steps.

#[path = "../tests/corpus/record.rs"]
#[expect(dead_code, reason = "shared with the tests, which use more of it")]
mod record;

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use bgp_wire::PeerKind;
use bgp_wire::iana::message;

use record::Record;

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or_else(|| io::Error::other("which directory?"))?;
    let mut files: Vec<PathBuf> = arguments.collect();
    if files.is_empty() {
        let messages = record::tree().join("messages");
        files = fs::read_dir(messages)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    }
    let mut count = 0;
    for file in files {
        for record in record::read(&file) {
            count += write(&out, &record, count)?;
        }
    }
    println!("{count} seeds in {}", out.display());
    Ok(())
}

fn write(out: &Path, record: &Record, number: usize) -> io::Result<usize> {
    let (octets, body, cx) = (&record.octets, record.body(), record.context);
    let context = u8::from(cx.four_octet_as)
        | u8::from(cx.add_path.ipv4 || cx.add_path.ipv6) << 1
        | u8::from(cx.peer == PeerKind::Internal) << 2;
    let with = |first: u8, rest: &[u8]| [&[first], rest].concat();
    let mut seeds = vec![("framing", with(63, octets)), ("session", session(octets))];
    match record.kind() {
        Some(message::OPEN) => seeds.push(("open", body.to_vec())),
        Some(message::UPDATE) => {
            seeds
                .extend(["update", "round_trip", "differential"].map(|target| (target, with(context, body))));
            seeds.push(("handover", with(0, octets)));
        }
        Some(message::NOTIFICATION) => seeds.push(("notification", body.to_vec())),
        Some(message::ROUTE_REFRESH) => seeds.push(("route_refresh", body.to_vec())),
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
