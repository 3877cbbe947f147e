//! bgpctl
fn main() {}
