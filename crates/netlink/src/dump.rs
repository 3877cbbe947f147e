//! Reading a table of the kernel, in brackets: what was not seen between them is gone.
//!
//! Requests are strict and filtered by the kernel: of routes, the main table, by which next hops are resolved, and the
//! table of our own. A refusal arrives in the code of `NLMSG_DONE`; who does not look there takes it for an
//! empty table.

use bgp_fib::{Event, KernelError, Kind};

use crate::decode::{Origin, decode};
use crate::message::Writer;
use crate::report::Reports;
use crate::requests::{DumpEnd, Layout, Requests};
use crate::uapi::{family, ifla, message, route};

/// How often a dump is begun anew when the table changes under it.
const ATTEMPTS: u32 = 16;
/// `RTEXT_FILTER_SKIP_STATS`: counters of links are half of their messages.
const SKIP_STATS: u32 = 1 << 3;

/// Which routes are read and watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteScope {
    /// Table of our routes.
    pub(crate) table: u32,
}

impl RouteScope {
    /// Whether events of this table are of interest.
    pub(crate) fn covers(self, table: u32) -> bool {
        table == route::TABLE_MAIN || table == self.table
    }
}

/// Reads a table into `reports`; `room` is called now and then and waits while there is none.
pub(crate) fn dump(
    kind: Kind,
    scope: RouteScope,
    requests: &mut Requests,
    reports: &mut Reports,
    room: &dyn Fn(&Reports),
) -> Result<(), KernelError> {
    for _ in 0..ATTEMPTS {
        reports.event(Event::DumpStart(kind));
        let mut entry = |header, payload: &[u8]| {
            if let Some(event) = decode(header, payload, Origin::Dump) {
                reports.event(event);
                room(reports);
            }
        };
        let end = match kind {
            Kind::Links => links(requests, &mut entry),
            Kind::Addresses => plain(requests, message::GETADDR, &[0; 8], &mut entry),
            Kind::Neighbors => neighbors(requests, &mut entry),
            Kind::Nexthops => plain(requests, message::GETNEXTHOP, &[0; 8], &mut entry),
            Kind::Routes => routes(requests, scope, &mut entry, &mut || Ok(())),
        };
        match end {
            Ok(DumpEnd::Complete) => {
                reports.event(Event::DumpEnd(kind));
                return Ok(());
            }
            Ok(DumpEnd::Interrupted) => tracing::debug!(?kind, "the table changed while it was read"),
            Err(error) if kind == Kind::Nexthops && error.errno == libc::EOPNOTSUPP => {
                reports.event(Event::Unsupported(kind));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Err(KernelError {
        errno: libc::EAGAIN,
        message: Some("the table kept changing while it was read".into()),
    })
}

type Entry<'a> = dyn FnMut(crate::message::Header, &[u8]) + 'a;
type Between<'a> = dyn FnMut() -> Result<(), KernelError> + 'a;

fn plain(
    requests: &mut Requests,
    kind: u16,
    fixed: &[u8],
    entry: &mut Entry<'_>,
) -> Result<DumpEnd, KernelError> {
    requests.dump(kind, Layout { fixed, attributes: &|_| {} }, entry)
}

/// Neighbours, then what bridges have learned; a kernel without bridges has the first alone.
fn neighbors(requests: &mut Requests, entry: &mut Entry<'_>) -> Result<DumpEnd, KernelError> {
    let end = plain(requests, message::GETNEIGH, &[0; 12], entry)?;
    let of_bridges = [family::BRIDGE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match plain(requests, message::GETNEIGH, &of_bridges, entry) {
        Ok(DumpEnd::Complete) => Ok(end),
        Ok(DumpEnd::Interrupted) => Ok(DumpEnd::Interrupted),
        Err(error) if error.errno == libc::EOPNOTSUPP => Ok(end),
        Err(error) => Err(error),
    }
}

fn links(requests: &mut Requests, entry: &mut Entry<'_>) -> Result<DumpEnd, KernelError> {
    let attributes = |request: &mut Writer<'_>| request.put_u32(ifla::EXT_MASK, SKIP_STATS);
    requests.dump(message::GETLINK, Layout { fixed: &[0; 16], attributes: &attributes }, entry)
}

/// Reads the routes of both families; after each datagram `between` says whether to go on.
pub(crate) fn routes(
    requests: &mut Requests,
    scope: RouteScope,
    entry: &mut Entry<'_>,
    between: &mut Between<'_>,
) -> Result<DumpEnd, KernelError> {
    let own = (scope.table != route::TABLE_MAIN).then_some(scope.table);
    let mut end = DumpEnd::Complete;
    for family in [family::INET, family::INET6] {
        for table in [Some(route::TABLE_MAIN), own].into_iter().flatten() {
            match table_of_routes(requests, (family, table), entry, between) {
                Ok(DumpEnd::Complete) => {}
                Ok(DumpEnd::Interrupted) => end = DumpEnd::Interrupted,
                // A table comes to be with its first route.
                Err(error) if error.errno == libc::ENOENT => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(end)
}

fn table_of_routes(
    requests: &mut Requests,
    (family, table): (u8, u32),
    entry: &mut Entry<'_>,
    between: &mut Between<'_>,
) -> Result<DumpEnd, KernelError> {
    let short = u8::try_from(table).unwrap_or(0);
    let fixed = [family, 0, 0, 0, short, 0, 0, 0, 0, 0, 0, 0];
    let attributes = |request: &mut Writer<'_>| {
        if short == 0 {
            request.put_u32(route::TABLE, table);
        }
    };
    requests.dump_while(message::GETROUTE, Layout { fixed: &fixed, attributes: &attributes }, entry, between)
}
