//! The floor: a gRPC server that decodes a request and answers a constant, in a process of its own with one worker
//! thread. What it costs, no server on this RPC layer can go below.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use bytes::Bytes;
use quorate_proto::etcdserverpb::kv_server::{Kv, KvServer};
use quorate_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader, TxnRequest,
    TxnResponse,
};
use quorate_proto::mvccpb::KeyValue;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::operation::VALUE_BYTES;

#[derive(clap::Args)]
pub struct EchoOptions {
    /// Port on 127.0.0.1
    #[arg(long)]
    port: u16,
}

/// Serves until it is killed.
pub fn serve(options: &EchoOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    runtime.block_on(async {
        let incoming = tonic::transport::server::TcpIncoming::bind(address)
            .map_err(anyhow::Error::msg)?
            .with_nodelay(Some(true));
        println!("ready to serve client requests");
        let server = tonic::transport::Server::builder().add_service(KvServer::new(Echo::new()));
        Ok(server.serve_with_incoming(incoming).await?)
    })
}

struct Echo {
    header: ResponseHeader,
    value: Bytes,
}

impl Echo {
    fn new() -> Self {
        let header = ResponseHeader {
            cluster_id: 0xcdf8_181e_3277_9d11,
            member_id: 0x8e9e_05c5_2164_694d,
            revision: 1_234_567,
            raft_term: 2,
        };
        Self { header, value: vec![b'v'; VALUE_BYTES].into() }
    }
}

#[tonic::async_trait]
impl Kv for Echo {
    type RangeStreamStream = ReceiverStream<Result<RangeStreamResponse, Status>>;

    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let kv = KeyValue {
            key: request.into_inner().key,
            create_revision: 5,
            mod_revision: 1_234_567,
            version: 3,
            value: self.value.clone(),
            lease: 0,
        };
        let header = Some(self.header);
        Ok(Response::new(RangeResponse { header, kvs: vec![kv], count: 1, ..Default::default() }))
    }

    async fn put(&self, _: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        Ok(Response::new(PutResponse { header: Some(self.header), prev_kv: None }))
    }

    async fn range_stream(
        &self,
        _: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(Status::unimplemented("the echo server only puts and gets"))
    }

    async fn delete_range(
        &self,
        _: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        Err(Status::unimplemented("the echo server only puts and gets"))
    }

    async fn txn(&self, _: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        Err(Status::unimplemented("the echo server only puts and gets"))
    }

    async fn compact(
        &self,
        _: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        Err(Status::unimplemented("the echo server only puts and gets"))
    }
}
