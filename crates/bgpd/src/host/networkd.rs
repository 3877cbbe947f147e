//! systemd-networkd, which removes routes and next-hop objects that it did not make whenever it configures a link.
//!
//! How it is told to leave them depends on its version. `ManageForeignRoutes=` spares routes (246), `ManageForeignNextHops=`
//! next-hop objects (256): without them the routes go as well. Where it does not know the latter, `KeepConfiguration=yes`
//! of a link spares both. Every link needs it, because groups are of no link and go with any.

use std::fs;
use std::path::Path;

use bgp_api::{CheckState, HostCheck};

use super::doctor::{check, directory};

/// What ends it.
pub const REMEDY: &str = "ManageForeignRoutes=no and ManageForeignNextHops=no under [Network] in \
     /etc/systemd/networkd.conf.d/bgpd-rs.conf; before systemd 256, which does not know the latter, KeepConfiguration=yes under \
     [Network] in the .network file of every link; then systemctl restart systemd-networkd";

/// Where it looks for its configuration, the last word first; the name of a file or directory follows.
const PLACES: [&str; 4] = ["/etc/systemd/", "/run/systemd/", "/usr/local/lib/systemd/", "/usr/lib/systemd/"];
/// Its state.
const STATE: &str = "/run/systemd/netif";
/// The program, which holds the names of the settings that it knows.
const PROGRAM: &str = "/usr/lib/systemd/systemd-networkd";
const ROUTES: &str = "ManageForeignRoutes";
const NEXT_HOPS: &str = "ManageForeignNextHops";
const KEEP: &str = "KeepConfiguration";

/// What is seen of it.
#[derive(Clone, Debug, Default)]
struct Networkd {
    /// Its own configuration, the last word last.
    settings: Vec<String>,
    /// Whether it knows the setting for next-hop objects.
    knows_next_hops: bool,
    /// The links that it configures.
    links: Vec<Link>,
}

/// How it configures a link.
#[derive(Clone, Debug, Default)]
struct Link {
    /// The path of its `.network` file.
    file: String,
    /// That and the drop-ins, the last word last.
    settings: Vec<String>,
}

/// What it will do to ours. Reads files.
pub(super) fn checked() -> HostCheck {
    judge(read().as_ref())
}

fn judge(networkd: Option<&Networkd>) -> HostCheck {
    const NAME: &str = "networkd-foreign-routes";
    let fine = |message: &str| check(NAME, CheckState::Ok, message, None);
    let Some(networkd) = networkd else { return fine("systemd-networkd does not run") };
    let is_off = |key| last_setting(&networkd.settings, key).is_some_and(|value| is_off(&value));
    let spares_routes = is_off(ROUTES);
    if spares_routes && networkd.knows_next_hops && is_off(NEXT_HOPS) {
        return fine("systemd-networkd leaves routes and next-hop objects of others alone");
    }
    let mut careless: Vec<&str> =
        networkd.links.iter().filter(|link| !link.keeps()).map(|link| link.file.as_str()).collect();
    careless.dedup();
    if careless.is_empty() {
        return fine("systemd-networkd configures no link, or keeps what others have made on each");
    }
    let takes = if spares_routes {
        "next-hop objects that it did not make, and with them routes,"
    } else {
        "routes and next-hop objects that it did not make"
    };
    let links = careless.join(", ");
    check(
        NAME,
        CheckState::Warning,
        format!("systemd-networkd removes {takes} whenever it configures a link by {links}"),
        Some(REMEDY),
    )
}

impl Link {
    fn keeps(&self) -> bool {
        last_setting(&self.settings, KEEP).is_some_and(|value| is_on(&value))
    }
}

/// The value that holds: later texts go before earlier ones.
fn last_setting(texts: &[String], key: &str) -> Option<String> {
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    };
    texts.iter().flat_map(|text| text.lines()).filter_map(value).next_back()
}

fn is_off(value: &str) -> bool {
    ["no", "false", "off", "0", "n", "f"].contains(&value.to_ascii_lowercase().as_str())
}

fn is_on(value: &str) -> bool {
    ["yes", "true", "on", "1", "y", "t"].contains(&value.to_ascii_lowercase().as_str())
}

