use super::*;
use crate::dns::forward::flight::Flights;
use crate::dns::forward::message::HEADER;
use crate::dns::forward::testing::{
    Act, Fake, good, honest, later, means, name, question, reply, settle, silent, truncated, with,
};
use crate::dns::forward::upstream::{
    LETTERS_DOUBTED_MOST, MEASURE_EVERY, PLAINER_FOR, Transport, USELESS_MOST,
};

const WEB: &str = "web.example.";

fn pool(fakes: &[&Fake]) -> Pool {
    pool_of(fakes.iter().map(|fake| fake.address()), 100)
}

fn pool_of(addresses: impl IntoIterator<Item = Address>, sockets: usize) -> Pool {
    Pool::new(&name("."), addresses, &means(sockets), Instant::now())
}

/// Asks, and says which of the fakes won.
async fn ask(pool: &Pool, fakes: &[&Fake], asked: &str) -> Result<usize, Failure> {
    let won = pool.ask(&question(asked), |reply| Some(reply.to_vec())).await?;
    Ok(fakes.iter().position(|fake| fake.address() == won.by).unwrap())
}

fn fails(rcode: u8) -> impl Fn(usize, &[u8]) -> Vec<Act> + Clone {
    move |_, query| vec![Act::Say(reply(query, rcode, &[]))]
}

/// Replies after a time.
fn slow(time: Duration) -> impl Fn(usize, &[u8]) -> Vec<Act> + Clone {
    move |_, query| vec![Act::Wait(time), Act::Say(good(query))]
}

#[tokio::test]
async fn the_first_is_asked_and_nobody_else() {
    let (a, b) = (Fake::start(honest, silent).await, Fake::start(honest, silent).await);
    let fakes = [&a, &b];
    let pool = pool(&fakes);
    assert!(ask(&pool, &fakes, WEB).await.is_ok());
    assert_eq!(a.count(WEB) + b.count(WEB), 1);
}

#[tokio::test]
async fn a_dead_upstream_costs_one_question_one_delay() {
    let (dead, live) = (Fake::start(silent, silent).await, Fake::start(honest, silent).await);
    let fakes = [&dead, &live];
    let pool = pool(&fakes);
    assert_eq!(ask(&pool, &fakes, WEB).await, Ok(1));
    assert!(pool.upstreams()[0].health().is_doubted());
    for _ in 0..20 {
        assert_eq!(ask(&pool, &fakes, "then.example.").await, Ok(1));
    }
    assert_eq!((dead.count("then.example."), live.count("then.example.")), (0, 20));
    assert!(dead.count(".") <= 2, "{} probes", dead.count("."));
}

