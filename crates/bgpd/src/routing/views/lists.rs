//! Lists that are being made: some of them in rotation, each by a portion, when routing has done its own work.
//!
//! Whoever may only look keeps nobody waiting: a turn of routing has one portion of one list, and who has given up costs
//! nothing more.

use std::collections::VecDeque;

use bgp_api::{ErrorReply, FibReply, RoutesReply};
use tokio::sync::oneshot;

use super::Views;
use super::fib::KernelRoutes;
use super::listing::Listing;
use super::routes::Routes;

/// Prefixes passed by for a list in one turn, or as much work: some 100 microseconds.
const PORTION: usize = 2048;
/// Lists that take turns. Those behind them wait, so that pages half made take no memory for everybody who asks.
const TOGETHER: usize = 4;

/// A list on its way to whoever has asked for it.
#[derive(Debug)]
pub(super) enum List {
    Routes(Listing<Routes>, oneshot::Sender<Result<RoutesReply, ErrorReply>>),
    Kernel(Listing<KernelRoutes>, oneshot::Sender<Result<FibReply, ErrorReply>>),
}

impl List {
    /// Nobody waits for it any more.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Routes(_, reply) => reply.is_closed(),
            Self::Kernel(_, reply) => reply.is_closed(),
        }
    }

    /// Whether nothing has to be searched for.
    pub(super) fn is_chosen(&self) -> bool {
        match self {
            Self::Routes(listing, _) => listing.is_chosen(),
            Self::Kernel(listing, _) => listing.is_chosen(),
        }
    }

    /// Does a portion of it; the list, where it is not answered yet.
    pub(super) fn work(self, views: &Views<'_>) -> Option<Self> {
        match self {
            Self::Routes(mut listing, reply) => match listing.work(views, PORTION) {
                Some(page) => answer(reply, Ok(page.into())),
                None => return Some(Self::Routes(listing, reply)),
            },
            Self::Kernel(mut listing, reply) => match listing.work(views, PORTION) {
                Some(page) => answer(reply, Ok(views.fib_reply(page))),
                None => return Some(Self::Kernel(listing, reply)),
            },
        }
        None
    }
}

/// Replies; whoever asked may have given up.
fn answer<T: Send + 'static>(reply: oneshot::Sender<T>, value: T) {
    if let Err(value) = reply.send(value) {
        free(value);
    }
}

/// Has somebody else free what nobody takes any more: for a page that takes some milliseconds.
fn free<T: Send + 'static>(value: T) {
    tokio::task::spawn_blocking(move || drop(value));
}

/// See the module.
#[derive(Debug, Default)]
pub(in crate::routing) struct Lists(VecDeque<List>);

impl Lists {
    pub(super) fn add(&mut self, list: List) {
        // There are hardly more of them than callers who wait.
        self.0.retain(|list| list.is_chosen() || !list.is_given_up());
        self.0.push_back(list);
    }

    /// Works on the next list that somebody waits for; whether there is more to do.
    pub(in crate::routing) fn work(&mut self, views: &Views<'_>) -> bool {
        while let Some(list) = self.0.pop_front() {
            if list.is_given_up() {
                free(list);
                continue;
            }
            if let Some(list) = list.work(views) {
                self.0.insert(self.0.len().min(TOGETHER - 1), list);
            }
            break;
        }
        !self.0.is_empty()
    }
}
