//! The JSON gateway: etcd's gRPC methods as `POST /v3/…` with JSON bodies, by grpc-gateway v2.29's rules.
//!
//! Driven by the message descriptors and one table of paths; every call goes through the same door as a gRPC call, in
//! process, so no check lives here. Source: `reference/etcd-api.md`, sections 2 and 15.2.

mod bodies;
mod call;
mod counted_io;
mod decode;
mod encode;
mod frames;
mod json_error;
mod json_token;
mod json_values;
mod metadata;
mod routes;
mod schema;
mod serve;
#[cfg(test)]
mod tests;
mod websocket;

pub use schema::SchemaError;
pub use serve::{Calls, Gateway};
