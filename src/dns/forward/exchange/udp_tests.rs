use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::dns::forward::message::{HEADER, id};
use crate::dns::forward::testing::{Act, Fake, good, honest, question, silent, truncated, with};

async fn ask_one(fake: &Fake, letters: Letters) -> Result<Datagram, Failure> {
    let query = Query::new(&question("web.example."), letters).unwrap();
    ask(fake.addr, &query, letters, &Budget::default()).await
}

/// The reply that all tests wait for, as it is given on.
fn restored() -> Datagram {
    let mut query = Query::new(&question("web.example."), Letters::Lower).unwrap();
    query.set_id(0);
    Datagram::Reply(good(query.octets()))
}

#[tokio::test]
async fn a_reply_is_given_on_without_what_was_chance() {
    let fake = Fake::start(honest, silent).await;
    assert_eq!(ask_one(&fake, Letters::Random).await, Ok(restored()));
    assert_eq!(fake.heard.datagrams.lock().len(), 1);
}

#[tokio::test]
async fn what_does_not_match_is_waited_past() {
    type Lie = fn(&[u8]) -> Vec<u8>;
    let lies: [(&str, Lie); 10] = [
        ("another id", |q| with(good(q), |r| r[1] ^= 1)),
        ("another name", |q| with(good(q), |r| r[HEADER + 1] ^= 1)),
        ("another type", |q| with(good(q), |r| r[HEADER + 14] ^= 1)),
        ("a query", |q| q.to_vec()),
        ("another opcode", |q| with(good(q), |r| r[2] |= 0x08)),
        ("no question", |q| with(good(q), |r| r[5] = 0)),
        ("nothing", |_| Vec::new()),
        ("a header", |q| good(q)[..HEADER].to_vec()),
        ("a cut record", |q| with(good(q), |r| r.truncate(r.len() - 1))),
        ("records that are not there", |q| with(good(q), |r| r[6] = 255)),
    ];
    for (what, lie) in lies {
        let udp = move |_: usize, query: &[u8]| {
            vec![Act::Say(lie(query)), Act::Say(lie(query)), Act::Say(good(query))]
        };
        let fake = Fake::start(udp, silent).await;
        assert_eq!(ask_one(&fake, Letters::Random).await, Ok(restored()), "{what}");
    }
}

#[tokio::test]
async fn several_mismatches_are_an_attempt_and_cut_replies_no_replies() {
    let guess = |_: usize, query: &[u8]| {
        let say = |n: u8| Act::Say(with(good(query), |reply| reply[0] ^= n));
        vec![say(1), say(2), say(3), say(0)]
    };
    let fake = Fake::start(guess, silent).await;
    assert_eq!(ask_one(&fake, Letters::Random).await, Ok(Datagram::Mismatched));
    let fake = Fake::start(|_, query| vec![Act::Say(truncated(query))], silent).await;
    assert_eq!(ask_one(&fake, Letters::Random).await, Ok(Datagram::Truncated));
}

#[tokio::test]
async fn other_letters_are_told_unless_they_are_known_not_to_be_kept() {
    let upper = |_: usize, query: &[u8]| {
        vec![Act::Say(with(good(query), |reply| reply[HEADER..HEADER + 13].make_ascii_uppercase()))]
    };
    let fake = Fake::start(upper, silent).await;
    // Once in 2048 the letters are all upper by chance.
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(ask_one(&fake, Letters::Random).await);
    }
    assert!(told.contains(&Ok(Datagram::OtherLetters)));
    assert_eq!(ask_one(&fake, Letters::Lower).await, Ok(restored()));
}

#[tokio::test]
async fn nobody_at_the_port_is_known_at_once() {
    let addr = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let query = Query::new(&question("web.example."), Letters::Random).unwrap();
    let asked = ask(addr, &query, Letters::Random, &Budget::default()).await;
    assert_eq!(asked, Err(Failure::Unreachable));
}

#[tokio::test]
async fn who_is_not_the_upstream_is_not_heard() {
    let fake = Fake::start(silent, silent).await;
    let query = Query::new(&question("web.example."), Letters::Random).unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let budget = Budget::default();
    let forge = async {
        while fake.heard.datagrams.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        let asker = fake.heard.datagrams.lock()[0].0;
        for _ in 0..5 {
            // The kernel may tell it that nobody takes what it sends.
            let _ = other.send_to(&good(query.octets()), asker).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    tokio::select! {
        biased;
        asked = ask(fake.addr, &query, Letters::Random, &budget) => panic!("{asked:?}"),
        () = forge => {}
    }
}

#[tokio::test]
async fn each_question_has_an_id_and_a_port_of_its_own() {
    let fake = Fake::start(honest, silent).await;
    for _ in 0..1000 {
        ask_one(&fake, Letters::Random).await.unwrap();
    }
    let datagrams = fake.heard.datagrams.lock();
    let ids: HashSet<_> = datagrams.iter().map(|(_, query)| id(query)).collect();
    let ports: Vec<_> = datagrams.iter().map(|(peer, _)| peer.port()).collect();
    // Of 2^16 ids, and some 2^14 ports, a thousand picks repeat 8 and 30 times.
    assert!(ids.len() > 950, "{} ids", ids.len());
    assert!(ports.iter().collect::<HashSet<_>>().len() > 900);
    // No port is near the one before but by chance.
    let near = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 64).count();
    assert!(near < 50, "{near} ports near the one before");
}

#[tokio::test]
async fn without_a_packet_left_nothing_is_sent() {
    let fake = Fake::start(honest, silent).await;
    let query = Query::new(&question("web.example."), Letters::Random).unwrap();
    let budget = Budget::default();
    for left in [true, true, true, false] {
        let asked = ask(fake.addr, &query, Letters::Random, &budget).await;
        assert_eq!(asked == Err(Failure::Spent), !left);
    }
    assert_eq!(fake.heard.datagrams.lock().len(), 3);
}
