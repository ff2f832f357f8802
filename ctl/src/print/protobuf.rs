//! The protobuf format: the message's bytes and nothing else.

use super::printer::unsupported;
use super::{Answer, Format};
use crate::failure::{Failure, Outcome, exit};
use crate::terminal::print_bytes;
use prost::Message;
use quorate_client::proto::etcdserverpb::ResponseHeader;

/// Prints an answer.
pub(super) fn print(answer: &Answer) -> Outcome {
    let header = |header: &Option<ResponseHeader>| match header {
        Some(header) => header.encode_to_vec(),
        None => Vec::new(),
    };
    let bytes = match answer {
        Answer::Get { response, .. } => response.encode_to_vec(),
        Answer::Put(response) => response.encode_to_vec(),
        Answer::Del(response) => response.encode_to_vec(),
        Answer::Txn(response) => response.encode_to_vec(),
        Answer::Watch(response) => response.encode_to_vec(),
        // The Go client's lease answers embed the header, and that is all its encoder finds in them.
        Answer::LeaseGrant(response) => header(&response.header),
        Answer::LeaseKeepAlive(response) => header(&response.header),
        Answer::LeaseTimeToLive { response, .. } => header(&response.header),
        Answer::LeaseList(response) => header(&response.header),
        Answer::LeaseRevoke { .. } => {
            let text = "marshal unsupported for type *clientv3.LeaseRevokeResponse";
            return Err(Failure::new(exit::BAD_FEATURE, text));
        }
        Answer::Alarm(response) => response.encode_to_vec(),
        Answer::MemberAdd(response) => response.encode_to_vec(),
        Answer::MemberRemove { response, .. } => response.encode_to_vec(),
        Answer::MemberUpdate { response, .. } => response.encode_to_vec(),
        Answer::MemberPromote { response, .. } => response.encode_to_vec(),
        Answer::MemberList(response) => response.encode_to_vec(),
        Answer::Health(_)
        | Answer::Status(_)
        | Answer::HashKv(_)
        | Answer::Plain { .. }
        | Answer::SnapshotStatus(_)
        | Answer::FileHash(_) => {
            return Err(unsupported(Format::Protobuf));
        }
        Answer::MoveLeader { response, .. } => response.encode_to_vec(),
        Answer::Downgrade { response, .. } => response.encode_to_vec(),
        Answer::AuthStatus(response) => response.encode_to_vec(),
        Answer::Done { header, .. } => Headed { header: *header }.encode_to_vec(),
        Answer::UserGet { response, .. } => response.encode_to_vec(),
        Answer::UserList(response) => response.encode_to_vec(),
        Answer::RoleGet { response, .. } => response.encode_to_vec(),
        Answer::RoleList(response) => response.encode_to_vec(),
    };
    print_bytes(&bytes);
    Ok(())
}

/// Any message that has nothing but a header in field 1, as all of those behind [`Answer::Done`].
#[derive(Clone, PartialEq, Message)]
struct Headed {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}
