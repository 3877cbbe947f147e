//! Kernel settings and counters belong to the namespace in which they are asked for.

use bgp_netlink::{Sysctl, TcpMd5Counters};

use crate::netns::Namespace;

#[test]
fn settings_are_those_of_the_own_namespace() {
    let (one, other) = (Namespace::new(), Namespace::new());
    let all = [Sysctl::Ipv4MultipathHashPolicy, Sysctl::Ipv6MultipathHashPolicy, Sysctl::NexthopCompatMode];
    for (sysctl, value) in all.into_iter().zip([1, 1, 0]) {
        let before = other.run(move || sysctl.read()).unwrap();
        assert_ne!(before, value, "{sysctl}");
        one.run(move || sysctl.write(value)).unwrap();
        assert_eq!(one.run(move || sysctl.read()).unwrap(), value);
        assert_eq!(other.run(move || sysctl.read()).unwrap(), before);
    }
    let refused = one.run(|| Sysctl::Ipv4MultipathHashPolicy.write(77)).unwrap_err();
    let text = refused.to_string();
    assert!(text.starts_with("cannot write net.ipv4.fib_multipath_hash_policy: Invalid argument"), "{text}");
}

#[test]
fn a_fresh_namespace_has_seen_no_bad_digest() {
    assert_eq!(Namespace::new().run(TcpMd5Counters::read).unwrap(), TcpMd5Counters::default());
}