#[tokio::test]
async fn the_fastest_healthy_one_is_asked_first() {
    let slow = Fake::start(slow(Duration::from_millis(100)), silent).await;
    let fast = Fake::start(self::slow(Duration::from_millis(10)), silent).await;
    let fakes = [&slow, &fast];
    let pool = pool(&fakes);
    // It was measured in the background while the first was asked.
    assert_eq!(ask(&pool, &fakes, WEB).await, Ok(0));
    settle().await;
    for _ in 0..5 {
        assert_eq!(ask(&pool, &fakes, WEB).await, Ok(1));
    }
    assert_eq!((slow.count(WEB), fast.count(WEB)), (1, 5));
    // The other is measured now and then.
    let before = slow.count(".");
    later(MEASURE_EVERY * 2).await;
    assert_eq!(ask(&pool, &fakes, WEB).await, Ok(1));
    settle().await;
    assert_eq!(slow.count("."), before + 1);
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_found_by_a_probe() {
    let alive = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let on = alive.clone();
    let comes_back = move |_: usize, query: &[u8]| {
        let on = on.load(std::sync::atomic::Ordering::Relaxed);
        if on { vec![Act::Say(good(query))] } else { Vec::new() }
    };
    let dead = Fake::start(comes_back, silent).await;
    let other = Fake::start(slow(Duration::from_millis(20)), silent).await;
    let fakes = [&dead, &other];
    let pool = pool(&fakes);
    for _ in 0..60 {
        assert_eq!(ask(&pool, &fakes, WEB).await, Ok(1));
        later(Duration::from_secs(1)).await;
    }
    // At 0, perhaps at once again, and 1, 2, 4, 8, 16 and 32 s later.
    assert!((5..=8).contains(&dead.count(".")), "{} probes", dead.count("."));
    alive.store(true, std::sync::atomic::Ordering::Relaxed);
    later(Duration::from_secs(60)).await;
    let before = dead.count(WEB);
    assert_eq!(ask(&pool, &fakes, WEB).await, Ok(1));
    settle().await;
    assert!(!pool.upstreams()[0].health().is_doubted());
    assert_eq!(dead.count(WEB), before);
    assert_eq!(ask(&pool, &fakes, WEB).await, Ok(0));
}

#[tokio::test]
async fn a_failure_is_passed_over_at_once() {
    let refused = Fake::start(fails(5), silent).await;
    let servfail = Fake::start(fails(2), silent).await;
    let live = Fake::start(honest, silent).await;
    let fakes = [&refused, &servfail, &live];
    let pool = pool(&fakes);
    assert_eq!(ask(&pool, &fakes, WEB).await, Ok(2));
    // Nobody's patience was at an end.
    assert!(pool.upstreams().iter().all(|upstream| !upstream.health().is_doubted()));
    // NXDOMAIN is an answer.
    let none = Fake::start(fails(3), silent).await;
    let fakes = [&none, &live];
    assert_eq!(ask(&self::pool(&fakes), &fakes, "nx.example.").await, Ok(0));
    assert_eq!(live.count("nx.example."), 0);
    // And nobody at all is known as soon.
    let gone = Fake::start(silent, silent).await.address();
    let pool = pool_of([gone, live.address()], 100);
    assert_eq!(pool.ask(&question(WEB), |_| Some(())).await.unwrap().by, live.address());
}

#[tokio::test]
async fn what_cannot_be_taken_is_passed_over() {
    let odd = Fake::start(|_, q| vec![Act::Say(reply(q, 0, &[[192, 0, 2, 99]]))], silent).await;
    let live = Fake::start(honest, silent).await;
    let pool = pool(&[&odd, &live]);
    let accept = |reply: &[u8]| (reply.last() == Some(&1)).then_some(7);
    let won = pool.ask(&question(WEB), accept).await.unwrap();
    assert_eq!((won.answer, won.by), (7, live.address()));
    assert_eq!(pool.ask(&question(WEB), |_| None::<()>).await.unwrap_err(), Failure::Unfit);
}

#[tokio::test]
async fn a_lost_datagram_is_repeated_within_bounds() {
    // The last goes over a connection, where nothing is lost,
    let fake = Fake::start(silent, honest).await;
    assert_eq!(ask(&pool(&[&fake]), &[&fake], WEB).await, Ok(0));
    let ports = |fake: &Fake| {
        let datagrams = fake.heard.datagrams.lock();
        let ports: std::collections::HashSet<_> = datagrams.iter().map(|(peer, _)| *peer).collect();
        (datagrams.len(), ports.len())
    };
    assert_eq!((ports(&fake), fake.heard.on_streams.lock().len()), ((2, 2), 1));
    // and where there is none it is a datagram as well.
    let third = |nth: usize, query: &[u8]| if nth < 2 { Vec::new() } else { honest(nth, query) };
    let fake = Fake::start_without_tcp(third).await;
    assert_eq!(ask(&pool(&[&fake]), &[&fake], WEB).await, Ok(0));
    assert_eq!(ports(&fake), (3, 3));
}

#[tokio::test]
async fn what_is_cut_after_two_were_asked_comes_over_tcp_all_the_same() {
    let late = |_: usize, query: &[u8]| {
        vec![Act::Wait(Duration::from_millis(900)), Act::Say(truncated(query))]
    };
    let (a, b) = (Fake::start(late, honest).await, Fake::start(late, honest).await);
    let fakes = [&a, &b];
    assert!(ask(&pool(&fakes), &fakes, WEB).await.is_ok());
    assert_eq!(a.count(WEB) + b.count(WEB), 3);
}

#[tokio::test(start_paused = true)]
async fn a_question_has_four_seconds_and_three_packets() {
    let dead = [(); 5].map(|()| Fake::start(silent, silent));
    let mut fakes = Vec::new();
    for fake in dead {
        fakes.push(fake.await);
    }
    let fakes: Vec<_> = fakes.iter().collect();
    let began = Instant::now();
    assert_eq!(ask(&pool(&fakes), &fakes, WEB).await, Err(Failure::Silent));
    assert_eq!(began.elapsed().as_secs(), QUESTION_MOST.as_secs());
    settle().await;
    assert_eq!(fakes.iter().map(|fake| fake.count(WEB)).sum::<usize>(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_upstream_makes_a_question_cost_more_than_three_packets() {
    let nothing = |_: usize, _: &[u8]| Vec::new();
    type Lie = fn(usize, &[u8]) -> Vec<Act>;
    let lies: [(&str, Lie, Lie); 7] = [
        ("cut", |_, q| vec![Act::Say(truncated(q))], |_, _| vec![Act::Close]),
        ("cut twice", |_, q| vec![Act::Say(truncated(q))], |_, q| vec![Act::Say(truncated(q)); 3]),
        ("SERVFAIL", |_, q| vec![Act::Say(reply(q, 2, &[]))], nothing),
        (
            "guesses",
            |_, q| vec![Act::Say(with(good(q), |r| r[0] ^= 1)); 3],
            |_, _| vec![Act::Close],
        ),
        ("letters", |_, q| vec![Act::Say(with(good(q), |r| r[HEADER + 1] ^= 32))], nothing),
        ("silence", nothing, nothing),
        ("no EDNS", |_, q| vec![Act::Say(reply(q, 1, &[]))], nothing),
    ];
    for (what, udp, tcp) in lies {
        let fakes = [
            Fake::start(udp, tcp).await,
            Fake::start(udp, tcp).await,
            Fake::start(udp, tcp).await,
            Fake::start(udp, tcp).await,
        ];
        let fakes: Vec<_> = fakes.iter().collect();
        assert!(ask(&pool(&fakes), &fakes, WEB).await.is_err(), "{what}");
        let cost: usize = fakes.iter().map(|fake| fake.count(WEB)).sum();
        assert!((1..=3).contains(&cost), "{what}: {cost} packets");
    }
}

#[tokio::test]
async fn what_a_datagram_cannot_carry_comes_over_tcp() {
    let cut = Fake::start(|_, query| vec![Act::Say(truncated(query))], honest).await;
    assert_eq!(ask(&pool(&[&cut]), &[&cut], WEB).await, Ok(0));
    assert_eq!(cut.heard.on_streams.lock().len(), 1);
    let guess = |query: &[u8]| Act::Say(with(good(query), |reply| reply[1] ^= 1));
    let attacked = move |_: usize, query: &[u8]| vec![guess(query), guess(query), guess(query)];
    let attacked = Fake::start(attacked, honest).await;
    assert_eq!(ask(&pool(&[&attacked]), &[&attacked], WEB).await, Ok(0));
    assert_eq!(attacked.heard.on_streams.lock().len(), 1);
    let tcp = Fake::start(silent, honest).await;
    let address = Address { addr: tcp.addr, transport: Transport::Tcp };
    let pool = pool_of([address], 100);
    assert!(pool.ask(&question(WEB), |_| Some(())).await.is_ok());
    assert!(tcp.heard.datagrams.lock().is_empty());
}

#[tokio::test]
async fn without_a_socket_left_it_is_asked_over_a_connection() {
    let fake = Fake::start(silent, honest).await;
    let pool = Arc::new(pool_of([fake.address()], 1));
    let first = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ask(&question("first.example."), |_| Some(())).await }
    });
    while fake.heard.datagrams.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&pool, &[&fake], WEB).await, Ok(0));
    assert_eq!(fake.heard.datagrams.lock().len(), 1);
    // What is dropped gives its socket back.
    first.abort();
    settle().await;
    let exchange::Ways::Datagrams(sockets, _) = pool.upstreams()[0].ways() else { panic!() };
    assert!(sockets.take().is_some());
}

