//! Whatever happens, in any order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::Wanted;
use super::{Has, World, hash, info, list};

/// What may happen in a second.
#[derive(Debug, Clone)]
enum Step {
    /// The source has an instance so, or no more.
    Source(usize, Option<&'static str>),
    /// The server loses a copy.
    Lose(usize),
    /// An instance registers itself at the server.
    ComeOver(usize),
    Fail(bool),
    /// The source is asked, or not, for so many seconds.
    Ask(u64),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop::sample::select(vec![Some("UP"), Some("DOWN"), None]);
    let step = prop_oneof![
        4 => (0..6_usize, status).prop_map(|(id, status)| Step::Source(id, status)),
        1 => (0..6_usize).prop_map(Step::Lose),
        1 => (0..6_usize).prop_map(Step::ComeOver),
        1 => any::<bool>().prop_map(Step::Fail),
        4 => (1..10_u64).prop_map(Step::Ask),
        2 => (1..200_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happened: when both have been well for long enough, the server has what the source has, except for what is
    /// there itself.
    #[test]
    fn in_the_end_the_server_has_what_the_source_has(steps in steps()) {
        let ids = ["a", "b", "c", "d", "e", "f"];
        let mut world = World::new();
        let mut source: BTreeMap<&str, Has> = BTreeMap::new();
        let mut changes: BTreeMap<&str, Option<Has>> = BTreeMap::new();
        let mut stamp = 0;
        let ask = |world: &mut World, source: &BTreeMap<&str, Has>, changes: &BTreeMap<&str, Option<Has>>| {
            let whole: Vec<_> = source.iter().map(|(id, has)| info(id, *has, "ADDED")).collect();
            if world.copied.wanted(world.now) == Wanted::Delta {
                let some = changes.iter().map(|(id, has)| match has {
                    Some(has) => info(id, *has, "MODIFIED"),
                    None => info(id, ("UP", 0), "DELETED"),
                });
                let hash = hash(source.values().map(|(status, _)| *status));
                if !world.copied.delta(world.now, list(&some.collect::<Vec<_>>(), Some(&hash))) {
                    return;
                }
            }
            world.copied.full(world.now, list(&whole, None));
        };
        for step in steps {
            match step {
                Step::Source(at, status) => {
                    stamp += 1;
                    let has = status.map(|status| (status, stamp));
                    match has {
                        Some(has) => drop(source.insert(ids[at], has)),
                        None => drop(source.remove(ids[at])),
                    }
                    changes.insert(ids[at], has);
                }
                Step::Lose(at) => drop(world.server.copies.remove(ids[at])),
                Step::ComeOver(at) => world.server.come_over(ids[at]),
                Step::Fail(fails) => world.server.fails = fails,
                Step::Ask(secs) => {
                    ask(&mut world, &source, &changes);
                    world.pass(secs);
                }
                Step::Pass(secs) => world.pass(secs),
            }
        }
        world.server.fails = false;
        for _ in 0..100 {
            ask(&mut world, &source, &changes);
            world.pass(5);
        }
        let expected: Vec<_> = source
            .iter()
            .filter(|(id, _)| !world.server.themselves.contains(**id))
            .map(|(id, (status, _))| (*id, *status))
            .collect();
        prop_assert_eq!(world.server.has(), expected);
        prop_assert!(world.copied.is_settled());
        prop_assert_eq!(world.copied.doubted(), 0);
    }
}
