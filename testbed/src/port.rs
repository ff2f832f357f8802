//! Free ports of the loopback interface.

use std::net::TcpListener;

use anyhow::{Context, Result};

/// `n` ports that were free a moment ago, all different: they are held together before any is given back.
pub fn free_ports(n: usize) -> Result<Vec<u16>> {
    let listener = || TcpListener::bind("127.0.0.1:0").context("no free port on 127.0.0.1");
    let held: Vec<TcpListener> = (0..n).map(|_| listener()).collect::<Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
