//! Plain HTTP on the client port beside real etcd 3.7.1: gateway, pages, and what browsers need.

mod curl;
mod dashboards;
mod gateway;
mod health_pages;
mod metric_acts;
mod metric_names;
mod patroni;
mod raw;
mod request_times;
mod scrape;
mod streams;
mod websocket;
