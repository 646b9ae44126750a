use proptest::prelude::*;

use super::*;
use crate::view::wire;

const SECOND: u64 = 1000;
const START: LeaseTime = LeaseTime::from_millis(1_000_000);
const A: u16 = 1;
const AAAA: u16 = 28;
const PLENTY: usize = 1 << 20;

fn name(text: &str) -> Name {
    Name::read(&wire::parse(text, b"\0").unwrap()).unwrap()
}

fn ask(name: &Name, rtype: u16) -> Question<'_> {
    Question { name, rtype, dnssec_ok: false, checking_disabled: false }
}

/// An answer of one record.
fn answer(question: Question<'_>, ttl: u32, now: LeaseTime) -> Entry {
    let mut draft = Draft::new(question);
    let rdata = [vec![192, 0, 2, 1]];
    let owner = question.name.wire();
    let (section, rtype) = (Section::Answer, question.rtype);
    draft.add(&RRset { section, owner, rtype, ttl, rdata: &rdata }).unwrap();
    let life = draft.least_ttl();
    draft.finish(0, false, Scope::Type, now, life)
}

fn no_name(question: Question<'_>, secs: u32, now: LeaseTime) -> Entry {
    Draft::new(question).finish(3, false, Scope::Name, now, secs)
}

fn after(secs: u64) -> LeaseTime {
    START.plus(secs * SECOND)
}

/// What a look-up comes to, in a word.
fn found(cache: &Cache, question: Question<'_>, now: LeaseTime) -> &'static str {
    match cache.read().look_up(question, now) {
        Lookup::Fresh(entry) if entry.head().rcode == 3 => "no name",
        Lookup::Fresh(_) => "fresh",
        Lookup::Due(_) => "due",
        Lookup::Stale { has_failed: false, .. } => "stale",
        Lookup::Stale { has_failed: true, .. } => "stale and failed",
        Lookup::Failed(_) => "failed",
        Lookup::Nothing => "nothing",
    }
}

#[test]
fn an_answer_is_fresh_then_stale_then_gone() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    assert_eq!(found(&cache, web, START), "nothing");
    cache.insert(answer(web, 60, START), START);
    for (secs, what) in [
        (0, "fresh"),
        (59, "fresh"),
        (60, "stale"),
        (60 + STALE_SECS - 1, "stale"),
        (60 + STALE_SECS, "nothing"),
    ] {
        assert_eq!(found(&cache, web, after(secs)), what, "{secs}");
    }
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.stale, stats.misses), (2, 2, 2));
}

#[test]
fn what_is_asked_often_is_due_once_in_its_last_tenth() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    cache.insert(answer(web, 100, START), START);
    assert_eq!(found(&cache, web, after(95)), "fresh", "nobody has asked for it");
    assert_eq!(found(&cache, web, after(10)), "fresh");
    for (secs, what) in [(89, "fresh"), (90, "due"), (91, "fresh"), (99, "fresh"), (100, "stale")] {
        assert_eq!(found(&cache, web, after(secs)), what, "{secs}");
    }
    cache.insert(answer(web, 100, after(91)), after(91));
    assert_eq!(found(&cache, web, after(185)), "fresh", "a new one is asked for anew");
}

#[test]
fn one_of_many_is_told_that_an_entry_is_due() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    cache.insert(answer(ask(&web, A), 100, START), START);
    let due: usize = std::thread::scope(|scope| {
        let ask_often = || {
            let often = 0..1000;
            often.filter(|_| found(&cache, ask(&web, A), after(95)) == "due").count()
        };
        let threads = [(); 4].map(|()| scope.spawn(ask_often));
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(due, 1);
    assert_eq!(cache.stats().hits, 4000);
}

#[test]
fn a_name_that_is_not_there_has_no_type_and_says_nothing_of_others() {
    let cache = Cache::new(PLENTY);
    let (parent, child) = (name("example."), name("web.example."));
    cache.answered(ask(&parent, A), no_name(ask(&parent, A), 60, START), START);
    assert_eq!(found(&cache, ask(&parent, AAAA), START), "no name");
    assert_eq!(found(&cache, ask(&parent, 0), START), "no name");
    assert_eq!(found(&cache, ask(&child, A), START), "nothing", "no RFC 8020: it may be ours");
    // It comes to be.
    let there = answer(ask(&parent, A), 60, after(1));
    cache.answered(ask(&parent, A), there, after(1));
    assert_eq!(found(&cache, ask(&parent, A), after(1)), "fresh");
    assert_eq!(found(&cache, ask(&parent, AAAA), after(1)), "nothing");
}

#[test]
fn an_old_answer_yields_to_the_news_that_the_name_is_gone() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    cache.answered(web, answer(web, 10, START), START);
    cache.answered(web, no_name(web, 60, after(20)), after(20));
    assert_eq!(found(&cache, web, after(20)), "no name");
    let reader = cache.read();
    let Lookup::Stale { entry, .. } = reader.look_up(web, after(90)) else { panic!("not stale") };
    assert_eq!(entry.head().rcode, 3, "of two that are stale the later one is served");
}

