//! Who gets in at the control socket, as real users; and what a crowd there and at the metrics port costs.
#![cfg(feature = "labs")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use interop::command::output;
use interop::daemon::Daemon;
use interop::faults::scene::prefixes;
use interop::faults::usage::descriptors;
use interop::lab::{HOST_V6, Lab};
use interop::process::Process;
use interop::programs::binary;
use interop::speaker::Speaker;
use interop::wait::PATIENCE;

/// Groups that every Debian has, and a user who is in none of them.
const GROUP: (&str, u32) = ("adm", 4);
const READERS: (&str, u32) = ("games", 60);
const STRANGER: u32 = 65534;

fn config(control: &str) -> String {
    format!(
        "[bgp]\nasn = 64513\nrouter-id = \"172.50.0.1\"\n[peer-group.cilium]\nremote-asn = 64512\n\
         listen-range = [\"2001:3200:3200::/64\"]\nimport = \"all\"\n[control]\ngroup = \"{}\"\n{control}\n\
         [metrics]\nlisten = \"127.0.0.1:9273\"\n",
        GROUP.0
    )
}

/// A program of ours where every user can run it.
fn for_everybody(lab: &Lab, name: &str) -> Result<PathBuf> {
    let copy = lab.dir().join(name);
    fs::copy(binary(name)?, &copy).with_context(|| copy.display().to_string())?;
    Ok(copy)
}

/// A program run by a user who is nobody, in these groups.
fn as_member(groups: &[u32]) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    command.arg(format!("--reuid={STRANGER}")).arg(format!("--regid={STRANGER}"));
    if groups.is_empty() {
        command.arg("--clear-groups");
    } else {
        let groups: Vec<_> = groups.iter().map(u32::to_string).collect();
        command.arg(format!("--groups={}", groups.join(",")));
    }
    command
}

struct Users {
    daemon: Daemon,
    bgpctl: PathBuf,
}

impl Users {
    fn ask(&self, groups: &[u32], line: &str) -> Result<Output> {
        let mut command = as_member(groups);
        command.arg(&self.bgpctl).arg("--socket").arg(self.daemon.socket()).args(line.split_whitespace());
        output(&mut command)
    }

    /// It is refused in words that name the group to join.
    fn refused(&self, groups: &[u32], line: &str, word: &str) -> Result<()> {
        let end = self.ask(groups, line)?;
        let words = String::from_utf8_lossy(&end.stderr).into_owned();
        assert!(!end.status.success(), "{groups:?} may {line}");
        assert!(words.contains(word) && words.contains("join the group adm"), "{words}");
        Ok(())
    }

    fn allowed(&self, groups: &[u32], line: &str) -> Result<()> {
        let end = self.ask(groups, line)?;
        assert!(end.status.success(), "{groups:?} {line}: {}", String::from_utf8_lossy(&end.stderr));
        Ok(())
    }
}

fn users(lab: &Lab, control: &str) -> Result<Users> {
    Ok(Users { daemon: Daemon::start(lab, &config(control))?, bgpctl: for_everybody(lab, "bgpctl")? })
}

#[test]
fn members_change_readers_look_and_others_are_told_what_to_join() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let users = users(&lab, "readers = \"games\"")?;
    let _speaker = Speaker::on(&lab.nodes[0], HOST_V6)?;
    let reset = format!("neighbor {} reset", lab.nodes[0].v6());
    for (groups, may_look) in [(vec![GROUP.1], true), (vec![READERS.1], true), (vec![], false)] {
        for line in ["show summary", "show neighbors", "show config"] {
            match may_look {
                true => users.allowed(&groups, line)?,
                false => users.refused(&groups, line, "may not use the control socket")?,
            }
        }
    }
    for line in ["reload", &reset] {
        users.refused(&[READERS.1], line, "may look but not change")?;
        users.refused(&[], line, "may not use the control socket")?;
    }
    users.allowed(&[GROUP.1], "reload")?;
    users.allowed(&[READERS.1, GROUP.1], &reset)?;
    Ok(())
}

#[test]
fn without_readers_the_socket_itself_keeps_others_out() -> Result<()> {
    let lab = Lab::with_nodes(0)?;
    let users = users(&lab, "")?;
    users.allowed(&[GROUP.1], "show summary")?;
    users.allowed(&[GROUP.1], "reload")?;
    users.refused(&[READERS.1], "show summary", "permission denied")?;
    Ok(())
}

