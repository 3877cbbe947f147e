//! What is in the buckets of resilient groups, asked of the kernel when somebody wants to see it.
//!
//! Idle times change with every packet, so nobody keeps them.

use std::collections::HashMap;
use std::time::Duration;

use bgp_api::{GroupMember, NexthopsReply};
use bgp_netlink::Moves;
use bgp_netlink::groups::{self, Bucket};
use tracing::warn;

/// Enters buckets and idle times into a reply; without them where the kernel does not tell.
pub(super) async fn fill(reply: &mut NexthopsReply, moves: &Moves) {
    if reply.groups.iter().all(|group| group.buckets.is_none()) {
        return;
    }
    for group in &mut reply.groups {
        group.moved = moves.get(&group.kernel_id).copied();
    }
    match tokio::task::spawn_blocking(groups::buckets).await {
        Ok(Ok(buckets)) => enter(reply, &buckets),
        Ok(Err(error)) => warn!(%error, "the buckets of next-hop groups cannot be read"),
        Err(error) => warn!(%error, "reading the buckets of next-hop groups ended early"),
    }
}

fn enter(reply: &mut NexthopsReply, buckets: &[Bucket]) {
    let mut idle: HashMap<(u32, u32), Vec<Duration>> = HashMap::new();
    for bucket in buckets {
        idle.entry((bucket.group, bucket.hop)).or_default().push(bucket.idle);
    }
    for group in reply.groups.iter_mut().filter(|group| group.buckets.is_some()) {
        let timer = Duration::from_secs(group.idle_timer_seconds.unwrap_or(0).into());
        for member in &mut group.members {
            let times = idle.get(&(group.kernel_id, member.kernel_id));
            describe(member, times.map_or(&[], Vec::as_slice), timer);
        }
    }
}

fn describe(member: &mut GroupMember, times: &[Duration], timer: Duration) {
    let count = |count: usize| u32::try_from(count).ok();
    let millis = |time: &Duration| u64::try_from(time.as_millis()).ok();
    member.buckets = count(times.len());
    member.idle_buckets = count(times.iter().filter(|time| **time >= timer).count());
    member.idle_min_ms = times.iter().min().and_then(millis);
    member.idle_max_ms = times.iter().max().and_then(millis);
}

#[cfg(test)]
mod tests {
    use bgp_api::NexthopGroup;

    use super::*;

    #[test]
    fn each_member_has_its_buckets_and_the_range_of_their_idle_times() {
        let member = |kernel_id| GroupMember { kernel_id, ..GroupMember::default() };
        let group = NexthopGroup {
            kernel_id: 7,
            members: vec![member(1), member(2)],
            buckets: Some(3),
            idle_timer_seconds: Some(60),
            ..NexthopGroup::default()
        };
        let mut reply = NexthopsReply { groups: vec![group], ..NexthopsReply::default() };
        let bucket =
            |group, index, hop, seconds| Bucket { group, index, hop, idle: Duration::from_secs(seconds) };
        enter(&mut reply, &[bucket(7, 0, 1, 0), bucket(7, 1, 1, 5), bucket(7, 2, 1, 90), bucket(8, 0, 2, 1)]);
        let [first, second] = reply.groups[0].members.as_slice() else { panic!("{reply:?}") };
        assert_eq!((first.buckets, first.idle_buckets), (Some(3), Some(1)));
        assert_eq!((first.idle_min_ms, first.idle_max_ms), (Some(0), Some(90_000)));
        assert_eq!((second.buckets, second.idle_min_ms), (Some(0), None));
    }
}