#[test]
fn a_type_without_a_number_is_not_the_absence_of_a_name() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    cache.answered(ask(&web, 0), answer(ask(&web, 0), 60, START), START);
    assert_eq!(found(&cache, ask(&web, A), START), "nothing");
}

#[test]
fn signatures_and_unchecked_answers_are_entries_apart() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let questions = [(false, false), (false, true), (true, false), (true, true)].map(
        |(dnssec_ok, checking_disabled)| Question { dnssec_ok, checking_disabled, ..ask(&web, A) },
    );
    for (count, question) in questions.into_iter().enumerate() {
        assert_eq!(found(&cache, question, START), "nothing");
        cache.answered(question, answer(question, 60, START), START);
        assert_eq!(cache.stats().entries, count + 1);
    }
}

#[test]
fn failures_are_remembered_for_longer_each_time_up_to_half_a_minute() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    let mut now = START;
    for secs in [5, 10, 20, 30, 30] {
        cache.failed(web, 22, now);
        cache.failed(web, 22, now.plus(1)); // another that was under way
        assert_eq!(found(&cache, web, now.plus(secs * SECOND)), "failed", "{secs}");
        now = now.plus(secs * SECOND + 1);
        assert_eq!(found(&cache, web, now), "nothing", "{secs}");
    }
    assert_eq!(found(&cache, ask(&name("web.example."), AAAA), START), "nothing");
    cache.failed(web, 22, now);
    cache.answered(web, answer(web, 0, now), now);
    assert_eq!(
        found(&cache, web, now),
        "nothing",
        "an answer ends it, though it was not to be kept"
    );
    cache.failed(web, 22, now);
    assert_eq!(found(&cache, web, now.plus(5 * SECOND)), "nothing", "and it begins anew");
}

#[test]
fn failures_can_be_forgotten_and_answers_stay() {
    let (cache, web, other) = (Cache::new(PLENTY), name("web.example."), name("other.example."));
    cache.answered(ask(&web, A), answer(ask(&web, A), 60, START), START);
    cache.failed(ask(&other, A), 22, START);
    assert_eq!(cache.forget_failures(), 1);
    assert_eq!(found(&cache, ask(&other, A), START), "nothing");
    assert_eq!(found(&cache, ask(&web, A), START), "fresh");
}

#[test]
fn a_failure_takes_no_answer_away() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    cache.answered(web, answer(web, 60, START), START);
    cache.failed(web, 22, after(55));
    assert_eq!(found(&cache, web, after(56)), "fresh");
    cache.failed(web, 22, after(61));
    assert_eq!(found(&cache, web, after(61)), "stale and failed");
    assert_eq!(found(&cache, web, after(80)), "stale");
}

#[test]
fn no_life_no_entry_and_no_second_life() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    let entry = cache.insert(answer(web, 0, START), START);
    assert_eq!(entry.head().life_secs, 0);
    assert_eq!(found(&cache, web, START), "nothing");
    // Ghost TTL (CVE-2026-40622): a capped TTL, and what is older does not come in again.
    cache.insert(answer(web, u32::MAX, START), START);
    assert_eq!(found(&cache, web, after(86_399)), "fresh");
    assert_eq!(found(&cache, web, after(86_400)), "stale");
    cache.insert(answer(web, 10, after(20)), after(20));
    cache.insert(answer(web, 600, START), after(21));
    assert_eq!(found(&cache, web, after(31)), "stale");
}

#[test]
fn flushing_takes_a_name_or_all_below_it() {
    let cache = Cache::new(PLENTY);
    let names = ["a.example.", "b.a.example.", "xa.example.", "example."].map(name);
    let fill = || {
        for name in &names {
            cache.answered(ask(name, A), answer(ask(name, A), 60, START), START);
            cache.answered(ask(name, AAAA), answer(ask(name, AAAA), 60, START), START);
        }
    };
    for (flushed, subtree, gone) in [
        ("A.example.", false, 2),
        ("a.example.", true, 4),
        ("example.", true, 8),
        (".", true, 8),
        (".", false, 0),
        ("c.example.", true, 0),
    ] {
        fill();
        assert_eq!(cache.flush(&name(flushed), subtree), gone, "{flushed} {subtree}");
        assert_eq!(cache.stats().entries, 8 - gone);
    }
}

#[test]
fn the_bound_holds_and_a_flood_of_names_leaves_what_is_asked_for() {
    let most = 256 << 10;
    let cache = Cache::new(most);
    let popular: Vec<_> = (0..100).map(|n| name(&format!("popular-{n}.example."))).collect();
    for name in &popular {
        cache.answered(ask(name, A), answer(ask(name, A), 3600, START), START);
    }
    for n in 0..20_000 {
        let once = name(&format!("once-{n}.example."));
        cache.answered(ask(&once, A), answer(ask(&once, A), 3600, START), START);
        assert!(cache.stats().octets <= most);
        let often = popular.get(n % popular.len()).unwrap();
        let _ = found(&cache, ask(often, A), after(1));
    }
    let left = popular.iter().filter(|name| found(&cache, ask(name, A), after(1)) == "fresh");
    assert_eq!(left.count(), popular.len());
    let stats = cache.stats();
    assert!(stats.evictions > 19_000 && stats.entries > 300, "{stats:?}");
}

