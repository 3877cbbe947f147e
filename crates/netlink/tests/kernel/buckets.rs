//! Resilient groups: what the kernel does with their buckets, and that the model which the tests of `bgp-fib` and the
//! simulation use does the same.

use bgp_fib::{GroupKind, GroupSpec, Op, Resilient};
use bgp_netlink::groups;

use crate::host::{Host, by_id, group, hop};
use crate::model::Buckets;

const GROUP: u32 = 100;

fn resilient(buckets: u16, members: &[(u32, u16)]) -> GroupSpec {
    let kind = GroupKind::Resilient(Resilient { buckets, idle_timer: 60, unbalanced_timer: 0 });
    GroupSpec { kind, ..group(GROUP, members) }
}

/// Hops 1 to 5 on eth0.
fn host() -> Host {
    let mut host = Host::new();
    let link = host.namespace.ifindex("eth0");
    host.apply((1..=5).map(|id| hop(id, &format!("2001:db8::{}", id + 1), link)).collect());
    host
}

/// Who has each bucket.
fn owners(host: &Host) -> Vec<Option<u32>> {
    let mut buckets = host.namespace.run(groups::buckets).unwrap();
    buckets.retain(|bucket| bucket.group == GROUP);
    buckets.sort_unstable_by_key(|bucket| bucket.index);
    buckets.iter().map(|bucket| Some(bucket.hop)).collect()
}

#[test]
fn this_kernel_has_resilient_groups_and_the_probe_leaves_nothing_behind() {
    let host = host();
    let abilities = host.namespace.run(groups::abilities).unwrap();
    assert_eq!(abilities, groups::Abilities { resilient: true, wide_weights: true });
    assert_eq!(host.show("nexthop show").len(), 5);
}

/// zebra keeps what it has seen of a probe: a group with the hop's id, and a hop with the group's.
#[test]
fn a_probe_whose_ids_somebody_has_goes_by_others_and_leaves_them_alone() {
    let host = host();
    for theirs in ["id 186500000 group 1/2 proto zebra", "id 187000000 blackhole proto zebra"] {
        host.namespace.ip(&format!("nexthop add {theirs}"));
    }
    let before = host.show("nexthop show");
    let abilities = host.namespace.run(groups::abilities).unwrap();
    assert_eq!(abilities, groups::Abilities { resilient: true, wide_weights: true });
    assert_eq!(host.show("nexthop show"), before);
    for id in [185_999_998, 185_999_996, 185_999_994] {
        host.namespace.ip(&format!("nexthop add id {id} blackhole"));
    }
    let error = host.namespace.run(groups::abilities).unwrap_err().to_string();
    assert!(error.contains("somebody else has next-hop objects with all ids that are tried"), "{error}");
}

#[test]
fn buckets_are_dealt_as_in_the_model() {
    for buckets in [7, 16, 128] {
        let mut host = host();
        let mut model = Buckets::new(buckets);
        let steps: [&[(u32, u16)]; 9] = [
            &[(1, 1)],
            &[(1, 1), (2, 1)],
            &[(1, 1), (2, 1), (3, 1)],
            &[(1, 1), (3, 1)],
            &[(1, 3), (3, 1), (4, 2)],
            &[(1, 3), (2, 1), (3, 1), (4, 2), (5, 200)],
            &[(2, 1), (5, 1)],
            &[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)],
            &[(4, 1)],
        ];
        for (number, members) in steps.iter().enumerate() {
            let spec = resilient(buckets, members);
            host.apply(vec![if number == 0 { Op::GroupAdd(spec) } else { Op::GroupReplace(spec) }]);
            model.deal(members);
            assert_eq!(owners(&host), model.owners, "{buckets} buckets, step {number}, {members:?}");
        }
    }
}

#[test]
fn a_hop_that_is_deleted_gives_up_its_buckets_and_no_other_moves() {
    let mut host = host();
    let members = [(1, 1), (2, 1), (3, 1)];
    host.apply(vec![Op::GroupAdd(resilient(128, &members)), by_id("2004::1/128", GROUP)]);
    let before = owners(&host);
    host.apply(vec![Op::NexthopDel { id: 2 }]);
    let after = owners(&host);
    for (before, after) in before.iter().zip(&after) {
        assert!(if *before == Some(2) { *after != Some(2) } else { before == after });
    }
    let mut model = Buckets::new(128);
    model.deal(&members);
    model.deal(&[(1, 1), (3, 1)]);
    assert_eq!(after, model.owners);
}

/// What `bgp-fib` does when somebody has taken several legs out.
#[test]
fn a_group_that_becomes_once_more_what_it_was_has_the_same_buckets_again() {
    let histories: [&[&[(u32, u16)]]; 4] = [
        &[&[(1, 1), (2, 1), (3, 1)]],
        &[&[(1, 1)], &[(1, 1), (2, 1)], &[(1, 1), (2, 1), (3, 1)]],
        &[&[(2, 1), (3, 1)], &[(1, 1), (2, 1), (3, 1)]],
        &[&[(1, 1), (2, 1), (3, 1)], &[(1, 1), (3, 1)], &[(1, 2), (3, 1), (4, 1)]],
    ];
    for history in histories {
        for left in 1..=4 {
            let mut host = host();
            let replace = |members: &[(u32, u16)]| Op::GroupReplace(resilient(128, members));
            host.apply(vec![Op::GroupAdd(resilient(128, history[0]))]);
            host.apply(history[1..].iter().map(|members| replace(members)).collect());
            let before = owners(&host);
            host.namespace.ip(&format!("nexthop replace id {GROUP} group {left} type resilient"));
            assert_ne!(owners(&host), before);
            host.apply(vec![replace(&history[0][..1])]);
            host.apply(history.iter().map(|members| replace(members)).collect());
            assert_eq!(owners(&host), before, "{history:?}, {left} was left");
        }
    }
}

#[test]
fn neither_its_type_nor_its_buckets_are_changed_in_place_but_its_timers_are() {
    let mut host = host();
    host.apply(vec![Op::GroupAdd(resilient(16, &[(1, 1)]))]);
    let refused = host.submit(vec![
        Op::GroupReplace(group(GROUP, &[(1, 1), (2, 1)])),
        Op::GroupReplace(resilient(32, &[(1, 1), (2, 1)])),
    ]);
    assert!(
        refused.iter().all(|answer| answer.as_ref().is_err_and(|it| it.errno == libc::EINVAL)),
        "{refused:?}"
    );
    let timers = Resilient { buckets: 16, idle_timer: 7, unbalanced_timer: 9 };
    let spec = GroupSpec { kind: GroupKind::Resilient(timers), ..group(GROUP, &[(1, 1)]) };
    host.apply(vec![Op::GroupReplace(spec)]);
    let shown = host.namespace.ip("nexthop show id 100");
    assert!(shown.contains("buckets 16 idle_timer 7 unbalanced_timer 9"), "{shown}");
}

#[test]
fn a_group_that_is_gone_is_not_made_anew_by_a_replacement() {
    let mut host = host();
    host.apply(vec![Op::GroupAdd(resilient(16, &[(1, 1)])), Op::NexthopDel { id: 1 }]);
    let refused = host.submit(vec![Op::GroupReplace(resilient(16, &[(2, 1)]))]);
    assert_eq!(refused[0].as_ref().unwrap_err().errno, libc::ENOENT, "{refused:?}");
}
