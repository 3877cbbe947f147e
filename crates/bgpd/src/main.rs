//! bgpd
fn main() {}