#[test]
fn seats_are_used_again() {
    let (cache, web) = (Cache::new(PLENTY), name("web.example."));
    let web = ask(&web, A);
    for secs in 0..1000 {
        cache.failed(web, 22, after(secs));
        cache.answered(web, answer(web, 60, after(secs)), after(secs));
        if secs % 100 == 0 {
            cache.flush(&name("."), true);
        }
    }
    assert_eq!(cache.stats().entries, 1);
    assert!(cache.seats.lock().seats() < 200);
    consistent(&cache);
}

#[test]
fn one_long_answer_does_not_sweep_the_others_out() {
    let cache = Cache::new(64 << 10);
    let long = name("long.example.");
    let mut draft = Draft::new(ask(&long, 16));
    let rdata: Vec<_> = (0..100_u8).map(|n| [vec![59], vec![n; 59]].concat()).collect();
    let owner = long.wire();
    let (section, rtype) = (Section::Answer, 16);
    draft.add(&RRset { section, owner, rtype, ttl: 60, rdata: &rdata }).unwrap();
    cache.insert(draft.finish(0, false, Scope::Type, START, 60), START);
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn readers_keep_what_they_have_while_writers_replace_it() {
    let cache = Cache::new(64 << 10);
    let names: Vec<_> = (0..200).map(|n| name(&format!("n{n}.example."))).collect();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (cache, names) = (&cache, &names);
            scope.spawn(move || {
                for round in 0..50 {
                    for name in names {
                        let now = after(round);
                        cache.answered(ask(name, A), answer(ask(name, A), 60, now), now);
                    }
                    cache.flush(&name("n7.example."), thread == 0);
                }
            });
        }
        for name in names.iter().cycle().take(20_000) {
            let reader = cache.read();
            if let Lookup::Fresh(entry) | Lookup::Due(entry) = reader.look_up(ask(name, A), START) {
                assert_eq!(entry.name(), name.wire());
            }
        }
    });
    consistent(&cache);
}

/// The map has what the seats have, and the octets are theirs.
fn consistent(cache: &Cache) {
    let seats = cache.seats.lock();
    let map = cache.map.pin();
    let (entries, octets, _) = seats.tally();
    let empty = Cache::new(cache.most_octets).stats().octets;
    assert_eq!(entries, seats.entries().count());
    assert_eq!(entries, map.len());
    assert_eq!(octets, empty + seats.entries().map(|entry| entry.octets()).sum::<usize>());
    for entry in seats.entries() {
        let held = map.get_key_value(&Sought::new(entry.key())).unwrap();
        assert!(Arc::ptr_eq(&held.0.0, entry));
    }
}

#[derive(Debug, Clone)]
enum Op {
    Answer(usize, u32),
    NoName(usize, u32),
    Fail(usize),
    Ask(usize),
    Flush(usize, bool),
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (0..40_usize, 0..100_u32).prop_map(|(name, ttl)| Op::Answer(name, ttl)),
        (0..40_usize, 0..100_u32).prop_map(|(name, ttl)| Op::NoName(name, ttl)),
        (0..40_usize).prop_map(Op::Fail),
        (0..40_usize).prop_map(Op::Ask),
        (0..40_usize, any::<bool>()).prop_map(|(name, subtree)| Op::Flush(name, subtree)),
        (0..100_u64).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever comes: the bound, the books, and no answer past its time or of another name.
    #[test]
    fn the_books_are_right(ops in ops()) {
        let most = 12 << 10;
        let cache = Cache::new(most);
        let names: Vec<_> = (0..40).map(|n| name(&format!("n{n}.example."))).collect();
        let mut now = START;
        for op in ops {
            match op {
                Op::Answer(name, ttl) => {
                    let question = ask(&names[name], A);
                    cache.answered(question, answer(question, ttl, now), now);
                }
                Op::NoName(name, ttl) => {
                    let question = ask(&names[name], A);
                    cache.answered(question, no_name(question, ttl, now), now);
                }
                Op::Fail(name) => {
                    cache.failed(ask(&names[name], A), 22, now);
                }
                Op::Ask(name) => {
                    let reader = cache.read();
                    match reader.look_up(ask(&names[name], A), now) {
                        Lookup::Fresh(entry) | Lookup::Due(entry) | Lookup::Failed(entry) => {
                            prop_assert!(now < entry.ends());
                            prop_assert_eq!(entry.name(), names[name].wire());
                        }
                        Lookup::Stale { entry, .. } => {
                            prop_assert!(now >= entry.ends() && !entry.is_failure());
                            prop_assert_eq!(entry.name(), names[name].wire());
                        }
                        Lookup::Nothing => {}
                    }
                }
                Op::Flush(name, subtree) => {
                    cache.flush(&names[name], subtree);
                }
                Op::Wait(secs) => now = now.plus(secs * SECOND),
            }
            prop_assert!(cache.stats().octets <= most);
        }
        consistent(&cache);
    }
}
