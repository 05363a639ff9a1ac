//! Compiles the wire schema without a protoc binary.

use std::io;

const SCHEMA: [&str; 3] =
    ["schema/belfry/v1/trust.proto", "schema/belfry/v1/envelope.proto", "schema/belfry/v1/network.proto"];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(SCHEMA, ["schema"]).map_err(io::Error::other)?;
    prost_build::Config::new().compile_fds(descriptors)
}
