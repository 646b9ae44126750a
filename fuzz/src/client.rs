//! A reply as `rollcall query` and `doctor` read it, from whatever server.

use rollcall::dns::message::{Query, Wishes};

/// The reply to a question for the address of `www.example.`, after its id.
pub fn client(data: &[u8]) {
    let wishes = Wishes { recursion: true, dnssec: true };
    let query = Query::new(7, "www.example.", "A", wishes).expect("a query");
    let reply = [&[0, 7], data].concat();
    if let Ok(reply) = query.read_reply(&reply) {
        // Somebody reads it on a terminal.
        for record in reply.answer.iter().chain(&reply.authority).chain(&reply.additional) {
            let shown = format!("{record:?}");
            assert!(!shown.contains('\u{1b}'), "{shown}");
        }
    }
}
