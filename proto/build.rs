//! Compiles the `.proto` files without a `protoc` on the machine.

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
