//! Plain HTTP on the client port beside real etcd 3.7.1: gateway, pages, and what browsers need.

mod gateway;
mod raw;
mod streams;
mod websocket;
