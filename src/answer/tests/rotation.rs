//! Who is first.

use std::collections::BTreeMap;

use super::*;
use crate::view::testing::{Answers, cell};
use crate::view::{LeaseStart, Pointers};

/// How often each instance of `web` is first in so many answers, by the label of its SRV target or by address.
fn firsts(weights: &[u16], question: &'static str, queries: usize) -> BTreeMap<String, usize> {
    let mut server = Server::new(&[]);
    let cell_of = |(n, weight): (usize, &u16)| {
        cell("web", &format!("web-{n}"), &[&format!("10.0.0.{n}")], None, |body| {
            body.weight = *weight;
        })
    };
    let cells: Vec<_> = weights.iter().enumerate().map(cell_of).collect();
    server.view.put_service("web", &cells, Answers::default());
    let mut firsts = BTreeMap::new();
    for query in 0..queries {
        // One counter for all transports.
        let ask = Ask::of(question);
        let ask = if query % 2 == 0 { ask } else { ask.tcp() };
        let reply = server.ask(&ask);
        let first = reply.lines().nth(2).unwrap().rsplit(' ').next().unwrap();
        let records = reply.lines().skip(2).filter(|line| !line.starts_with("additional"));
        assert_eq!(records.count(), weights.len(), "an RRset is whole");
        *firsts.entry(first.to_owned()).or_default() += 1;
    }
    firsts
}

#[test]
fn equal_weights_take_exact_turns() {
    for question in ["web.svc.internal. A", "_web._tcp.svc.internal. SRV"] {
        let firsts = firsts(&[1, 1, 1], question, 300);
        assert_eq!(firsts.values().collect::<Vec<_>>(), [&100, &100, &100], "{question}");
    }
}

#[test]
fn unequal_weights_take_their_shares() {
    for question in ["web.svc.internal. A", "_web._tcp.svc.internal. SRV"] {
        let firsts = firsts(&[1, 2, 5], question, 8000);
        for (found, expected) in firsts.values().zip([1000_usize, 2000, 5000]) {
            // Shares within 1 %: of all queries that would be 80, here it is of each one's share.
            assert!(found.abs_diff(expected) * 100 <= expected, "{question}: {firsts:?}");
        }
    }
}

#[test]
fn weight_0_is_first_only_if_all_are_0() {
    let firsts_of = |weights: &[u16]| firsts(weights, "web.svc.internal. A", 30);
    assert_eq!(firsts_of(&[0, 1]), BTreeMap::from([("10.0.0.1".into(), 30)]));
    assert_eq!(firsts_of(&[0, 0]).into_values().collect::<Vec<_>>(), [15, 15]);
}

#[test]
fn instances_at_one_address_take_turns_to_be_named_first() {
    let mut server = Server::new(&[]);
    let [one, two, gone] =
        ["a", "b", "c"].map(|id| cell("web", id, &["10.0.0.1"], Some(500_000), |_| {}));
    gone.lease.kill();
    let pointers = Pointers::new(5, [one, two, gone].into(), 1);
    server.view.put_pointers("10.0.0.1".parse().unwrap(), pointers);
    for order in [["b", "a", "c"], ["a", "b", "c"], ["b", "a", "c"]] {
        let [first, second, last] =
            order.map(|id| format!("1.0.0.10.in-addr.arpa. 1 PTR {id}.web.svc.internal."));
        server.check(
            &Ask::of("1.0.0.10.in-addr.arpa. PTR"),
            &format!("NOERROR aa\n? 1.0.0.10.in-addr.arpa. PTR\n{first}\n{second}\n{last}"),
        );
    }
}

#[test]
fn turns_of_an_address_go_on_when_it_is_published_anew() {
    let mut server = Server::new(&[]);
    let [one, two] =
        ["a", "b"].map(|id| cell("web", id, &["10.0.0.1"], None, |_| {}).instance.clone());
    for instance in [&one, &two] {
        server.view.edit(NOW).list(instance, LeaseStart::Term);
    }
    for first in ["a", "b", "a", "b"] {
        let reply = server.ask(&Ask::of("1.0.0.10.in-addr.arpa. PTR"));
        let line = format!("1.0.0.10.in-addr.arpa. 5 PTR {first}.web.svc.internal.");
        assert_eq!(reply.lines().nth(2), Some(&*line));
        server.view.edit(NOW).list(&one, LeaseStart::AsItIs);
    }
}
