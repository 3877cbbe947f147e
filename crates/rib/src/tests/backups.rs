//! Which path is the backup of one that is alone, and when that changes.

use super::*;

const SERVICE: &str = "2004::1/128";
const NODES: [&str; 4] = ["2001:3200:3200::2", "2001:3200:3200::3", "2001:3200:3200::4", "2001:3200:3200::5"];

fn id(node: usize) -> PeerId {
    PeerId(u32::try_from(node).unwrap())
}

/// A node announces the service with a path of so many ASes, by the next hop of `by`.
fn say(rib: &mut Rib, node: usize, length: usize, by: usize) {
    let asns = vec![64512; length];
    rib.receive_update(id(node), &announce(&path(&asns), NODES[by], &[SERVICE]));
    settle(rib);
}

fn told(rib: &mut Rib, kernel: &mut Kernel) -> (Vec<String>, Option<String>) {
    kernel.pull(rib);
    (kernel.hops(SERVICE).into_iter().map(str::to_owned).collect(), kernel.backup(SERVICE).map(str::to_owned))
}

fn way(by: &[usize], backup: Option<usize>) -> (Vec<String>, Option<String>) {
    (by.iter().map(|node| NODES[*node].to_owned()).collect(), backup.map(|node| NODES[node].to_owned()))
}

fn nodes(backups: bool) -> Rib {
    let mut rib = Rib::new(RibConfig { backups, ..config() });
    for (node, address) in NODES.iter().enumerate() {
        rib.add_peer(id(node), external(64512, address));
    }
    rib
}

/// Four nodes of which the first announces the service with the best path and the others with worse ones.
fn four() -> (Rib, Kernel) {
    let (mut rib, mut kernel) = (nodes(true), Kernel::default());
    say(&mut rib, 0, 1, 0);
    reachable(&mut rib, &NODES[..1]);
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], None));
    for (node, length) in [(1, 3), (2, 2), (3, 4)] {
        say(&mut rib, node, length, node);
    }
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    (rib, kernel)
}

#[test]
fn the_next_best_path_is_the_backup_and_stays_it_while_it_protects() {
    let (mut rib, mut kernel) = four();
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], Some(2)));
    // Another one becomes better: nothing is gained by a change.
    say(&mut rib, 3, 2, 3);
    say(&mut rib, 2, 5, 2);
    assert!(kernel.pull(&mut rib).is_empty());
    let backups = |rib: &Rib| rib.routes(prefix(SERVICE)).iter().filter(|route| route.backup).count();
    assert_eq!(backups(&rib), 1);
    rib.receive_update(id(2), &withdraw(&[SERVICE]));
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], Some(3)));
    // The best goes: the backup was the next best, and gets one itself.
    rib.remove_peer(id(0));
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[3], Some(1)));
    rib.remove_peer(id(1));
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[3], None));
    assert_eq!(backups(&rib), 0);
    holders::check(&rib);
    rib.remove_peer(id(2));
    rib.remove_peer(id(3));
    settle(&mut rib);
    kernel.pull(&mut rib);
    holders::check_empty(&mut rib);
}

#[test]
fn equal_paths_and_those_by_the_same_next_hop_are_no_backups() {
    let (mut rib, mut kernel) = four();
    say(&mut rib, 1, 1, 1);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0, 1], None));
    // The second announces the first's next hop: then these are one, and the third protects them.
    say(&mut rib, 1, 1, 0);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], Some(2)));
    for node in [2, 3] {
        say(&mut rib, node, 4, 0);
    }
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], None));
}

#[test]
fn a_next_hop_that_cannot_be_reached_is_no_backup() {
    let (mut rib, mut kernel) = four();
    rib.set_reachability(scoped(NODES[2]), Reachability::Unreachable("gone".into()));
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], Some(1)));
}

#[test]
fn a_path_that_will_go_is_the_last_choice_of_a_backup() {
    let (mut rib, mut kernel) = four();
    told(&mut rib, &mut kernel);
    let leaving = PathAttributes { communities: vec![0xFFFF_0000], ..path(&[64512, 64512]) };
    rib.receive_update(id(2), &announce(&leaving, NODES[2], &[SERVICE]));
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], Some(1)));
}

#[test]
fn nobody_is_a_backup_where_none_is_wanted() {
    let (mut rib, mut kernel) = (nodes(false), Kernel::default());
    say(&mut rib, 0, 1, 0);
    say(&mut rib, 1, 2, 1);
    reachable(&mut rib, &NODES);
    settle(&mut rib);
    assert_eq!(told(&mut rib, &mut kernel), way(&[0], None));
}
