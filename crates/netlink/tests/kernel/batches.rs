//! Many requests in one system call: errors find their operation, and nothing stops the rest.

use bgp_fib::{Event, Op, RouteTarget};

use crate::host::{BGP, Host, by_id, delete, group, hop, route};

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

#[test]
fn both_families_at_once_and_what_they_refer_to_comes_first_and_goes_last() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    let v4: Vec<_> = (0..2000).map(|index| format!("100.{}.{}.0/24", index / 256, index % 256)).collect();
    let v6: Vec<_> = (0..2000).map(|index| format!("2001:db8:1:{index:x}::/64")).collect();
    for round in 0..3_u32 {
        let (four, six) = (10 + round, 20 + round);
        let mut ops = vec![hop(four, "10.0.0.2", link), hop(six, "2001:db8::2", link)];
        for (v4, v6) in v4.iter().zip(&v6) {
            ops.extend([by_id(v4, four), by_id(v6, six)]);
        }
        // In the same breath: a route to an object that was not there before, and its removal before the object's.
        ops.push(hop(30, "2001:db8::3", link));
        ops.push(by_id("2001:db8:ffff::/64", 30));
        ops.push(delete("2001:db8:ffff::/64"));
        ops.push(Op::NexthopDel { id: 30 });
        host.apply(ops);
        assert_eq!(host.show("route show proto bgp").len(), 2000);
        assert_eq!(host.show("-6 route show proto bgp").len(), 2000);
        let mut removals: Vec<_> = v4.iter().chain(&v6).map(|prefix| delete(prefix)).collect();
        removals.extend([Op::NexthopDel { id: four }, Op::NexthopDel { id: six }]);
        for result in host.submit(removals) {
            // The removal of an object passes its routes and takes them along.
            assert!(result.as_ref().err().is_none_or(|error| error.errno == libc::ESRCH), "{result:?}");
        }
        assert!(host.show("route show proto bgp").is_empty());
        assert!(host.show("-6 route show proto bgp").is_empty());
    }
    host.sentinel();
    // Removals by the kernel itself, of the routes whose object has passed them, are told and may be.
    let own = |event: &Event| matches!(event, Event::Route(route, _) if route.protocol == BGP);
    assert!(!host.events.iter().any(own), "what we did ourselves is no news, whichever thread did it");
}

#[test]
fn a_lost_member_leaves_its_groups_before_the_routes_that_wait() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![
        hop(1, "10.0.0.2", link),
        hop(2, "10.0.0.3", link),
        Op::GroupAdd(group(100, &[(1, 1), (2, 1)])),
    ]);
    let routes = (0..4000).map(|index| by_id(&format!("100.{}.{}.0/24", index / 256, index % 256), 100));
    let mut ops: Vec<Op> = routes.collect();
    ops.push(Op::NexthopDel { id: 1 });
    let order = host.order_of_answers(ops);
    let place = order.iter().position(|index| *index == 4000);
    assert!(place.is_some_and(|place| place <= 256), "answered as number {place:?}");
    let group = host.show("nexthop get id 100").pop().unwrap();
    assert_eq!(group["group"].as_array().map(Vec::len), Some(1), "{group}");
}

/// Who submits routes may wait for the answer of the group that they use before more comes: it has to come by itself.
#[test]
fn the_answer_of_a_group_does_not_wait_for_the_routes_behind_it() {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply(vec![hop(1, "2001:db8::2", link), hop(2, "2001:db8::3", link)]);
    host.sentinel();
    // As many as the group's batch leaves room for, as one thread takes, and as go to a thread of their own.
    let mut from = 0;
    for (id, count) in (100..).zip([1, 254, 255, 256, 600, 3000, 600, 600]) {
        let mut ops = vec![Op::GroupAdd(group(id, &[(1, 1), (2, 1)]))];
        ops.extend((from..from + count).map(|index| by_id(&format!("2001:db8:1:{index:x}::/64"), id)));
        host.apply(ops);
        from += count;
    }
    assert_eq!(host.show("-6 route show proto bgp").len(), from);
}
