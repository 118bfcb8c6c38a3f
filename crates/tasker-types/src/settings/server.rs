//! How the service is reached.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Bounds, Check, section, table};

/// A path that begins with a slash, does not end with one, and has plain segments.
const BASE_PATH: &str = "^(/[A-Za-z0-9_-]+)+$";

table! {
    /// The values of [`Server`].
    ServerValues {
        /// The address and port that the service listens on.
        bind: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
            in Bounds::matching("^.+:[0-9]{1,5}$"),
        /// The path below which everything lies but `/health` and `/metrics`.
        base_path: String = "/tasker".to_owned(); in Bounds::matching(BASE_PATH),
        /// How many bytes the body of a request may have.
        body_bytes: u64 = 2 << 20; in Bounds::between(1024.0, 1_073_741_824.0),
        /// How many levels of lists and objects the body of a request may have within one another.
        body_depth: u32 = 64; in Bounds::between(8.0, 100.0),
        /// How many bytes the line and the headers of a request may have together.
        header_bytes: u32 = 16 << 10; in Bounds::between(8192.0, 1_048_576.0),
        /// Seconds that a client may take to send its headers. A connection on which nothing was asked for as long is closed.
        header_timeout_seconds: f64 = 10.0; in Bounds::between(0.1, 3_600.0),
        /// Seconds that a request may take until its answer begins.
        request_timeout_seconds: f64 = 30.0; in Bounds::between(0.1, 3_600.0),
        /// How many connections may be open at a time; further ones wait.
        connections: u32 = 1024; in Bounds::between(1.0, 1_000_000.0),
        /// How many requests each address may make, before it is looked at who makes them.
        address_rate: RequestRate = RequestRate::default() => RequestRate,
        /// How many requests each caller may make, from wherever, where callers say who they are.
        caller_rate: RequestRate = RequestRate::default() => RequestRate,
        /// What cursors of lists are signed with, of 32 characters at least; without, a random secret in the database.
        cursor_secret: Option<String> = None; in Bounds::matching("^.{32,}$"),
        /// How many clients may follow events at a time; further ones are told to come later.
        event_streams: u32 = 256; in Bounds::between(1.0, 1_000_000.0),
        /// Seconds after which a client that follows events is told that nothing is new.
        event_heartbeat_seconds: f64 = 15.0; in Bounds::between(0.1, 3_600.0),
        /// Seconds after which a client that follows events has to ask again, and is authenticated anew.
        event_stream_seconds: f64 = 3_600.0; in Bounds::between(1.0, 86_400.0),
    }
}

table! {
    /// How many requests one may make; further ones are told when to come again.
    RequestRate {
        /// How many requests a second are permitted in the long run; 0 permits any number.
        requests_per_second: f64 = 500.0; in Bounds::between(0.0, 1_000_000.0),
        /// How many requests may come at once after a time without any.
        burst: u32 = 1_000; in Bounds::between(1.0, 1_000_000.0),
    }
}

section! {
    /// How the service is reached: `tasker serve`.
    Server(ServerValues) in "server"
}

impl ServerValues {
    fn check(&self, check: &mut Check) {
        let is_name = |segment: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            !segment.is_empty() && segment.chars().all(plain)
        };
        let holds = self
            .base_path
            .strip_prefix('/')
            .is_some_and(|path| path.split('/').all(is_name));
        check.require(
            holds,
            "base_path",
            &self.base_path,
            "a path such as `/tasker`, of letters, digits, `_` and `-`",
        );
        let length = self
            .cursor_secret
            .as_ref()
            .map_or(32, |secret| secret.chars().count());
        check.require(
            length >= 32,
            "cursor_secret",
            // It is not told.
            &"…".to_owned(),
            "of 32 characters at least",
        );
    }
}