#[tokio::test]
async fn without_a_socket_and_a_connection_it_waits_for_a_socket() {
    let first_silent = |nth: usize, query: &[u8]| match nth {
        0 => Vec::new(),
        _ => honest(nth, query),
    };
    let fake = Fake::start_without_tcp(first_silent).await;
    let pool = Arc::new(pool_of([fake.address()], 1));
    let ask = |name: &'static str| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.ask(&question(name), |_| Some(())).await })
    };
    let older = ask("older.example.");
    while fake.heard.datagrams.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let newer = ask("newer.example.");
    settle().await;
    assert_eq!(fake.count("newer.example."), 0);
    assert!(!newer.is_finished());
    older.abort();
    assert_eq!(newer.await.unwrap().unwrap().by, fake.address());
}

/// Replies with the name in other letters than it was asked.
fn other_letters(_: usize, query: &[u8]) -> Vec<Act> {
    vec![Act::Say(with(good(query), |reply| reply[HEADER..HEADER + 13].make_ascii_lowercase()))]
}

#[tokio::test]
async fn an_upstream_that_keeps_no_letters_is_asked_without_once_tcp_has_shown_it() {
    let fake = Fake::start(other_letters, other_letters).await;
    let pool = pool(&[&fake]);
    for _ in 0..20 {
        assert_eq!(ask(&pool, &[&fake], WEB).await, Ok(0));
    }
    assert!((1..=2).contains(&fake.heard.on_streams.lock().len()));
    // A forger's other letters, which TCP shows to be such, change nothing.
    let forged = Fake::start(other_letters, honest).await;
    let pool = self::pool(&[&forged]);
    for _ in 0..20 {
        assert_eq!(ask(&pool, &[&forged], WEB).await, Ok(0));
    }
    assert!(forged.heard.on_streams.lock().len() > 15);
}

