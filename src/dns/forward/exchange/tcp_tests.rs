use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::dns::forward::exchange::pulse::STALL;
use crate::dns::forward::message::Letters;
use crate::dns::forward::message::{HEADER, rcode};
use crate::dns::forward::testing::{
    Act, Fake, good, honest, later, question, reply, silent, truncated, with,
};

async fn ask(streams: &Streams, name: &str) -> Result<Reply, Failure> {
    streams.ask(&question(name), Letters::Random, &Budget::default()).await
}

/// Asks for `count` names at once, and says what came for each.
async fn ask_many(streams: &Arc<Streams>, count: u8) -> Vec<Result<Vec<u8>, Failure>> {
    let mut asked = JoinSet::new();
    for n in 0..count {
        let streams = streams.clone();
        asked.spawn(async move {
            let reply = ask(&streams, &format!("n{n}.example.")).await;
            (n, reply.map(|reply| reply.octets))
        });
    }
    let mut replies = asked.join_all().await;
    replies.sort_by_key(|(n, _)| *n);
    replies.into_iter().map(|(_, reply)| reply).collect()
}

#[tokio::test]
async fn questions_share_a_connection_and_replies_come_in_any_order() {
    const COUNT: usize = 20;
    let held = Mutex::new(Vec::new());
    let last_first = move |_: usize, query: &[u8]| {
        let mut held = held.lock();
        held.push(Act::Say(reply(query, 0, &[[10, 0, 0, query[HEADER + 2]]])));
        if held.len() < COUNT { Vec::new() } else { held.drain(..).rev().collect() }
    };
    let fake = Fake::start(silent, last_first).await;
    let streams = Arc::new(Streams::new(fake.addr));
    let replies = ask_many(&streams, u8::try_from(COUNT).unwrap()).await;
    for (n, reply) in replies.into_iter().enumerate() {
        let reply = reply.unwrap();
        let name = format!("n{n}");
        assert_eq!(reply[HEADER + 1..=HEADER + name.len()], *name.as_bytes());
        assert_eq!(reply.last(), name.as_bytes().get(1));
    }
    assert_eq!((*fake.heard.connections.lock(), streams.count()), (1, 1));
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_when_it_broke() {
    let answers_once = |_: usize, query: &[u8]| vec![Act::Say(good(query)), Act::Close];
    let fake = Fake::start(silent, answers_once).await;
    let streams = Streams::new(fake.addr);
    for n in 1..=3 {
        assert!(ask(&streams, "web.example.").await.unwrap().letters_kept);
        assert_eq!(*fake.heard.connections.lock(), n);
    }
    let fake = Fake::start(silent, honest).await;
    let streams = Streams::new(fake.addr);
    for _ in 0..3 {
        assert_eq!(rcode(&ask(&streams, "web.example.").await.unwrap().octets), 0);
    }
    assert_eq!(*fake.heard.connections.lock(), 1);
}

#[tokio::test]
async fn a_question_is_asked_once_more_on_a_fresh_connection_and_no_more() {
    // The first is answered, all others end the connection.
    let then_closes = |nth: usize, query: &[u8]| {
        if nth == 0 { vec![Act::Say(good(query))] } else { vec![Act::Close] }
    };
    let fake = Fake::start(silent, then_closes).await;
    let streams = Streams::new(fake.addr);
    assert!(ask(&streams, "web.example.").await.is_ok());
    assert_eq!(ask(&streams, "web.example.").await, Err(Failure::Unreachable));
    assert_eq!((*fake.heard.connections.lock(), fake.heard.on_streams.lock().len()), (2, 3));
    // On a fresh one it is not.
    assert_eq!(ask(&streams, "web.example.").await, Err(Failure::Unreachable));
    assert_eq!(fake.heard.on_streams.lock().len(), 4);
    let spent = Budget::default();
    while spent.take().is_ok() {}
    let asked = streams.ask(&question("web.example."), Letters::Lower, &spent).await;
    assert_eq!(asked, Err(Failure::Spent));
}

#[tokio::test]
async fn connections_and_questions_on_them_are_bounded() {
    let fake = Fake::start(silent, silent).await;
    let streams = Arc::new(Streams::new(fake.addr));
    let mut asked = JoinSet::new();
    for _ in 0..CONNECTIONS_MOST * PIPELINED_MOST {
        let streams = streams.clone();
        asked.spawn(async move { ask(&streams, "web.example.").await });
    }
    while fake.heard.on_streams.lock().len() < CONNECTIONS_MOST * PIPELINED_MOST {
        tokio::task::yield_now().await;
    }
    assert_eq!(streams.count(), CONNECTIONS_MOST);
    assert_eq!(ask(&streams, "web.example.").await, Err(Failure::Local));
    assert_eq!(*fake.heard.connections.lock(), CONNECTIONS_MOST);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let fake = Fake::start(silent, honest).await;
    let streams = Streams::new(fake.addr);
    assert!(ask(&streams, "web.example.").await.is_ok());
    later(IDLE / 2).await;
    assert!(ask(&streams, "web.example.").await.is_ok());
    later(IDLE * 3 / 4).await;
    assert_eq!(streams.count(), 1);
    later(IDLE / 2).await;
    assert_eq!(streams.count(), 0);
    assert!(ask(&streams, "web.example.").await.is_ok());
    assert_eq!(*fake.heard.connections.lock(), 2);
}

/// A reply on a connection, an octet at a time.
fn drips(_: usize, query: &[u8]) -> Vec<Act> {
    let message = good(query);
    let length = u16::try_from(message.len()).unwrap().to_be_bytes();
    let reply = [&length[..], &message].concat();
    let drip = |octet: &u8| [Act::Drip(vec![*octet]), Act::Wait(Duration::from_millis(10))];
    reply.iter().flat_map(drip).collect()
}

#[tokio::test]
async fn an_upstream_that_drips_or_says_nothing_is_left() {
    for fake in [Fake::start(silent, drips).await, Fake::start(silent, silent).await] {
        let streams = Arc::new(Streams::new(fake.addr));
        let asked = tokio::spawn({
            let streams = streams.clone();
            async move { ask(&streams, "web.example.").await }
        });
        while fake.heard.on_streams.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        later(STALL).await;
        assert_eq!(asked.await.unwrap(), Err(Failure::Silent));
        assert_eq!(streams.count(), 0);
    }
    // Who drips fast enough is heard.
    let fake = Fake::start(silent, drips).await;
    assert!(ask(&Streams::new(fake.addr), "web.example.").await.is_ok());
}

#[tokio::test]
async fn what_nobody_asked_for_is_ignored_until_it_is_too_much() {
    let wrong = |query: &[u8]| Act::Say(with(good(query), |reply| reply[0] ^= 1));
    let some =
        move |_: usize, query: &[u8]| vec![wrong(query), wrong(query), Act::Say(good(query))];
    let fake = Fake::start(silent, some).await;
    assert!(ask(&Streams::new(fake.addr), "web.example.").await.is_ok());
    let many = move |_: usize, query: &[u8]| {
        vec![wrong(query), wrong(query), wrong(query), Act::Say(good(query))]
    };
    let cut = |_: usize, query: &[u8]| (0..3).map(|_| Act::Say(truncated(query))).collect();
    let short = |_: usize, _: &[u8]| vec![Act::Say(vec![0; HEADER - 1])];
    for fake in [
        Fake::start(silent, many).await,
        Fake::start(silent, cut).await,
        Fake::start(silent, short).await,
    ] {
        let asked = ask(&Streams::new(fake.addr), "web.example.").await;
        assert_eq!(asked, Err(Failure::Unreachable));
    }
}

#[tokio::test]
async fn where_nobody_listens_all_questions_fail_at_once() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let streams = Arc::new(Streams::new(addr));
    for asked in ask_many(&streams, 10).await {
        assert_eq!(asked, Err(Failure::Unreachable));
    }
    assert_eq!(streams.count(), 0);
}

#[tokio::test]
async fn a_reply_of_64_kib_has_room() {
    let fake = Fake::start(silent, |_, query| {
        let mut whole = reply(query, 0, &[]);
        whole.resize(usize::from(u16::MAX), 0);
        vec![Act::Say(whole)]
    })
    .await;
    let asked = ask(&Streams::new(fake.addr), "web.example.").await.unwrap();
    assert_eq!(asked.octets.len(), usize::from(u16::MAX));
}

#[tokio::test]
async fn one_connection_carries_many_questions_after_each_other() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = {
        let count = count.clone();
        move |_: usize, query: &[u8]| {
            count.fetch_add(1, Ordering::Relaxed);
            vec![Act::Say(good(query))]
        }
    };
    let fake = Fake::start(silent, counted).await;
    let streams = Arc::new(Streams::new(fake.addr));
    for _ in 0..5 {
        assert!(ask_many(&streams, 100).await.iter().all(Result::is_ok));
    }
    assert_eq!((count.load(Ordering::Relaxed), *fake.heard.connections.lock()), (500, 1));
}
