//! `bgpctl show routes`: Loc-RIB, one peer's Adj-RIB-In, one peer's Adj-RIB-Out.

use std::net::IpAddr;
use std::vec::IntoIter;

use bgp_api::{ErrorCode, ErrorReply, Path, PathStatus, Route, RouteQuery, RoutesReply};
use bgp_rib::{AdvertisedView, PrefixWalk, RouteView, Verdict, WhichRib};
use bgp_wire::iana::community::LLGR_STALE;
use bgp_wire::{Family, PathAttributes, Prefix, ScopedNextHop};

use super::listing::{Listing, PATH, Page, Source, WORD, WORDS};
use super::selection::{Bounds, Selection};
use super::{Views, attributes, parse_family, parse_prefix};

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
}

/// The routes of a RIB.
#[derive(Debug)]
pub(super) struct Routes {
    pub(super) rib: WhichRib,
    /// The peer that is told them, as the query names it.
    pub(super) told: Option<String>,
    pub(super) families: Vec<Family>,
    /// Only those in here.
    pub(super) inside: Option<Prefix>,
}

/// A prefix, and those of its paths that are not in words yet.
#[derive(Debug)]
pub(super) struct Draft {
    route: Route,
    left: IntoIter<RouteView>,
}

impl Source for Routes {
    /// The next family last.
    type Walk = Vec<PrefixWalk>;
    type Draft = Draft;
    type Line = Route;

    fn begin(&self) -> Self::Walk {
        self.families.iter().rev().map(|family| PrefixWalk::new(self.rib, *family)).collect()
    }

    fn offer(
        &self,
        walks: &mut Self::Walk,
        views: &Views<'_>,
        most: usize,
        selection: &mut Selection,
    ) -> Option<usize> {
        while let Some(walk) = walks.last_mut() {
            let wanted = |prefix: Prefix| self.inside.is_none_or(|wanted| wanted.covers(prefix));
            let offer = |prefix| {
                if wanted(prefix) {
                    selection.offer(prefix);
                }
            };
            if let Some(looked_at) = views.rib.advance(walk, most, offer) {
                return Some(looked_at);
            }
            walks.pop();
        }
        None
    }

    fn open(&self, views: &Views<'_>, prefix: Prefix) -> (Option<Draft>, usize) {
        let (written, left, cost) = match self.rib {
            WhichRib::Loc => {
                let paths = views.rib.routes(prefix);
                let cost = paths.len() * PATH;
                (Vec::new(), paths, cost)
            }
            WhichRib::AdjIn(peer) => {
                let path = views.rib.received_route(peer, prefix);
                (Vec::new(), Vec::from_iter(path), views.rib.spread(&prefix) * PATH)
            }
            WhichRib::AdjOut(peer) => {
                let route = views.rib.advertised_route(peer, prefix);
                let cost = route.as_ref().map_or(0, |route| cost(&route.attributes));
                (route.iter().map(|route| told(self.told.clone(), route)).collect(), Vec::new(), cost)
            }
        };
        if written.is_empty() && left.is_empty() {
            return (None, cost);
        }
        let kernel = if self.rib == WhichRib::Loc { views.kernel_state(&prefix) } else { None };
        let cost = cost + kernel.as_ref().map_or(0, |kernel| (kernel.next_hops.len() + 1) * WORDS);
        let (prefix, family) = (prefix.to_string(), prefix.family().to_string());
        let route = Route { prefix, family, kernel, paths: written };
        (Some(Draft { route, left: left.into_iter() }), cost)
    }

    fn write(&self, views: &Views<'_>, draft: &mut Draft) -> Option<usize> {
        let path = draft.left.next()?;
        draft.route.paths.push(views.path(&path));
        Some(cost(&path.attributes))
    }

    fn close(draft: Draft) -> Route {
        draft.route
    }
}

/// What it costs to put a path with these attributes into words.
fn cost(attributes: &PathAttributes) -> usize {
    WORDS + WORD * attributes::words(attributes)
}

impl From<Page<Route>> for RoutesReply {
    fn from(page: Page<Route>) -> Self {
        Self { routes: page.lines, total: Some(page.total), more: page.more }
    }
}

impl Views<'_> {
    /// The list that a query asks for.
    pub(super) fn routes(&self, query: &RouteQuery) -> Result<Listing<Routes>, ErrorReply> {
        let wanted = Wanted::new(query)?;
        let bounds = Bounds::new(query.after.as_deref(), query.limit)?;
        let families = match parse_family(query.family.as_deref())? {
            Some(family) => vec![family],
            None => Family::ALL.to_vec(),
        };
        let rib = self.which_rib(query)?;
        let among = |prefix: &Prefix| families.contains(&prefix.family());
        let one = match &wanted {
            Wanted::All | Wanted::Inside(_) => None,
            Wanted::Exactly(prefix) => Some(Some(*prefix).filter(|prefix| self.rib.has_route(rib, prefix))),
            Wanted::Containing(address) => Some(self.longest(rib, *address)),
        };
        let one = one.map(|one| one.filter(among));
        let inside = if let Wanted::Inside(prefix) = wanted { Some(prefix) } else { None };
        let families = families.into_iter().filter(|family| inside.is_none_or(|it| it.family() == *family));
        let source = Routes { rib, told: query.advertised.clone(), families: families.collect(), inside };
        Ok(match one {
            Some(one) => Listing::of_one(source, bounds, one),
            None => Listing::search(source, bounds),
        })
    }

    fn which_rib(&self, query: &RouteQuery) -> Result<WhichRib, ErrorReply> {
        match (&query.received, &query.advertised) {
            (Some(_), Some(_)) => {
                let text = "received and advertised cannot be asked for together";
                Err(ErrorReply::new(ErrorCode::BadRequest, text))
            }
            (Some(peer), None) => self.peer_by_address(peer).map(WhichRib::AdjIn),
            (None, Some(peer)) => self.peer_by_address(peer).map(WhichRib::AdjOut),
            (None, None) => Ok(WhichRib::Loc),
        }
    }

    /// A bare address wants the longest prefix that contains it, in the Loc-RIB one that packets can go by.
    fn longest(&self, rib: WhichRib, address: IpAddr) -> Option<Prefix> {
        if rib == WhichRib::Loc {
            return self.rib.lookup(address);
        }
        let lengths = (0..=Prefix::host(address).len()).rev();
        let mut prefixes = lengths.filter_map(|len| Prefix::new(address, len));
        prefixes.find(|prefix| self.rib.has_route(rib, prefix))
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

fn told(peer: Option<String>, route: &AdvertisedView) -> Path {
    Path {
        peer,
        status: PathStatus::Advertised,
        reason: "announced".to_owned(),
        next_hop: Some(route.next_hop.to_string()),
        attributes: attributes::view(&route.attributes, route.attributes.local_pref),
        ..Path::default()
    }
}
