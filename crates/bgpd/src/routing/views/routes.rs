//! `bgpctl show routes`: Loc-RIB, one peer's Adj-RIB-In, one peer's Adj-RIB-Out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp_api::{ErrorCode, ErrorReply, Path, PathStatus, Route, RouteQuery, RoutesReply};
use bgp_rib::{RouteView, Verdict};
use bgp_wire::iana::community::LLGR_STALE;
use bgp_wire::{Family, Prefix, ScopedNextHop};

use super::{attributes, page, parse_family, parse_prefix};
use crate::routing::Routing;

/// Which prefixes a query wants.
enum Wanted {
    All,
    Exactly(Prefix),
    Inside(Prefix),
    Containing(IpAddr),
}

impl Wanted {
    fn new(query: &RouteQuery) -> Result<Self, ErrorReply> {
        let Some(text) = &query.prefix else { return Ok(Self::All) };
        match text.parse() {
            Ok(address) => Ok(Self::Containing(address)),
            Err(_) if query.longer => Ok(Self::Inside(parse_prefix(text)?)),
            Err(_) => Ok(Self::Exactly(parse_prefix(text)?)),
        }
    }

    fn holds(&self, prefix: Prefix) -> bool {
        match self {
            Self::All => true,
            Self::Exactly(wanted) => *wanted == prefix,
            Self::Inside(wanted) => wanted.covers(prefix),
            Self::Containing(address) => prefix.contains(*address),
        }
    }
}

impl Routing {
    pub(super) fn routes_reply(&self, query: &RouteQuery) -> Result<RoutesReply, ErrorReply> {
        let wanted = Wanted::new(query)?;
        let after = query.after.as_deref().map(parse_prefix).transpose()?;
        let limit = query.limit.unwrap_or(RouteQuery::DEFAULT_LIMIT).clamp(1, RouteQuery::DEFAULT_LIMIT);
        let families: Vec<_> = match parse_family(query.family.as_deref())? {
            Some(family) => vec![family],
            None => Family::ALL.to_vec(),
        };
        let all = match (&query.received, &query.advertised) {
            (Some(_), Some(_)) => {
                let text = "received and advertised cannot be asked for together";
                return Err(ErrorReply::new(ErrorCode::BadRequest, text));
            }
            (Some(peer), None) => self.received(peer, &families, &wanted)?,
            (None, Some(peer)) => self.advertised(peer, &families, &wanted)?,
            (None, None) => return Ok(self.loc_rib(&families, &wanted, after, limit)),
        };
        let total = super::count(all.len());
        let (taken, more) = page(all, after, limit);
        let routes = taken
            .into_iter()
            .map(|(prefix, path)| Route {
                prefix: prefix.to_string(),
                family: prefix.family().to_string(),
                kernel: None,
                paths: vec![path],
            })
            .collect();
        Ok(RoutesReply { routes, total: Some(total), more })
    }

    /// Only the prefixes of the page are looked at closely.
    fn loc_rib(
        &self,
        families: &[Family],
        wanted: &Wanted,
        after: Option<Prefix>,
        limit: usize,
    ) -> RoutesReply {
        let mut prefixes: BTreeMap<Prefix, ()> = match wanted {
            Wanted::Exactly(prefix) => BTreeMap::from([(*prefix, ())]),
            Wanted::Containing(address) => {
                self.rib.lookup(*address).into_iter().map(|prefix| (prefix, ())).collect()
            }
            Wanted::All | Wanted::Inside(_) => families
                .iter()
                .flat_map(|family| self.rib.prefixes(*family))
                .filter(|prefix| wanted.holds(*prefix))
                .map(|prefix| (prefix, ()))
                .collect(),
        };
        prefixes.retain(|prefix, ()| families.contains(&prefix.family()));
        let total = super::count(prefixes.len());
        let (taken, more) = page(prefixes, after, limit);
        let routes: Vec<_> = taken
            .into_iter()
            .map(|(prefix, ())| Route {
                prefix: prefix.to_string(),
                family: prefix.family().to_string(),
                kernel: self.kernel_state(&prefix),
                paths: self.rib.routes(prefix).iter().map(|route| self.path(route)).collect(),
            })
            .filter(|route| !route.paths.is_empty())
            .collect();
        RoutesReply {
            total: Some(total.min(if more { total } else { super::count(routes.len()) })),
            routes,
            more,
        }
    }

    fn received(
        &self,
        peer: &str,
        families: &[Family],
        wanted: &Wanted,
    ) -> Result<BTreeMap<Prefix, Path>, ErrorReply> {
        let id = self.peer_by_address(peer)?;
        let routes = families.iter().flat_map(|family| self.rib.received(id, *family));
        let all = routes
            .filter(|route| wanted.holds(route.prefix))
            .map(|route| (route.prefix, self.path(&route)))
            .collect();
        Ok(narrowed(all, wanted))
    }

    fn advertised(
        &self,
        peer: &str,
        families: &[Family],
        wanted: &Wanted,
    ) -> Result<BTreeMap<Prefix, Path>, ErrorReply> {
        let id = self.peer_by_address(peer)?;
        let routes = families.iter().flat_map(|family| self.rib.advertised(id, *family));
        let all = routes
            .filter(|route| wanted.holds(route.prefix))
            .map(|route| {
                let path = Path {
                    peer: Some(peer.to_owned()),
                    status: PathStatus::Advertised,
                    reason: "announced".to_owned(),
                    next_hop: Some(route.next_hop.to_string()),
                    attributes: attributes::view(&route.attributes, route.attributes.local_pref),
                    ..Path::default()
                };
                (route.prefix, path)
            })
            .collect();
        Ok(narrowed(all, wanted))
    }

    fn path(&self, route: &RouteView) -> Path {
        let local = route.peer == bgp_rib::PeerId::LOCAL;
        Path {
            peer: self.peer_address(route.peer),
            status: match &route.verdict {
                Verdict::Best(_) => PathStatus::Best,
                Verdict::Multipath => PathStatus::Multipath,
                Verdict::Lost(_) => PathStatus::Candidate,
                Verdict::Refused(_) => PathStatus::Rejected,
                Verdict::Unreachable(_) => PathStatus::Unreachable,
            },
            reason: route.verdict.to_string(),
            stale: route.stale,
            long_lived_stale: route.attributes.communities.contains(&LLGR_STALE),
            backup: route.backup,
            next_hop: (!local).then(|| route.next_hop.next_hop.to_string()),
            resolved: if local { None } else { self.resolved(&route.next_hop) },
            attributes: attributes::view(&route.attributes, Some(route.local_pref)),
            ..Path::default()
        }
    }

    fn resolved(&self, next_hop: &ScopedNextHop) -> Option<String> {
        let hop = self.hop(next_hop)?;
        let via = hop.via?;
        Some(match hop.interface {
            Some(interface) => format!("{} dev {interface}", via.gateway),
            None => format!("{} dev #{}", via.gateway, via.ifindex),
        })
    }
}

/// A bare address wants the longest prefix that contains it.
fn narrowed(mut all: BTreeMap<Prefix, Path>, wanted: &Wanted) -> BTreeMap<Prefix, Path> {
    if matches!(wanted, Wanted::Containing(_)) {
        let longest: BTreeSet<_> =
            all.keys().max_by_key(|prefix| prefix.len()).copied().into_iter().collect();
        all.retain(|prefix, _| longest.contains(prefix));
    }
    all
}
