//! Network namespaces for tests: unnamed, each held by a thread of its own, gone with the last thread and socket in it.
//!
//! They need root. Without it the tests fail, for a test that did not run has not passed.

use std::process::Command;
use std::sync::mpsc::{Sender, channel};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

type Job = Box<dyn FnOnce() + Send>;

/// A fresh network namespace. What runs by [`Namespace::run`] runs inside; sockets and threads made there stay there.
pub(crate) struct Namespace {
    jobs: Sender<Job>,
    holder: Pid,
}

impl Namespace {
    /// A namespace with the loopback device up.
    pub(crate) fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (ready, told) = channel();
        std::thread::spawn(move || {
            let entered = unshare(CloneFlags::CLONE_NEWNET);
            ready.send((entered, gettid())).unwrap();
            for job in queue {
                job();
            }
        });
        let (entered, holder) = told.recv().unwrap();
        entered.expect("network namespaces need root");
        let namespace = Self { jobs, holder };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `job` inside and hands back what it returns; panics if it does.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.jobs
            .send(Box::new(move || {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                done.send(outcome).unwrap();
            }))
            .unwrap();
        match result.recv().unwrap() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs `ip` with these arguments; it must succeed. Returns what it printed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let arguments: Vec<_> = arguments.split_whitespace().map(str::to_owned).collect();
        self.run(move || {
            let output = Command::new("ip").args(&arguments).output().expect("ip(8) of iproute2");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ip {arguments:?}: {errors}");
            String::from_utf8(output.stdout).unwrap()
        })
    }

    /// Connects two namespaces by a veth pair, `near` here and `far` there, both up.
    pub(crate) fn connect(&self, near: &str, other: &Self, far: &str) {
        self.ip(&format!("link add {near} type veth peer name {far} netns {}", other.holder));
        self.ip(&format!("link set {near} up"));
        other.ip(&format!("link set {far} up"));
    }

    /// The index of an interface.
    pub(crate) fn ifindex(&self, name: &str) -> u32 {
        let name = name.to_owned();
        self.run(move || nix::net::if_::if_nametoindex(name.as_str()).unwrap())
    }
}
