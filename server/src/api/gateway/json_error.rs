//! What is wrong with a JSON body, in the words of the Go libraries that clients of etcd's gateway know.

/// A body that is no request. The text is what the client is told.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JsonError {
    /// The body ends inside a value (Go's `io.ErrUnexpectedEOF`).
    #[error("unexpected EOF")]
    Truncated,
    /// Not JSON (Go's `encoding/json`).
    #[error("invalid character {character} {context}")]
    Syntax {
        /// The byte that does not fit, quoted as Go quotes it.
        character: String,
        /// Where it stood.
        context: &'static str,
    },
    /// JSON, but not this message (Go's `protojson`).
    #[error("proto: {0}")]
    Message(String),
    /// More than the gateway takes; the text is the one of an oversized gRPC message.
    #[error("grpc: received message larger than max ({found} vs. {limit})")]
    TooLarge {
        /// Bytes that came.
        found: usize,
        /// Bytes that are taken.
        limit: usize,
    },
    /// The connection broke while the body was read.
    #[error("{0}")]
    Body(String),
    /// The body may not go on: there is no room for it, or it has stopped for too long.
    #[error("{text}")]
    Refused {
        /// The code of the refusal.
        code: tonic::Code,
        /// Its text.
        text: String,
    },
}

impl JsonError {
    /// What ended a body before its end.
    pub fn from_body(error: Box<dyn std::error::Error + Send + Sync>) -> JsonError {
        match error.downcast_ref::<tonic::Status>() {
            Some(status) => {
                JsonError::Refused { code: status.code(), text: status.message().to_owned() }
            }
            None => JsonError::Body(error.to_string()),
        }
    }

    /// The gRPC code that goes with it.
    pub fn code(&self) -> tonic::Code {
        match self {
            JsonError::TooLarge { .. } => tonic::Code::ResourceExhausted,
            JsonError::Refused { code, .. } => *code,
            _ => tonic::Code::InvalidArgument,
        }
    }
}
