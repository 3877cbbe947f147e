//! A namespace with two links whose other ends exist, a running [`Kernel`], and what it has reported.

use std::time::{Duration, Instant};

use bgp_fib::{
    Event, GroupKind, GroupSpec, KernelError, Kind, NexthopSpec, Op, OpId, RouteSpec, RouteTarget,
};
use bgp_netlink::{Kernel, KernelConfig, KernelEvents, Report};

use crate::netns::Namespace;

/// How long a condition may take; a machine under load is slow, a condition that never comes is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const METRIC: u32 = 20;
pub(crate) const BGP: u8 = 186;

pub(crate) struct Host {
    pub(crate) namespace: Namespace,
    /// The other ends of the links.
    pub(crate) far: Namespace,
    pub(crate) kernel: Kernel,
    reports: KernelEvents,
    /// Events in the order of their arrival, since the last time somebody took them.
    pub(crate) events: Vec<Event>,
    answers: Vec<(OpId, Result<(), KernelError>)>,
    next_id: u64,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(KernelConfig::default())
    }

    /// `eth0` is 10.0.0.1/24 and 2001:db8::1/64 with a neighbour at .2, `eth1` 10.0.1.1/24 and 2001:db8:1::1/64.
    pub(crate) fn with(config: KernelConfig) -> Self {
        let (namespace, far) = (Namespace::new(), Namespace::new());
        for (index, v6) in ["2001:db8::", "2001:db8:1::"].iter().enumerate() {
            let (near, other) = (format!("eth{index}"), format!("far{index}"));
            namespace.connect(&near, &far, &other);
            for (side, name, host) in [(&namespace, &near, 1), (&far, &other, 2)] {
                side.ip(&format!("addr add 10.0.{index}.{host}/24 dev {name}"));
                side.ip(&format!("addr add {v6}{host}/64 dev {name} nodad"));
            }
        }
        let (kernel, reports) = namespace.run(move || Kernel::start(config)).unwrap();
        let (events, answers) = (Vec::new(), Vec::new());
        let mut host = Self { namespace, far, kernel, reports, events, answers, next_id: 1 };
        host.apply(Kind::ALL.map(Op::Dump).to_vec());
        host
    }

    /// Has the kernel do `ops` and waits for every answer.
    pub(crate) fn submit(&mut self, ops: Vec<Op>) -> Vec<Result<(), KernelError>> {
        let ops: Vec<_> = ops
            .into_iter()
            .map(|op| {
                self.next_id += 1;
                (OpId(self.next_id), op)
            })
            .collect();
        let ids: Vec<_> = ops.iter().map(|(id, _)| *id).collect();
        self.kernel.submit(ops);
        self.wait("answers", |host| host.answers.len() >= ids.len());
        let mut answers = std::mem::take(&mut self.answers);
        // Routes of one family may overtake those of the other.
        answers.sort_by_key(|(id, _)| *id);
        let (answered, results): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
        assert_eq!(answered, ids, "each is answered once");
        results
    }

    /// Has the kernel do `ops`, all of which must succeed; returns their places in the order of the answers.
    pub(crate) fn order_of_answers(&mut self, ops: Vec<Op>) -> Vec<u64> {
        let first = self.next_id + 1;
        let count = ops.len();
        self.next_id += u64::try_from(count).unwrap();
        self.kernel.submit((first..).map(OpId).zip(ops).collect::<Vec<_>>());
        self.wait("answers", |host| host.answers.len() >= count);
        let answers = std::mem::take(&mut self.answers);
        assert!(answers.iter().all(|(_, result)| result.is_ok()), "{answers:?}");
        answers.iter().map(|(id, _)| id.0 - first).collect()
    }

    /// The same, and all must succeed.
    pub(crate) fn apply(&mut self, ops: Vec<Op>) {
        for result in self.submit(ops) {
            assert_eq!(result, Ok(()));
        }
    }

    /// Waits until the events so far fulfil `condition`.
    pub(crate) fn until(&mut self, what: &str, condition: impl Fn(&[Event]) -> bool) {
        self.wait(what, |host| condition(&host.events));
    }

    /// Reports of before are in `events`: a change made after them has come.
    pub(crate) fn sentinel(&mut self) {
        self.namespace.ip("addr add 192.0.2.1/32 dev lo");
        self.until("the sentinel", |events| {
            events.iter().any(|event| {
                matches!(event, Event::Address(address) if address.address.to_string() == "192.0.2.1")
            })
        });
        self.namespace.ip("addr del 192.0.2.1/32 dev lo");
    }

    fn wait(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let next = runtime.block_on(async { tokio::time::timeout(left, self.reports.next()).await });
            match next {
                Ok(Some(Report::Answers(answers))) => self.answers.extend(answers),
                Ok(Some(Report::Events(events))) => self.events.extend(events),
                Ok(None) => panic!("the thread has ended while waiting for {what}"),
                Err(_) => panic!("{what} did not come; there were {:#?}", self.events),
            }
        }
    }

    /// Submits `ops`, lets the handle go and counts the answers that come before the thread ends.
    pub(crate) fn finish(self, ops: Vec<Op>) -> usize {
        let Self { kernel, mut reports, .. } = self;
        kernel.submit(ops.into_iter().zip(1000..).map(|(op, id)| (OpId(id), op)).collect::<Vec<_>>());
        drop(kernel);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut answered = 0;
        while let Some(report) = runtime.block_on(reports.next()) {
            if let Report::Answers(answers) = report {
                answered += answers.into_iter().filter(|(_, result)| result.is_ok()).count();
            }
        }
        answered
    }

    /// What `ip -j` says, as JSON.
    pub(crate) fn show(&self, what: &str) -> Vec<serde_json::Value> {
        let text = self.namespace.ip(&format!("-j {what}"));
        if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
    }
}

pub(crate) fn hop(id: u32, gateway: &str, ifindex: u32) -> Op {
    Op::NexthopAdd(NexthopSpec {
        id,
        protocol: BGP,
        gateway: gateway.parse().unwrap(),
        ifindex,
        onlink: false,
    })
}

pub(crate) fn group(id: u32, members: &[(u32, u16)]) -> GroupSpec {
    GroupSpec { id, protocol: BGP, kind: GroupKind::HashThreshold, members: members.to_vec() }
}

pub(crate) fn route(prefix: &str, target: RouteTarget) -> RouteSpec {
    RouteSpec {
        prefix: prefix.parse().unwrap(),
        table: 254,
        protocol: BGP,
        metric: METRIC,
        preferred_source: None,
        target,
    }
}

pub(crate) fn by_id(prefix: &str, id: u32) -> Op {
    Op::RouteAdd(route(prefix, RouteTarget::Nexthop(id)))
}

pub(crate) fn delete(prefix: &str) -> Op {
    Op::RouteDel { prefix: prefix.parse().unwrap(), table: 254, protocol: BGP, metric: METRIC, target: None }
}
