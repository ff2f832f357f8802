//! Watches: every change is shown to those who asked for its key, in order, once, without gaps, and nobody who is slow
//! holds anyone up. The wire format of a response is the `api` room's; what costs time in it is encoded here once.
//!
//! How a change travels: publishing puts it into the log of recent changes ([`recent`]) and wakes a thread. That
//! thread finds the watchers that are up to date ([`registry`]) and puts the change into the queues of their streams
//! ([`queue`]). A watcher that cannot take it, or that began in the past, is behind: a second thread reads history for
//! it ([`history`], `catch_up`) until it has caught up. Memory for a stream is bounded by its queue.
//!
//! Locks are taken in this order: the hub's state, a stream's queue, the recent log or the list of watchers behind.
//! The apply thread takes only the recent log's.

mod catch_up;
mod delivery;
mod events;
mod history;
mod hub;
mod limits;
mod queue;
mod range_set;
mod recent;
mod registry;
mod stream;
mod threads;
mod watcher;

pub(super) use hub::Hub;

pub use delivery::{Delivery, DeliveryBody};
pub use events::EncodedEvents;
pub use limits::WatchLimits;
pub use stream::{WatchCreate, WatchRefusal, WatchStream};
pub use threads::WatchThreads;
