//! One workload a run, for counting its instructions: `instructions NAME SIZE`, and `instructions list`.
//!
//! A workload prepares the same whatever its size, does SIZE steps of work, says how many operations these were and what
//! they allocated, and ends the process at once. So the difference of two runs of different size is the work alone;
//! `scripts/bench-instructions` takes it, under callgrind. Nothing depends on time, chance or addresses.

mod fib;
mod meter;
mod rib;
mod session;
mod update;

use std::process::ExitCode;

/// One stage of the UPDATE road.
struct Workload {
    /// What the table calls it.
    name: &'static str,
    /// What one operation is.
    unit: &'static str,
    /// Steps of the smaller of the two runs that are compared; the other does twice as many.
    steps: u32,
    /// Steps of the run whose memory is told; none where what stays is not the point.
    memory_steps: Option<u32>,
    /// Prepares for up to `most` steps, does `steps` of them.
    run: fn(steps: u32, most: u32) -> !,
}

impl Workload {
    const fn new(name: &'static str, unit: &'static str, steps: u32, run: fn(u32, u32) -> !) -> Self {
        Self { name, unit, steps, memory_steps: None, run }
    }

    const fn with_memory(self, steps: u32) -> Self {
        Self { memory_steps: Some(steps), ..self }
    }
}

/// As many routes as the other benchmarks have.
const TABLE: u32 = 50_000;

const WORKLOADS: &[Workload] = &[
    Workload::new("decode_cilium", "UPDATE", 1000, update::decode_cilium),
    Workload::new("decode_five", "UPDATE", 1000, update::decode_five),
    Workload::new("encode_five", "UPDATE", 1000, update::encode_five),
    Workload::new("encode_packed", "prefix", 4000, update::encode_packed),
    Workload::new("encode_withdraw", "prefix", 4000, update::encode_withdraw),
    Workload::new("intern_known", "UPDATE", 800, rib::intern_known),
    Workload::new("intern_new", "UPDATE", 800, rib::intern_new),
    Workload::new("rib_insert", "route", 4000, rib::insert).with_memory(TABLE),
    Workload::new("rib_insert_second", "route", 4000, rib::insert_second).with_memory(TABLE),
    Workload::new("rib_insert_shared", "route", 4000, rib::insert_shared).with_memory(TABLE),
    Workload::new("rib_replace", "route", 4000, rib::replace),
    Workload::new("rib_withdraw", "route", 4000, rib::withdraw),
    Workload::new("decide_1", "decision", 8, rib::decide::<1>),
    Workload::new("decide_3", "decision", 8, rib::decide::<3>),
    Workload::new("decide_8", "decision", 8, rib::decide::<8>),
    Workload::new("decide_64", "decision", 8, rib::decide::<64>),
    Workload::new("advertise_refresh", "route", 2, rib::refresh),
    Workload::new("advertise_change_8", "route told", 2000, rib::change_8),
    Workload::new("fib_install", "route", 4000, fib::install).with_memory(TABLE),
    Workload::new("fib_change", "route", 4000, fib::change),
    Workload::new("fib_remove", "route", 4000, fib::remove),
    Workload::new("netlink_ipv4", "route", 4000, fib::netlink_ipv4),
    Workload::new("netlink_ipv6", "route", 4000, fib::netlink_ipv6),
    Workload::new("session_keepalive", "KEEPALIVE", 2000, session::keepalive),
    Workload::new("session_updates", "UPDATE", 20, session::updates),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            for workload in WORKLOADS {
                let memory = workload.memory_steps.map_or_else(|| "-".to_owned(), |steps| steps.to_string());
                println!("{}\t{}\t{}\t{memory}", workload.name, workload.unit, workload.steps);
            }
            ExitCode::SUCCESS
        }
        [name, steps] => match (WORKLOADS.iter().find(|workload| workload.name == *name), steps.parse()) {
            (Some(workload), Ok(steps)) => (workload.run)(steps, steps.max(2 * workload.steps)),
            (None, _) | (_, Err(_)) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: instructions list | instructions NAME STEPS");
    ExitCode::from(2)
}
