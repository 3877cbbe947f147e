//! Many requests in one system call: errors find their operation, and nothing stops the rest.

use bgp_fib::{Op, RouteTarget};

use crate::host::{Host, by_id, delete, hop, route};

#[test]
fn an_error_in_the_middle_names_its_operation_and_the_rest_is_done() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![hop(1, "10.0.0.2", link)]);
    let mut ops: Vec<_> = (0..32).map(|index| by_id(&format!("198.51.{index}.0/24"), 1)).collect();
    ops[5] = hop(2, "198.51.100.77", link);
    ops[9] = by_id("198.51.3.0/24", 1);
    ops[11] = Op::RouteAdd(route("198.51.11.0/24", RouteTarget::Nexthop(99)));
    ops[31] = delete("203.0.113.0/24");
    let results = host.submit(ops);
    let failed: Vec<_> = (0..32).filter(|index| results[*index].is_err()).collect();
    assert_eq!(failed, [5, 9, 11, 31]);
    assert_eq!(results[9].as_ref().unwrap_err().errno, libc::EEXIST);
    assert_eq!(results[31].as_ref().unwrap_err().errno, libc::ESRCH);
    assert_eq!(host.show("route show proto bgp").len(), 28);
}

#[test]
fn thousands_of_operations_are_answered_each_once_also_when_all_fail() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![hop(1, "10.0.0.2", link)]);
    let prefixes: Vec<_> =
        (0..3000).map(|index| format!("100.{}.{}.0/24", index / 256, index % 256)).collect();
    host.apply(prefixes.iter().map(|prefix| by_id(prefix, 1)).collect());
    assert_eq!(host.show("route show proto bgp").len(), 3000);
    let again = host.submit(prefixes.iter().map(|prefix| by_id(prefix, 1)).collect());
    assert!(again.iter().all(|result| result.as_ref().is_err_and(|error| error.errno == libc::EEXIST)));
    host.apply(prefixes.iter().map(|prefix| delete(prefix)).collect());
    assert!(host.show("route show proto bgp").is_empty());
}

#[test]
fn what_was_submitted_is_done_before_the_thread_ends() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![hop(1, "10.0.0.2", link)]);
    let other = host.kernel.clone();
    drop(other);
    host.apply(
        (0..500).map(|index| by_id(&format!("100.0.{}.{}/32", index / 256, index % 256), 1)).collect(),
    );
    assert_eq!(
        host.finish(
            (0..500).map(|index| { delete(&format!("100.0.{}.{}/32", index / 256, index % 256)) }).collect()
        ),
        500
    );
}
