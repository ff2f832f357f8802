//! Lets clients in whose `:authority` is no host, as etcd does; not a check of who may call.
//!
//! Old Go clients put their endpoint URL there (`http://127.0.0.1:2379`, clientv3 3.4) or their list of endpoints
//! (`#initially=[http://127.0.0.1:2379;http://localhost:2379]`, 3.5.0). etcd never reads it; `h2` parses it as part of a
//! URI and resets the stream with PROTOCOL_ERROR, where no service can help any more. So the connection itself puts a
//! harmless host in its place, before `h2` sees it: [`RepairAuthority`] is the connection, `frames` finds the header
//! blocks in its bytes, `hpack` the authority in a block, `huffman` reads it.

mod frames;
mod hpack;
mod huffman;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::RepairAuthority;
