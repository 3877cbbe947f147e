//! The buckets of this host's own connections are marked as used, and no others.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use bgp_fib::{GROUP_IDS, GroupKind, GroupSpec, Op, Resilient};
use bgp_netlink::{groups, own_flows};

use crate::host::{Host, by_id, group, hop};

/// How long each bucket has been idle.
fn idle(host: &Host) -> BTreeMap<u16, Duration> {
    let buckets = host.namespace.run(groups::buckets).unwrap();
    buckets.iter().map(|bucket| (bucket.index, bucket.idle)).collect()
}

/// Any look-up marks a bucket, also one that asks only which route leads to an address: one without ports marks the same
/// bucket at each look, and whoever has it would never be free of flows.
#[test]
fn a_look_at_a_connection_marks_its_bucket_and_no_other() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    let id = GROUP_IDS.start;
    let kind = GroupKind::Resilient(Resilient { buckets: 1024, idle_timer: 60, unbalanced_timer: 0 });
    let members = [(1, 1), (2, 1)];
    let ways = [hop(1, "2001:db8::2", link), hop(2, "2001:db8::3", link)];
    host.far.ip("address add 2001:db8::3/64 dev far0 nodad");
    host.far.ip("address add 2004::1/128 dev lo");
    host.apply(ways.to_vec());
    host.apply(vec![Op::GroupAdd(GroupSpec { kind, ..group(id, &members) }), by_id("2004::1/128", id)]);

    let listener = host.far.run(|| TcpListener::bind("[2004::1]:80")).unwrap();
    let mut stream = host.namespace.run(|| TcpStream::connect("[2004::1]:80")).unwrap();
    let (mut accepted, _) = listener.accept().unwrap();
    stream.write_all(b"x").unwrap();
    accepted.read_exact(&mut [0]).unwrap();

    // The kernel tells idle times in hundredths of a second.
    let mut before = idle(&host);
    while before.values().any(|idle| *idle < Duration::from_millis(50)) {
        before = idle(&host);
    }
    let kept = host.namespace.run(|| own_flows::keep(Duration::from_secs(60))).unwrap();
    let after = idle(&host);
    let marked = after.iter().filter(|(index, idle)| before.get(index).is_some_and(|before| *idle < before));
    let marked: Vec<_> = marked.map(|(index, idle)| (index, before[index], idle)).collect();
    assert_eq!((kept, marked.len()), (1, 1), "{marked:?}");
}
