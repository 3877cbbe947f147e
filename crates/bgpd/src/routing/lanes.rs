//! The road from peers to routing: two lanes, so that a peer with one change does not wait behind another's table.
//!
//! Small messages go ahead, large ones queue; what one peer sends arrives in the order sent all the same. Both lanes are
//! bounded, and a peer that finds no room waits. Two facts keep the order: a peer sends nothing on the small lane while one
//! of its messages is on the large one, and whoever takes a large message first takes the small ones that are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::{FromPeer, TURN};

/// Large messages that may wait, each what one read has brought. What waits is memory, and time for whoever comes after it.
const LARGE: usize = 4;
/// Small messages that may wait.
const SMALL: usize = 256;
/// Octets of NLRI up to which UPDATEs are a small message: some tens of routes.
const SMALL_OCTETS: usize = 512;

/// Where peers send to.
#[derive(Clone, Debug)]
pub struct Inlet {
    small: mpsc::Sender<Delivery>,
    large: mpsc::Sender<Delivery>,
}

/// Where routing takes from.
#[derive(Debug)]
pub struct Outlet {
    small: mpsc::Receiver<Delivery>,
    large: mpsc::Receiver<Delivery>,
    /// Taken, and to be given out when the small ones that were there are.
    taken: Option<(Delivery, usize)>,
}

/// A message on its way, and then arrived. Its sender may send small ones again when this is dropped, so not before it is
/// worked on.
#[derive(Debug)]
pub struct Delivery {
    message: FromPeer,
    ticket: Option<Ticket>,
}

/// A large message that has not been worked on yet.
#[derive(Debug)]
pub(super) struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Both ends.
pub fn lanes() -> (Inlet, Outlet) {
    let (small, from_small) = mpsc::channel(SMALL);
    let (large, from_large) = mpsc::channel(LARGE);
    (Inlet { small, large }, Outlet { small: from_small, large: from_large, taken: None })
}

/// Routing is gone: the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the routing task has ended")]
pub struct Gone;

/// A lane has no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Wait with [`Lane::reserve`].
    NoRoom,
    /// See [`Gone`].
    Gone,
}

impl Inlet {
    /// The sending end of one peer.
    pub fn lane(&self) -> Lane {
        Lane { inlet: self.clone(), on_large: Arc::new(AtomicUsize::new(0)) }
    }

    /// Sends behind everything that waits, in the place of a peer that can send no more.
    ///
    /// # Errors
    /// Routing has ended.
    pub async fn send_last(&self, message: FromPeer) -> Result<(), Gone> {
        self.large.send(Delivery { message, ticket: None }).await.map_err(|_| Gone)
    }
}

/// The sending end of one peer.
#[derive(Debug)]
pub struct Lane {
    inlet: Inlet,
    on_large: Arc<AtomicUsize>,
}

/// Room for a message.
#[derive(Debug)]
pub struct Permit<'a> {
    permit: mpsc::Permit<'a, Delivery>,
    on_large: Option<&'a Arc<AtomicUsize>>,
}

impl Permit<'_> {
    /// Sends the message for which there is room.
    pub fn send(self, message: FromPeer) {
        let ticket = self.on_large.map(|count| {
            count.fetch_add(1, Ordering::Relaxed);
            Ticket(Arc::clone(count))
        });
        self.permit.send(Delivery { message, ticket });
    }
}

impl Lane {
    /// On which lane `message` goes now, and whether it is the large one.
    fn choose(&self, message: &FromPeer) -> (&mpsc::Sender<Delivery>, Option<&Arc<AtomicUsize>>) {
        if is_small(message) && self.on_large.load(Ordering::Acquire) == 0 {
            (&self.inlet.small, None)
        } else {
            (&self.inlet.large, Some(&self.on_large))
        }
    }

    /// Room for `message`, if there is some now.
    ///
    /// # Errors
    /// There is none, or routing has ended.
    pub fn try_reserve(&self, message: &FromPeer) -> Result<Permit<'_>, Unsent> {
        let (lane, on_large) = self.choose(message);
        match lane.try_reserve() {
            Ok(permit) => Ok(Permit { permit, on_large }),
            Err(mpsc::error::TrySendError::Full(())) => Err(Unsent::NoRoom),
            Err(mpsc::error::TrySendError::Closed(())) => Err(Unsent::Gone),
        }
    }

    /// Waits for room for `message`.
    ///
    /// # Errors
    /// Routing has ended.
    pub async fn reserve(&self, message: &FromPeer) -> Result<Permit<'_>, Gone> {
        let (lane, on_large) = self.choose(message);
        let permit = lane.reserve().await.map_err(|_| Gone)?;
        Ok(Permit { permit, on_large })
    }
}

fn is_small(message: &FromPeer) -> bool {
    match message {
        FromPeer::Updates { octets, .. } => *octets <= SMALL_OCTETS,
        // Few octets may have a whole Adj-RIB-In marked.
        FromPeer::Restored { .. } | FromPeer::Refresh { .. } => false,
        FromPeer::Settings { .. }
        | FromPeer::Up { .. }
        | FromPeer::FirstKeepalive { .. }
        | FromPeer::Ready { .. }
        | FromPeer::Taken
        | FromPeer::Down { .. }
        | FromPeer::Removed { .. } => true,
    }
}