#[test]
fn everybody_may_look_where_it_says_so() -> Result<()> {
    let lab = Lab::with_nodes(0)?;
    let users = users(&lab, "readers = \"everybody\"")?;
    users.allowed(&[], "show summary")?;
    users.refused(&[], "reload", "may look but not change")
}

#[test]
fn a_crowd_at_the_control_socket_keeps_nobody_out_for_long() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let users = users(&lab, "readers = \"everybody\"")?;
    let speaker = Speaker::on(&lab.nodes[0], HOST_V6)?;
    speaker.announce(&prefixes(&["2004::1/128"])?)?;
    lab.expect_all_nodes("2004::1", PATIENCE)?;
    let before = descriptors(users.daemon.pid())?;
    let hold = |name: &str, mut command: Command| -> Result<Process> {
        command.arg("hold").arg("--unix").arg(users.daemon.socket()).args(["--count", "500"]);
        let crowd = Process::start(name, &mut command, lab.dir())?;
        lab.until("the crowd is there", PATIENCE, || Ok(crowd.log().contains("held")))?;
        Ok(crowd)
    };
    let mut stranger = as_member(&[]);
    stranger.arg(for_everybody(&lab, "lab-node")?);
    let strangers = hold("strangers", stranger)?;
    // Whoever may change something has seats of his own.
    users.daemon.ctl("show summary")?;
    users.daemon.ctl("reload")?;
    // A seat has two: one that hyper reads, and one by which the end of the connection is seen.
    assert!(descriptors(users.daemon.pid())? <= before + 2 * 32 + 2, "a crowd costs its seats and no more");
    // They are let go, and other strangers get in while the crowd believes that it is still there.
    lab.until("strangers get in again", PATIENCE, || Ok(users.ask(&[], "show summary")?.status.success()))?;
    drop(strangers);
    let roots = hold("roots", Command::new(binary("lab-node")?))?;
    assert!(descriptors(users.daemon.pid())? <= before + 2 * 64 + 2);
    lab.until("root gets in again", PATIENCE, || Ok(users.daemon.ctl("show summary").is_ok()))?;
    drop(roots);
    assert_eq!(users.daemon.state(&lab.nodes[0].v6())?, "established");
    lab.until("no descriptor is left behind", PATIENCE, || Ok(descriptors(users.daemon.pid())? <= before))?;
    Ok(())
}

#[test]
fn a_hundred_scrapers_are_served_and_a_crowd_is_let_go() -> Result<()> {
    let lab = Lab::with_nodes(1)?;
    let daemon = Daemon::start(&lab, &config(""))?;
    let _speaker = Speaker::on(&lab.nodes[0], HOST_V6)?;
    daemon.expect_established(&lab, &[lab.nodes[0].v6()])?;
    let before = descriptors(daemon.pid())?;
    let mut curl = lab.host.command("curl");
    curl.args(["--silent", "--fail", "--parallel", "--parallel-immediate", "--parallel-max", "100"]);
    curl.args(["--output", "/dev/null", "--write-out", "%{http_code}\n", "--max-time", "30"]);
    curl.arg("http://127.0.0.1:9273/metrics?[1-100]");
    let scraped = output(&mut curl)?;
    let codes = String::from_utf8_lossy(&scraped.stdout).into_owned();
    assert_eq!(codes.lines().filter(|code| *code == "200").count(), 100, "{codes}");

    let mut hold = lab.host.command(binary("lab-node")?);
    hold.args(["hold", "--tcp", "127.0.0.1:9273", "--count", "500"]);
    let crowd = Process::start("crowd", &mut hold, lab.dir())?;
    lab.until("the crowd is there", PATIENCE, || Ok(crowd.log().contains("held")))?;
    assert!(descriptors(daemon.pid())? <= before + 128 + 2, "a crowd costs its seats and no more");
    lab.until("a scraper gets in again", PATIENCE, || {
        Ok(lab.host.run("curl --silent --fail --max-time 2 http://127.0.0.1:9273/metrics").is_ok())
    })?;
    assert_eq!(daemon.state(&lab.nodes[0].v6())?, "established");
    Ok(())
}
