//! One handler a path: the query is checked, the owner is asked, the reply is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bgp_api::action::MAX_REASON_OCTETS;
use bgp_api::{
    ActionReply, ActionRequest, BfdReply, CheckState, ConfigReply, DoctorReply, ErrorCode, ErrorReply,
    FibQuery, FibReply, NeighborAction, NeighborQuery, NeighborsReply, NexthopsReply, RouteQuery,
    RoutesReply, Summary, VersionReply,
};
use tokio::sync::{mpsc, oneshot};

use super::{Access, Caller, Control, buckets, neighbors};
use crate::host::{self, doctor};
use crate::routing;
use crate::supervisor;

/// How long an owner may take before the caller is told that the daemon is too busy: less than bgpctl waits, which
/// would not hear it.
const PATIENCE: Duration = Duration::from_secs(8);

/// A reply, or the error as `bgp_api` has it.
pub(super) type Reply<T> = Result<Json<T>, Refusal>;

/// An error on its way out.
#[derive(Debug)]
pub(super) struct Refusal(ErrorReply);

impl From<ErrorReply> for Refusal {
    fn from(reply: ErrorReply) -> Self {
        Self(reply)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

/// Why an owner has not answered.
enum Silence {
    Stopping,
    /// What was asked did not even get into its queue.
    Full,
    /// It is in the queue, or under way.
    Late,
}

/// Asks the owner behind `channel` and waits for its answer.
pub async fn ask<Q, A>(
    channel: &mpsc::Sender<Q>,
    make: impl FnOnce(oneshot::Sender<A>) -> Q,
) -> Result<A, ErrorReply> {
    answer(channel, make).await.map_err(|silence| match silence {
        Silence::Stopping => stopping(),
        Silence::Full | Silence::Late => busy(),
    })
}

/// The same where something is to be done, which is not undone because nobody waits for it.
pub(super) async fn order<Q, A>(
    channel: &mpsc::Sender<Q>,
    make: impl FnOnce(oneshot::Sender<A>) -> Q,
) -> Result<A, ErrorReply> {
    answer(channel, make).await.map_err(|silence| match silence {
        Silence::Stopping => stopping(),
        Silence::Full => busy(),
        Silence::Late => {
            let text =
                "the daemon is busy: it has taken the order, and will do it, but has not answered in time";
            ErrorReply::new(ErrorCode::Unavailable, text)
                .with_hint("look before you say it again: the log and `bgpctl monitor` tell when it is done")
        }
    })
}

async fn answer<Q, A>(
    channel: &mpsc::Sender<Q>,
    make: impl FnOnce(oneshot::Sender<A>) -> Q,
) -> Result<A, Silence> {
    let until = tokio::time::Instant::now() + PATIENCE;
    let (reply, answer) = oneshot::channel();
    let room = tokio::time::timeout_at(until, channel.reserve()).await.map_err(|_| Silence::Full)?;
    room.map_err(|_| Silence::Stopping)?.send(make(reply));
    let answered = tokio::time::timeout_at(until, answer).await.map_err(|_| Silence::Late)?;
    answered.map_err(|_| Silence::Stopping)
}

fn stopping() -> ErrorReply {
    ErrorReply::new(ErrorCode::Unavailable, "the daemon is stopping")
}

fn busy() -> ErrorReply {
    ErrorReply::new(ErrorCode::Unavailable, "the daemon was too busy to answer in time")
        .with_hint("try again; `bgpctl show summary` and the log say what it does")
}

pub(super) async fn version() -> Json<VersionReply> {
    Json(VersionReply { version: bgp_api::VERSION.to_owned(), api: vec!["v1".to_owned()] })
}

pub(super) async fn summary(State(control): State<Arc<Control>>) -> Reply<Summary> {
    let of_peers = ask(&control.supervisor, supervisor::Request::Summary).await?;
    let of_routes = ask(&control.routing, routing::Query::Summary).await?;
    Ok(Json(crate::summary::view(&control, of_peers, of_routes)))
}

pub(super) async fn neighbors(
    State(control): State<Arc<Control>>,
    query: Result<Query<NeighborQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply<NeighborsReply> {
    let Query(query) = query.map_err(bad_query)?;
    Ok(Json(neighbors::reply(&control, &query).await?))
}

pub(super) async fn neighbor_action(
    State(control): State<Arc<Control>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path((address, action)): Path<(String, String)>,
    body: Bytes,
) -> Reply<ActionReply> {
    allow_change(&control, &caller)?;
    let whose = match address.as_str() {
        bgp_api::path::ALL_NEIGHBORS => None,
        one => Some(neighbors::parse_address(one)?),
    };
    let action: NeighborAction = action
        .parse()
        .map_err(|error| ErrorReply::new(ErrorCode::PathUnknown, format!("the action {action:?} {error}")))?;
    let reason = reason(&body)?;
    let message = order(&control.supervisor, |reply| supervisor::Request::Act {
        address: whose,
        action,
        reason,
        reply,
    })
    .await??;
    let address = whose.map_or(address, |address| address.to_string());
    Ok(Json(ActionReply { address, action, message }))
}

/// The reason in the body; no body is no reason.
fn reason(body: &[u8]) -> Result<Option<String>, ErrorReply> {
    if body.is_empty() {
        return Ok(None);
    }
    let request: ActionRequest = serde_json::from_slice(body).map_err(|error| {
        ErrorReply::new(ErrorCode::BadRequest, format!("the body is no action request: {error}"))
    })?;
    match request.reason {
        Some(reason) if reason.len() > MAX_REASON_OCTETS => Err(ErrorReply::new(
            ErrorCode::BadRequest,
            format!("the reason has {} octets; RFC 9003 lets {MAX_REASON_OCTETS} travel", reason.len()),
        )),
        reason => Ok(reason),
    }
}

/// Whether the caller may do what this takes.
fn allow(control: &Control, caller: &Caller, needed: Access) -> Result<(), ErrorReply> {
    let access = caller.access(&control.rules);
    if access >= needed {
        return Ok(());
    }
    let may = if access == Access::Read { "look but not change" } else { "not use the control socket" };
    Err(ErrorReply::new(ErrorCode::Forbidden, format!("{} may {may}", caller.name()))
        .with_hint(control.rules.hint()))
}

/// Nothing is said to who may not even look.
pub(super) async fn readers_only(
    State(control): State<Arc<Control>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match allow(&control, &caller, Access::Read) {
        Ok(()) => next.run(request).await,
        Err(reply) => Refusal::from(reply).into_response(),
    }
}

pub(super) fn allow_change(control: &Control, caller: &Caller) -> Result<(), ErrorReply> {
    allow(control, caller, Access::Full)
}

pub(super) async fn routes(
    State(control): State<Arc<Control>>,
    query: Result<Query<RouteQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply<RoutesReply> {
    let Query(query) = query.map_err(bad_query)?;
    if query.longer && query.prefix.as_ref().is_none_or(|prefix| !prefix.contains('/')) {
        let text = "what is inside is asked of a prefix with its length, such as 10.0.0.0/8";
        return Err(ErrorReply::new(ErrorCode::BadRequest, text).into());
    }
    Ok(Json(ask(&control.routing, |reply| routing::Query::Routes { query, reply }).await??))
}

pub(super) async fn fib(
    State(control): State<Arc<Control>>,
    query: Result<Query<FibQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply<FibReply> {
    let Query(query) = query.map_err(bad_query)?;
    Ok(Json(ask(&control.routing, |reply| routing::Query::Fib { query, reply }).await??))
}

pub(super) async fn nexthops(State(control): State<Arc<Control>>) -> Reply<NexthopsReply> {
    let mut reply = ask(&control.routing, routing::Query::Nexthops).await?;
    let moves = control.moves.as_ref().map(|moves| moves.borrow().clone());
    buckets::fill(&mut reply, &moves.unwrap_or_default()).await;
    Ok(Json(reply))
}

pub(super) async fn bfd(State(control): State<Arc<Control>>) -> Reply<BfdReply> {
    let overview = ask(&control.bfd, crate::bfd::Request::Overview).await?;
    Ok(Json(super::bfd::reply(&overview, Instant::now())))
}

pub(super) async fn doctor(State(control): State<Arc<Control>>) -> Reply<DoctorReply> {
    let peers = ask(&control.supervisor, supervisor::Request::Summary).await?;
    let routes = ask(&control.routing, routing::Query::Summary).await?;
    let blocked = routes.fib.iter().map(|(_, size)| size.blocked).sum();
    let ports = control.ports.clone();
    let known = doctor::Known { set_hash_policy: peers.set_hash_policy, blocked, ports };
    let mut checks = tokio::task::spawn_blocking(move || doctor::checks(&known)).await.map_err(|error| {
        ErrorReply::new(ErrorCode::Unavailable, format!("the checks did not come to an end: {error}"))
    })?;
    checks.extend(host::kernel::checks(&routes, Instant::now()));
    let healthy = checks.iter().all(|check| check.state == CheckState::Ok);
    Ok(Json(DoctorReply { healthy, checks }))
}

pub(super) async fn config(State(control): State<Arc<Control>>) -> Reply<ConfigReply> {
    Ok(Json(ask(&control.supervisor, supervisor::Request::Config).await?))
}

pub(super) async fn path_unknown(uri: axum::http::Uri) -> Refusal {
    let message = format!("there is nothing at {}", uri.path());
    ErrorReply::new(ErrorCode::PathUnknown, message)
        .with_hint("the paths are those of /v1/, see bgpctl(1)")
        .into()
}

pub(super) async fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Refusal {
    ErrorReply::new(ErrorCode::MethodNotAllowed, format!("{} does not take {method}", uri.path())).into()
}

pub(super) fn bad_query(rejection: axum::extract::rejection::QueryRejection) -> Refusal {
    ErrorReply::new(ErrorCode::BadRequest, rejection.body_text()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_order_that_waits_is_no_order_to_try_again() {
        type Channel = (mpsc::Sender<oneshot::Sender<()>>, mpsc::Receiver<oneshot::Sender<()>>);
        let (owner, queue): Channel = mpsc::channel(1);
        let hint = |reply: Result<(), ErrorReply>| reply.unwrap_err().error.hint.unwrap();
        // Nobody works. The first gets into the queue and stays there, whoever waits; then it is full.
        assert!(hint(order(&owner, |reply| reply).await).contains("before you say it again"));
        assert!(hint(order(&owner, |reply| reply).await).contains("try again"));
        assert!(hint(ask(&owner, |reply| reply).await).contains("try again"));
        assert_eq!(queue.len(), 1);
        drop(queue);
        assert_eq!(order(&owner, |reply| reply).await.unwrap_err().error.message, "the daemon is stopping");
    }
}
