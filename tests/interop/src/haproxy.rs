//! HAProxy on the host: a front that takes HTTP and passes it to one service address, whose ECMP route spreads it.

use std::fs;

use anyhow::{Context, Result};

use crate::http::curl;
use crate::lab::Lab;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::seconds;

/// Where it listens on the host.
pub const URL: &str = "http://127.0.0.1:8080/";

/// Starts HAProxy in the host's namespace in front of a service address and waits for its first answer.
pub fn start(lab: &Lab, service: &str) -> Result<Process> {
    installed("haproxy", "haproxy")?;
    let config = lab.dir().join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n  \
         option http-server-close\n  http-reuse never\n\
         frontend web\n  bind 127.0.0.1:8080\n  default_backend service\n\
         backend service\n  server cluster [{service}]:80\n"
    );
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    let mut command = lab.host.command("haproxy");
    command.arg("-db").arg("-f").arg(&config);
    let mut process = Process::start("haproxy", &mut command, lab.dir())?;
    lab.until("HAProxy answers", seconds(10), || {
        process.must_run()?;
        Ok(curl(&lab.host, URL, 1)?.keys().any(|answer| answer.starts_with("node")))
    })?;
    Ok(process)
}
