//! HTTP/2 with a bound on everything that a client decides, for all doors that speak it.

use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;

/// HTTP/2 as TLS names it (RFC 9113, section 3.2).
pub const HTTP_2: &[u8] = b"h2";
/// HTTP/1.1 (RFC 7301, section 6).
pub const HTTP_1: &[u8] = b"http/1.1";

/// Requests of a connection at a time: as many as RFC 9113, section 6.5.2, has for the least. Each may hold a body
/// and a reply of 64 KiB, mostly some 100 octets.
const MAX_STREAMS: u32 = 100;
/// What a client may send before it is read: one body of the longest for a request, and
/// four of them for the connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// What hyper keeps of a reply beside the reply itself.
const SEND_BUFFER: usize = 16 << 10;
/// Requests that a client took back before they were looked at: more, and it is cut off (CVE-2023-44487).
const MAX_TAKEN_BACK: usize = 20;

/// HTTP/2 whose requests are run by `tasks`, with heads of so many octets at most.
pub fn bounded<E: Clone>(tasks: E, max_head_octets: u16) -> Builder<E> {
    let mut http = Builder::new(tasks);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(max_head_octets.into())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_TAKEN_BACK)
        .max_local_error_reset_streams(MAX_TAKEN_BACK);
    http
}
