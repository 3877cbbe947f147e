//! Requests, replies and views shared by bgpctl and the daemon.
