//! Kernel settings and counters belong to the namespace in which they are asked for.

use bgp_netlink::{Sysctl, TcpMd5Counters, rules};

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

#[test]
fn a_table_is_consulted_where_a_rule_leads_to_it() {
    let namespace = Namespace::new();
    namespace.ip("rule add from all lookup 100000");
    namespace.ip("rule add from all fwmark 7 blackhole");
    let ask = |table| {
        let consulted = namespace.run(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(rules::consulted(table)).unwrap()
        });
        (consulted.ipv4, consulted.ipv6)
    };
    assert_eq!(ask(254), (true, true));
    assert_eq!(ask(100_000), (true, false));
    assert_eq!(ask(77), (false, false));
}