impl Outlet {
    /// Waits for the next message; `None` when nobody can send any more.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.take_due() {
                return Some(delivery);
            }
            tokio::select! {
                biased;
                Some(delivery) = self.small.recv() => return Some(delivery),
                delivery = self.large.recv() => {
                    // Small messages that its sender sent before it are there by now.
                    self.taken = Some((delivery?, self.small.len()));
                }
            }
        }
    }

    /// The next message that is there; one from the large lane only if `large`.
    pub fn try_next(&mut self, large: bool) -> Option<Delivery> {
        if let Some(delivery) = self.take_due() {
            return Some(delivery);
        }
        if let Ok(delivery) = self.small.try_recv() {
            return Some(delivery);
        }
        if !large {
            return None;
        }
        let delivery = self.large.try_recv().ok()?;
        self.taken = Some((delivery, self.small.len()));
        self.take_due()
    }

    /// Has what is left of a message come behind the small ones that are there.
    pub fn put_back(&mut self, rest: Delivery) {
        self.taken = Some((rest, self.small.len()));
    }

    /// A large message that was taken, behind the small ones that came before it.
    fn take_due(&mut self) -> Option<Delivery> {
        let (_, before) = self.taken.as_mut()?;
        if *before > 0
            && let Ok(delivery) = self.small.try_recv()
        {
            *before -= 1;
            return Some(delivery);
        }
        self.taken.take().map(|(delivery, _)| delivery)
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.small.len() + self.large.len() + usize::from(self.taken.is_some())
    }
}

impl Delivery {
    /// Octets of NLRI in it, by which work is measured. A refresh is as many as end a turn.
    pub fn octets(&self) -> usize {
        match &self.message {
            FromPeer::Updates { octets, .. } => *octets,
            FromPeer::Restored { part, .. } => part.nlri_octets(),
            FromPeer::Refresh { .. } => TURN,
            _ => 0,
        }
    }

    /// Has `work` done on the message; what it leaves of it, for [`Outlet::put_back`].
    pub fn work(self, work: impl FnOnce(FromPeer) -> Option<FromPeer>) -> Option<Self> {
        let Self { message, ticket } = self;
        work(message).map(|message| Self { message, ticket })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bgp_rib::PeerId;
    use bgp_wire::Family;
    use bgp_wire::route_refresh::{RouteRefresh, Subtype};

    use super::*;

    fn updates(peer: u32, octets: usize) -> FromPeer {
        let (peer, updates) = (PeerId(peer), Vec::new().into_iter());
        FromPeer::Updates { peer, updates, octets, received: Instant::now() }
    }

    fn send(lane: &Lane, message: FromPeer) {
        lane.try_reserve(&message).unwrap().send(message);
    }

    fn take(outlet: &mut Outlet) -> Option<(u32, usize)> {
        let mut taken = None;
        outlet.try_next(true)?.work(|message| {
            let FromPeer::Updates { peer, octets, .. } = message else { panic!("only UPDATEs were sent") };
            taken = Some((peer.0, octets));
            None
        });
        taken
    }

    #[test]
    fn small_messages_go_ahead_and_each_peer_keeps_its_order() {
        let (inlet, mut outlet) = lanes();
        let (table, node) = (inlet.lane(), inlet.lane());
        send(&table, updates(1, 5000));
        send(&table, updates(1, 1));
        send(&node, updates(2, 2));
        send(&node, updates(2, 7000));
        send(&node, updates(2, 3));
        assert_eq!(outlet.waiting(), 5);
        let order: Vec<_> = std::iter::from_fn(|| take(&mut outlet)).collect();
        assert_eq!(order, [(2, 2), (1, 5000), (1, 1), (2, 7000), (2, 3)]);
        send(&table, updates(1, 4));
        assert_eq!(outlet.small.len(), 1, "with nothing left on the large lane, small ones go ahead again");
    }

    #[test]
    fn what_was_sent_before_a_large_message_is_taken_before_it() {
        let (inlet, mut outlet) = lanes();
        let lane = inlet.lane();
        // Routing has found the small lane empty, and looks at the large one only now.
        assert!(outlet.try_next(false).is_none());
        send(&lane, updates(1, 1));
        send(&lane, updates(1, 9000));
        let large = outlet.large.try_recv().unwrap();
        outlet.taken = Some((large, outlet.small.len()));
        assert_eq!((take(&mut outlet), take(&mut outlet)), (Some((1, 1)), Some((1, 9000))));
    }

    #[test]
    fn small_messages_of_others_go_ahead_of_what_is_left_and_those_of_its_sender_do_not() {
        let (inlet, mut outlet) = lanes();
        let (table, node) = (inlet.lane(), inlet.lane());
        send(&table, updates(1, 9000));
        let rest = outlet.try_next(true).unwrap().work(|_| Some(updates(1, 4000))).unwrap();
        send(&node, updates(2, 2));
        send(&table, updates(1, 1));
        outlet.put_back(rest);
        let order: Vec<_> = std::iter::from_fn(|| take(&mut outlet)).collect();
        assert_eq!(order, [(2, 2), (1, 4000), (1, 1)]);
        send(&table, updates(1, 3));
        assert_eq!(outlet.small.len(), 1, "all of the large message has been worked on");
    }

    #[test]
    fn a_refresh_is_the_work_of_a_turn() {
        let (inlet, mut outlet) = lanes();
        let refresh = RouteRefresh { family: Family::Ipv4Unicast.code(), subtype: Subtype::Begin };
        send(&inlet.lane(), FromPeer::Refresh { peer: PeerId(1), refresh });
        assert!(outlet.try_next(false).is_none(), "those are taken in without end");
        assert_eq!(outlet.try_next(true).unwrap().octets(), TURN);
    }

    #[test]
    fn a_full_lane_and_a_routing_that_is_gone_are_told_apart() {
        let (inlet, outlet) = lanes();
        let lane = inlet.lane();
        for _ in 0..LARGE {
            send(&lane, updates(1, 5000));
        }
        assert!(matches!(lane.try_reserve(&updates(1, 5000)), Err(Unsent::NoRoom)));
        drop(outlet);
        assert!(matches!(lane.try_reserve(&updates(1, 5000)), Err(Unsent::Gone)));
    }
}
