//! What an audit of the routes of this network namespace costs: `cargo run --release -p bgp-netlink --example audit_cost`.
//!
//! Adopts whatever routes of ours (protocol 186, metric 20) are there, has them read back once, and prints the processor
//! time that has gone into it, by thread. Needs CAP_NET_ADMIN; writes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bgp_fib::{Fib, FibConfig};
use bgp_netlink::{Kernel, KernelConfig, Report};

/// Hundredths of a second, by the name of the thread.
fn processor_time() -> std::io::Result<BTreeMap<String, u64>> {
    let mut times = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        let Some((name, rest)) = stat.split_once(") ") else { continue };
        let name = name.split_once('(').map_or("", |(_, name)| name).to_owned();
        let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|number| number.parse::<u64>().ok());
        *times.entry(name).or_default() += ticks.sum::<u64>();
    }
    Ok(times)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let config = FibConfig {
        startup_grace: None,
        audit_interval: Some(Duration::from_millis(1)),
        ..FibConfig::default()
    };
    let mut fib = Fib::new(config, Instant::now());
    let (kernel, mut events) = Kernel::start(KernelConfig::default())?;
    let (mut before, mut began) = (BTreeMap::new(), Instant::now());
    loop {
        let now = Instant::now();
        fib.tick(now);
        let mut ops = Vec::new();
        fib.next_ops(1024, &mut ops);
        if ops.iter().any(|(_, op)| matches!(op, bgp_fib::Op::Audit)) {
            (before, began) = (processor_time()?, now);
        }
        kernel.submit(ops);
        if let Some(run) = fib.audit().last {
            println!("{} routes in {:.1} s", run.routes, began.elapsed().as_secs_f64());
            for (name, ticks) in processor_time()? {
                println!("{name}: {} ms", (ticks - before.get(&name).copied().unwrap_or(0)) * 10);
            }
            return Ok(());
        }
        let wait = fib.next_deadline().map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
        match tokio::time::timeout(wait, events.next()).await {
            Ok(Some(Report::Events(events))) => {
                events.into_iter().for_each(|event| fib.observe(event, &|_| None, now))
            }
            Ok(Some(Report::Answers(answers))) => {
                for (id, result) in answers {
                    fib.confirm(id, result, now);
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {}
        }
    }
}
