//! Debian's Prometheus on the host of a lab, scraping the daemon there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::run;
use crate::lab::Lab;
use crate::process::Process;
use crate::programs::installed;
use crate::wait::PATIENCE;

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    namespace: String,
}

impl Prometheus {
    /// Starts it in the host's namespace with one target, scraped every second, and the shipped alert rules, and waits until it is ready.
    pub fn start(lab: &Lab, target: &str) -> Result<Self> {
        installed("prometheus", "prometheus")?;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/prometheus/bgpd-rs.rules.yml");
        let file = lab.dir().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ['{}']\n\
             scrape_configs:\n- job_name: bgpd-rs\n  static_configs:\n  - targets: ['{target}']\n",
            rules.display()
        );
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        let mut command = lab.host.command("prometheus");
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(lab.dir().join("tsdb"));
        command.args(["--web.listen-address", "127.0.0.1:9090"]);
        let process = Process::start("prometheus", &mut command, lab.dir())?;
        let mut prometheus = Self { process, namespace: lab.host.name().to_owned() };
        lab.until("Prometheus is ready", PATIENCE, || {
            prometheus.process.must_run()?;
            Ok(prometheus.get("/-/ready").is_ok())
        })?;
        Ok(prometheus)
    }

    /// The result of a query: a list of series with their values.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let mut command = self.curl("/api/v1/query");
        let printed = run(command.args(["--get", "--data-urlencode", &format!("query={expression}")]))?;
        let reply: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        Ok(reply["data"]["result"].as_array().cloned().unwrap_or_default())
    }

    /// The alert rules and how their evaluation went.
    pub fn rules(&self) -> Result<Vec<Value>> {
        let reply: Value = serde_json::from_str(&self.get("/api/v1/rules")?)?;
        let groups = reply["data"]["groups"].as_array().cloned().unwrap_or_default();
        Ok(groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect())
    }

    fn get(&self, path: &str) -> Result<String> {
        run(&mut self.curl(path))
    }

    fn curl(&self, path: &str) -> std::process::Command {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "curl", "--silent", "--fail"]);
        command.arg(format!("http://127.0.0.1:9090{path}"));
        command
    }
}
