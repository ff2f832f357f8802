//! How a client behaves on its HTTP/2 connection: pings too often, or frames that only make work, end it as grpc-go ends
//! it. What single requests may do is checked elsewhere.
//!
//! `hyper` answers pings and settings by itself and tells nobody, so the connection is watched as it passes by:
//! [`Watched`] is the connection, `frames` finds the frames in its bytes, `rules` judges them. What `h2` limits itself
//! (header lists, CONTINUATION frames, streams that are reset before they begin) is left to it.

mod frames;
mod rules;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::Watched;
