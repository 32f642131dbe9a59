//! The gateway's pure parts alone: the root of the library that `gateway/fuzz` builds, and no module of the gateway.
//!
//! The fuzz targets run instrumented code. Without runtime, sockets and databases it is built in seconds, on a stable
//! compiler, and that it can be built shows that these parts are pure.

pub mod protocol;
pub mod room;

pub mod http {
    pub mod head;
}
