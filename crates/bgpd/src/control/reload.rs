//! Reload, its preview and its confirmation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use bgp_api::reload::MAX_CONFIRM_SECONDS;
use bgp_api::{
    ConfirmReply, ErrorCode, ErrorReply, ImpactCount, ImpactKind, PlanQuery, ReloadPlan, ReloadReply,
    ReloadRequest, RouteImpact, RouteImpacts,
};
use bgp_rib::Position;

use super::handlers::{Reply, allow_change, ask, bad_query, order};
use super::{Caller, Control};
use crate::routing::{self, Proposal};
use crate::supervisor::Request;

pub(super) async fn reload(
    State(control): State<Arc<Control>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Bytes,
) -> Reply<ReloadReply> {
    allow_change(&control, &caller)?;
    let patience = patience(&body)?;
    let outcome =
        order(&control.supervisor, |reply| Request::Reload { patience, reply: Some(reply) }).await?;
    Ok(Json(outcome?))
}

/// How long the reload is on trial; no body is no trial.
fn patience(body: &[u8]) -> Result<Option<Duration>, ErrorReply> {
    if body.is_empty() {
        return Ok(None);
    }
    let bad = |text| ErrorReply::new(ErrorCode::BadRequest, text);
    let request: ReloadRequest = serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is no reload request: {error}")))?;
    match request.confirm_seconds {
        Some(seconds) if !(1..=MAX_CONFIRM_SECONDS).contains(&seconds) => {
            Err(bad(format!("confirm_seconds is {seconds}; it is a number from 1 to {MAX_CONFIRM_SECONDS}")))
        }
        seconds => Ok(seconds.map(|seconds| Duration::from_secs(seconds.into()))),
    }
}

pub(super) async fn confirm(
    State(control): State<Arc<Control>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
) -> Reply<ConfirmReply> {
    allow_change(&control, &caller)?;
    Ok(Json(order(&control.supervisor, Request::Confirm).await??))
}

/// The file is the daemon's to read, so whoever sees what is in it must be one who may change things.
pub(super) async fn plan(
    State(control): State<Arc<Control>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    query: Result<Query<PlanQuery>, QueryRejection>,
) -> Reply<ReloadPlan> {
    allow_change(&control, &caller)?;
    let Query(query) = query.map_err(bad_query)?;
    let (plan, proposal) = ask(&control.supervisor, Request::Plan).await??;
    let mut tally = Tally { all: query.all, ..Tally::default() };
    walk(&control, proposal, &mut tally).await?;
    Ok(Json(ReloadPlan { routes: tally.into_reply(), ..plan }))
}

/// Has routing look at all prefixes, a portion at a time, so that it does its own work between them.
async fn walk(control: &Control, proposal: Proposal, tally: &mut Tally) -> Result<(), ErrorReply> {
    let proposal = Arc::new(proposal);
    let mut at = Some(Position::START);
    while let Some(from) = at {
        let proposal = Arc::clone(&proposal);
        let portion =
            ask(&control.routing, |reply| routing::Query::Impacts { proposal, from, reply }).await?;
        portion.routes.into_iter().for_each(|route| tally.add(route));
        at = portion.next;
    }
    Ok(())
}

/// Counts everything and keeps as much as was asked for.
#[derive(Debug, Default)]
struct Tally {
    all: bool,
    counts: BTreeMap<ImpactKind, u64>,
    details: Vec<RouteImpact>,
}

impl Tally {
    fn add(&mut self, route: RouteImpact) {
        let count = self.counts.entry(route.kind).or_default();
        *count += 1;
        let few = usize::try_from(*count).is_ok_and(|count| count <= PlanQuery::FEW);
        if few || (self.all && self.details.len() < PlanQuery::ALL) {
            self.details.push(route);
        }
    }

    fn into_reply(mut self) -> RouteImpacts {
        self.details.sort_by(|a, b| (a.kind, &a.peer).cmp(&(b.kind, &b.peer)));
        let counts = self.counts.into_iter().map(|(kind, count)| ImpactCount { kind, count });
        RouteImpacts { counts: counts.collect(), details: self.details }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(kind: ImpactKind, number: usize) -> RouteImpact {
        RouteImpact { kind, prefix: format!("2004::{number:x}/128"), peer: None, detail: None }
    }

    #[test]
    fn everything_is_counted_and_the_first_few_of_each_kind_are_named() {
        let reply = |all| {
            let mut tally = Tally { all, ..Tally::default() };
            (0..9).for_each(|number| tally.add(route(ImpactKind::Removed, number)));
            tally.add(route(ImpactKind::Refused, 1));
            tally.into_reply()
        };
        let counts = [(ImpactKind::Refused, 1), (ImpactKind::Removed, 9)];
        let counts = counts.map(|(kind, count)| ImpactCount { kind, count });
        assert_eq!((reply(false).counts, reply(false).details.len()), (counts.to_vec(), 6));
        assert_eq!((reply(true).counts, reply(true).details.len()), (counts.to_vec(), 10));
        assert_eq!(reply(false).details.first(), Some(&route(ImpactKind::Refused, 1)));
    }

    #[test]
    fn a_trial_has_a_time_that_can_be_meant() {
        assert_eq!(patience(b""), Ok(None));
        assert_eq!(patience(b"{}"), Ok(None));
        assert_eq!(patience(b"{\"confirm_seconds\":60}"), Ok(Some(Duration::from_secs(60))));
        for body in ["{\"confirm_seconds\":0}", "{\"confirm_seconds\":86401}", "{\"seconds\":1}", "7"] {
            assert_eq!(patience(body.as_bytes()).unwrap_err().error.code, ErrorCode::BadRequest, "{body}");
        }
    }
}
