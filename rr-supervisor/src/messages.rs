//! The protobuf messages of the RPC methods that the supervisor answers itself, and of those that it asks: generated from
//! `proto/*.proto`, a module for each file. They come as JSON too.

/// A file of `proto/`, by its package.
macro_rules! package {
    ($name:ident, $package:literal) => {
        #[allow(missing_docs, unreachable_pub, dead_code, clippy::all)]
        pub(crate) mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
        }
    };
}

package!(applogger, "applogger.v1");
package!(jobs, "jobs.v1");
package!(service, "service.v1");
package!(status, "status.v1");
