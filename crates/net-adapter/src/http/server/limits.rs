//! How much of everything a server gives to one client, and for how long.

use std::time::Duration;

use super::head::HeadLimits;

/// Limits of a server. The defaults are the ones a server on the open internet can live with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at once; at the limit the server stops accepting until one ends (16,384).
    pub connections: usize,
    /// Connections at once from one address; more get a fixed 503. 0 = no limit (512).
    pub per_peer: usize,
    /// Requests on one connection; the answer to the last one closes it (10,000).
    pub requests_per_connection: u64,
    /// Size of a request head.
    pub head: HeadLimits,
    /// Bytes of a request body, decoded (1 MiB; per route).
    pub body_bytes: u64,
    /// Bytes of a body that the handler left unread which the server takes off the connection to keep it (64 KiB).
    pub ignored_body_bytes: u64,
    /// Bytes read ahead while a request is answered (64 KiB).
    pub pipelined_bytes: usize,
    /// From the first byte of a head to its last; then 408 (10 s).
    pub head_time: Duration,
    /// Silence between requests; then the connection is closed without a word (75 s).
    pub keep_alive: Duration,
    /// Silence within a body that the handler waits for; then 408 (15 s; per route).
    pub body_idle: Duration,
    /// A client that takes no byte of the answer for so long is cut off (30 s).
    pub write_idle: Duration,
    /// From the head to the handler's answer; then 504 and the request is cancelled (30 s; per route).
    pub handler: Duration,
    /// How long a cancelled handler is still polled (5 s).
    pub cleanup: Duration,
    /// From the begin of draining to the moment the server stops accepting (0).
    pub notice: Duration,
    /// How long requests in flight may take once the server stopped accepting; then they are cancelled (15 s).
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            per_peer: 512,
            requests_per_connection: 10_000,
            head: HeadLimits::default(),
            body_bytes: 1024 * 1024,
            ignored_body_bytes: 64 * 1024,
            pipelined_bytes: 64 * 1024,
            head_time: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(15),
            write_idle: Duration::from_secs(30),
            handler: Duration::from_secs(30),
            cleanup: Duration::from_secs(5),
            notice: Duration::ZERO,
            drain: Duration::from_secs(15),
        }
    }
}

impl ServerLimits {
    /// The same limits with every time cut by `factor`, so that a test does not wait for a minute.
    #[must_use]
    pub fn sped_up(mut self, factor: u32) -> Self {
        for time in [
            &mut self.head_time,
            &mut self.keep_alive,
            &mut self.body_idle,
            &mut self.write_idle,
            &mut self.handler,
            &mut self.cleanup,
            &mut self.notice,
            &mut self.drain,
        ] {
            *time = time.checked_div(factor).unwrap_or(*time);
        }
        self
    }
}

/// What one route may have instead of the server's limits. A layer: `route("/upload", post(f).layer(limits))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    pub(super) body_bytes: Option<u64>,
    pub(super) body_idle: Option<Duration>,
    pub(super) handler: Option<Duration>,
}

impl RouteLimits {
    /// No limit of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of the request body.
    #[must_use]
    pub fn body_bytes(mut self, bytes: u64) -> Self {
        self.body_bytes = Some(bytes);
        self
    }

    /// Silence within the body.
    #[must_use]
    pub fn body_idle(mut self, time: Duration) -> Self {
        self.body_idle = Some(time);
        self
    }

    /// Time until the handler's answer; the body of the answer may take longer.
    #[must_use]
    pub fn handler(mut self, time: Duration) -> Self {
        self.handler = Some(time);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let limits = ServerLimits::default();
        assert_eq!(
            (limits.connections, limits.per_peer, limits.requests_per_connection),
            (16_384, 512, 10_000)
        );
        assert_eq!(
            (limits.head.head_bytes, limits.head.fields, limits.head.target_bytes),
            (65_536, 100, 8_192)
        );
        assert_eq!(
            (limits.body_bytes, limits.ignored_body_bytes, limits.pipelined_bytes),
            (1_048_576, 65_536, 65_536)
        );
        let seconds = [
            limits.head_time,
            limits.keep_alive,
            limits.body_idle,
            limits.write_idle,
            limits.handler,
            limits.cleanup,
            limits.notice,
            limits.drain,
        ]
        .map(|time| time.as_secs());
        assert_eq!(seconds, [10, 75, 15, 30, 30, 5, 0, 15]);
    }

    #[test]
    fn speeding_up_cuts_times_and_nothing_else() {
        let fast = ServerLimits::default().sped_up(20);
        assert_eq!(fast.head_time, Duration::from_millis(500));
        assert_eq!(fast.drain, Duration::from_millis(750));
        assert_eq!(fast.head, ServerLimits::default().head);
        assert_eq!(ServerLimits::default().sped_up(1), ServerLimits::default());
    }
}