#[tokio::test]
async fn without_tcp_letters_are_given_up_after_a_few_questions() {
    for fake in [
        Fake::start(other_letters, |_, _| vec![Act::Close]).await,
        Fake::start_without_tcp(other_letters).await,
    ] {
        let pool = pool(&[&fake]);
        for _ in 0..20 {
            assert_eq!(ask(&pool, &[&fake], WEB).await, Ok(0), "from the first one on");
        }
        let tries = 20 + 2 * LETTERS_DOUBTED_MOST as usize;
        assert!(fake.count(WEB) <= tries, "{} of {tries} packets", fake.count(WEB));
    }
}

/// What went out without a letter that is not lower comes back as it was from everybody.
#[tokio::test]
async fn a_reply_to_a_name_without_letters_says_nothing_about_them() {
    let lower = |_: usize, query: &[u8]| {
        vec![Act::Say(with(good(query), |reply| reply[HEADER..].make_ascii_lowercase()))]
    };
    let fake = Fake::start_without_tcp(lower).await;
    let pool = pool(&[&fake]);
    // So long that not one of its letters is turned in one of 2^60 questions.
    let long = format!("{0}.{0}.example.", "long".repeat(7));
    for _ in 0..LETTERS_DOUBTED_MOST {
        assert_eq!(ask(&pool, &[&fake], &long).await, Ok(0));
        assert_eq!(ask(&pool, &[&fake], "7.7.").await, Ok(0));
    }
    let before = fake.heard.datagrams.lock().len();
    assert_eq!(ask(&pool, &[&fake], &long).await, Ok(0));
    let heard = fake.heard.datagrams.lock();
    let is_lower =
        |(_, query): &(_, Vec<u8>)| !query[HEADER..HEADER + 60].iter().any(u8::is_ascii_uppercase);
    assert!(heard[before..].iter().all(is_lower), "letters are given up by now");
}

