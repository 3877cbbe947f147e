//! HAProxy on the host: a front that takes HTTP and passes it to one service address, whose ECMP route spreads it.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};

use crate::flows;
use crate::http::curl;
use crate::lab::{HOST_V6, Lab};
use crate::process::Process;
use crate::programs::installed;
use crate::wait::{PATIENCE, seconds};

/// Where it listens on the host.
pub const URL: &str = "http://127.0.0.1:8080/";

/// Where it takes long-lived TCP connections on the host.
pub const TCP: &str = "127.0.0.1:8007";

/// Starts HAProxy in the host's namespace as the README says it for connections that are to live: it binds source address
/// and port before it connects, so that the kernel's two looks at the hash agree.
pub fn start_tcp(lab: &Lab, service: &str) -> Result<Process> {
    let text = format!(
        "defaults\n  mode tcp\n  timeout connect 15s\n  timeout client 60s\n  timeout server 60s\n\
         frontend flows\n  bind {TCP}\n  default_backend service\n\
         backend service\n  server cluster [{service}]:{} source [{HOST_V6}]:20000-29999\n",
        flows::PORT
    );
    let mut process = spawn(lab, "haproxy-tcp", &text)?;
    let address: SocketAddr = TCP.parse()?;
    lab.until("HAProxy takes connections", PATIENCE, || {
        process.must_run()?;
        lab.host.inside(|| TcpStream::connect_timeout(&address, seconds(1)).is_ok())
    })?;
    Ok(process)
}

fn spawn(lab: &Lab, name: &str, text: &str) -> Result<Process> {
    installed("haproxy", "haproxy")?;
    let config = lab.dir().join(format!("{name}.cfg"));
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    let mut command = lab.host.command("haproxy");
    command.arg("-db").arg("-f").arg(&config);
    Process::start(name, &mut command, lab.dir())
}

/// Starts HAProxy in the host's namespace in front of a service address and waits for its first answer.
pub fn start(lab: &Lab, service: &str) -> Result<Process> {
    let text = format!(
        "defaults\n  mode http\n  timeout connect 15s\n  timeout client 15s\n  timeout server 15s\n  \
         option http-server-close\n  http-reuse never\n\
         frontend web\n  bind 127.0.0.1:8080\n  default_backend service\n\
         backend service\n  server cluster [{service}]:80\n"
    );
    let mut process = spawn(lab, "haproxy", &text)?;
    lab.until("HAProxy answers", PATIENCE, || {
        process.must_run()?;
        Ok(curl(&lab.host, URL, 1)?.keys().any(|answer| answer.starts_with("node")))
    })?;
    Ok(process)
}
