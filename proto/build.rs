//! Compiles the `.proto` files without a `protoc` on the machine.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "rpc.proto",
        "raft_internal.proto",
        "lock.proto",
        "election.proto",
        "raft.proto",
        "wal.proto",
        "snap.proto",
        "lease.proto",
        "peer.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(files, ["proto"])?;
    write_descriptors(descriptors.clone())?;
    tonic_prost_build::configure()
        // Values travel from the socket to the row without a copy.
        .bytes(".")
        // Passwords, hashes and tokens must not print; `src/secrets.rs` says what does.
        .skip_debug([
            ".authpb.User",
            ".etcdserverpb.AuthenticateRequest",
            ".etcdserverpb.AuthenticateResponse",
            ".etcdserverpb.AuthUserAddRequest",
            ".etcdserverpb.AuthUserChangePasswordRequest",
            ".etcdserverpb.InternalAuthenticateRequest",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}

/// Puts the descriptors beside the generated code, without the comments, for those who must know the messages at run
/// time.
fn write_descriptors(
    mut descriptors: prost_types::FileDescriptorSet,
) -> Result<(), Box<dyn std::error::Error>> {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    let folder = std::env::var("OUT_DIR")?;
    Ok(std::fs::write(format!("{folder}/descriptors.bin"), descriptors.encode_to_vec())?)
}