/// Knows no EDNS: says so with the question or without it, as `whole` says.
fn before_edns(whole: bool) -> impl Fn(usize, &[u8]) -> Vec<Act> + Clone {
    move |_, query| {
        if query[HEADER - 1] == 0 {
            return vec![Act::Say(good(query))];
        }
        let refusal = with(reply(query, 1, &[]), |reply| {
            if !whole {
                reply.truncate(HEADER);
                reply[5] = 0;
            }
        });
        vec![Act::Say(refusal)]
    }
}

#[tokio::test]
async fn an_upstream_of_before_edns_is_asked_without_it_and_that_is_remembered() {
    for whole in [true, false] {
        let fake = Fake::start(before_edns(whole), silent).await;
        let pool = pool(&[&fake]);
        for _ in 0..10 {
            assert_eq!(ask(&pool, &[&fake], WEB).await, Ok(0));
        }
        assert_eq!(fake.count(WEB), 11, "one question was asked twice");
        later(PLAINER_FOR).await;
        assert_eq!(ask(&pool, &[&fake], WEB).await, Ok(0));
        assert_eq!(fake.count(WEB), 13, "what is there may have been replaced");
    }
}

#[tokio::test]
async fn a_refusal_that_is_one_without_edns_too_is_a_failure() {
    let always = |_: usize, query: &[u8]| vec![Act::Say(reply(query, 1, &[]))];
    let fake = Fake::start(always, silent).await;
    let pool = pool(&[&fake]);
    assert_eq!(ask(&pool, &[&fake], WEB).await, Err(Failure::Rcode(1)));
    assert_eq!(fake.count(WEB), 2);
    let edns = |n: usize| fake.heard.datagrams.lock()[n].1[HEADER - 1];
    assert_eq!((edns(0), edns(1)), (1, 0));
    assert_eq!(ask(&pool, &[&fake], WEB).await, Err(Failure::Rcode(1)));
    assert_eq!(edns(2), 1, "nothing was learnt");
}

#[tokio::test]
async fn an_upstream_that_only_fails_is_asked_last() {
    let (bad, live) = (Fake::start(fails(2), silent).await, Fake::start(honest, silent).await);
    let fakes = [&bad, &live];
    let pool = pool(&fakes);
    for _ in 0..USELESS_MOST + 20 {
        assert_eq!(ask(&pool, &fakes, WEB).await, Ok(1));
    }
    assert!(bad.count(WEB) <= USELESS_MOST as usize);
}

#[tokio::test]
async fn a_thousand_same_questions_cost_one_packet() {
    let fake = Fake::start(slow(Duration::from_millis(20)), silent).await;
    let pool = Arc::new(pool(&[&fake]));
    let flights = Flights::new(1000);
    let clients: Vec<_> = (0..1000)
        .map(|_| {
            let pool = pool.clone();
            flights.join(&question(WEB), || async move {
                pool.ask(&question(WEB), |reply| Some(reply.to_vec())).await
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.reply().await.unwrap().unwrap().by, fake.address());
    }
    assert_eq!(fake.count(WEB), 1);
}

#[tokio::test]
async fn a_group_of_none_fails_at_once() {
    assert_eq!(ask(&pool(&[]), &[], WEB).await, Err(Failure::Silent));
}