/// `None` where it does not run.
fn read() -> Option<Networkd> {
    let links = fs::read_dir(Path::new(STATE).join("links")).ok()?;
    let states = links.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut files: Vec<String> = states.filter_map(|state| file_of_link(&state)).collect();
    files.sort();
    files.dedup();
    Some(Networkd {
        settings: own_settings(),
        knows_next_hops: fs::read(PROGRAM).is_ok_and(|program| holds(&program, NEXT_HOPS)),
        links: files.into_iter().map(read_link).collect(),
    })
}

/// The `.network` file by which a link is configured, of the link's state.
fn file_of_link(state: &str) -> Option<String> {
    let file = state.lines().find_map(|line| line.strip_prefix("NETWORK_FILE="))?;
    (!file.is_empty()).then(|| file.to_owned())
}

fn read_link(file: String) -> Link {
    let name = Path::new(&file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut settings: Vec<String> = fs::read_to_string(&file).into_iter().collect();
    settings.extend(drop_ins(&format!("network/{name}.d")));
    Link { file, settings }
}

fn own_settings() -> Vec<String> {
    let files = PLACES.iter().rev().map(|place| format!("{place}networkd.conf"));
    files.filter_map(|file| fs::read_to_string(file).ok()).chain(drop_ins("networkd.conf.d")).collect()
}

/// The texts of a directory of drop-ins in all places.
fn drop_ins(name: &str) -> impl Iterator<Item = String> {
    PLACES.iter().rev().flat_map(move |place| directory(Path::new(&format!("{place}{name}"))))
}

fn holds(program: &[u8], word: &str) -> bool {
    program.windows(word.len()).any(|octets| octets == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn link(settings: &[&str]) -> Link {
        Link { file: "/etc/systemd/network/10-peer.network".to_owned(), settings: texts(settings) }
    }

    fn networkd(settings: &[&str], knows_next_hops: bool, links: Vec<Link>) -> Networkd {
        Networkd { settings: texts(settings), knows_next_hops, links }
    }

    #[test]
    fn it_is_told_off_by_its_last_word() {
        let state = |settings: &[&str]| judge(Some(&networkd(settings, true, vec![link(&[])]))).state;
        let both = "[Network]\nManageForeignRoutes=no\nManageForeignNextHops = off\n";
        assert_eq!(judge(None).state, CheckState::Ok);
        assert_eq!(state(&[]), CheckState::Warning);
        assert_eq!(state(&[both]), CheckState::Ok);
        assert_eq!(
            state(&["[Network]\n#ManageForeignRoutes=no\nManageForeignNextHops=no"]),
            CheckState::Warning
        );
        assert_eq!(state(&["ManageForeignRoutes=yes", both]), CheckState::Ok);
        assert_eq!(state(&[both, "ManageForeignRoutes=true"]), CheckState::Warning);
    }

    #[test]
    fn next_hop_objects_have_a_setting_of_their_own() {
        let routes_only = judge(Some(&networkd(&["ManageForeignRoutes=no"], true, vec![link(&[])])));
        assert_eq!(routes_only.state, CheckState::Warning);
        assert!(routes_only.message.contains("next-hop objects that it did not make, and with them routes"));
        let unknown = ["ManageForeignRoutes=no\nManageForeignNextHops=no"];
        let older = judge(Some(&networkd(&unknown, false, vec![link(&[])])));
        assert_eq!(older.state, CheckState::Warning);
        assert!(older.remedy.is_some_and(|remedy| remedy.contains("KeepConfiguration=yes")));
    }

    #[test]
    fn every_link_has_to_keep_what_others_made() {
        let kept = || link(&["[Network]\nKeepConfiguration=no", "KeepConfiguration=yes"]);
        let state = |links: Vec<Link>| judge(Some(&networkd(&[], false, links))).state;
        assert_eq!(state(Vec::new()), CheckState::Ok);
        assert_eq!(state(vec![kept(), kept()]), CheckState::Ok);
        assert_eq!(state(vec![kept(), link(&["KeepConfiguration=static"])]), CheckState::Warning);
    }

    #[test]
    fn the_file_of_a_link_is_in_its_state() {
        let state = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-peer.network\nDNS=\n";
        assert_eq!(file_of_link(state).as_deref(), Some("/etc/systemd/network/10-peer.network"));
        assert_eq!(file_of_link("ADMIN_STATE=unmanaged\n"), None);
    }

    #[test]
    fn what_a_program_knows_it_holds() {
        assert!(holds(b"\0Network.ManageForeignNextHops\0", NEXT_HOPS));
        assert!(!holds(b"\0Network.ManageForeignRoutes\0", NEXT_HOPS));
    }
}
