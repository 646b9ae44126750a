//! The replay table against its rules.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_700_000_000_000;

static SEEDS: LazyLock<Seeds> = LazyLock::new(Seeds::default);

fn place(boot: u128, seq: u64) -> Place {
    Place { slot: SEEDS.slot("k", "web", "web-1"), boot, seq, mark: 7 }
}

/// Sequences of one boot, sent at one time as renewals, and which of them are accepted.
fn accepted(sequences: &[u64]) -> Vec<bool> {
    let senders = Senders::new();
    let enter = |seq: &u64| senders.enter(&place(1, *seq), NOW, Verb::Renew, NOW);
    sequences.iter().map(|seq| enter(seq) == Entry::Accepted).collect()
}

#[test]
fn a_sequence_is_accepted_once_within_the_window() {
    for (sequences, expected) in [
        (&[0, 0][..], &[true, false][..]),
        (&[5, 3, 4, 3, 5], &[true, true, true, false, false]),
        (&[100, 37, 36, 37], &[true, true, false, false]),
        (&[1, 65, 1, 2], &[true, true, false, true]),
        (&[64, 1, 0, 1], &[true, true, false, false]),
        (&[7, u64::MAX, u64::MAX - 63, u64::MAX - 64, 8], &[true, true, true, false, false]),
        (&[1 << 40, 1, 1 << 40], &[true, false, false]),
    ] {
        assert_eq!(accepted(sequences), expected, "{sequences:?}");
    }
}

#[test]
fn the_same_datagram_is_told_the_same() {
    let senders = Senders::new();
    let enter = |place: &Place| senders.enter(place, NOW, Verb::Renew, NOW);
    let told = Reply::Invalid("lease".into());
    for seq in 0..9 {
        assert_eq!(enter(&place(1, seq)), Entry::Accepted);
        assert_eq!(enter(&place(1, seq)), Entry::Pending);
        senders.settle(&place(1, seq), &told);
        assert_eq!(enter(&place(1, seq)), Entry::Repeated(told.clone()));
    }
    assert_eq!(enter(&Place { mark: 8, ..place(1, 5) }), Entry::Refused);
    assert_eq!(enter(&place(1, 1)), Entry::Repeated(told));
    // The ninth from the end is known to have been accepted, its reply no longer.
    assert_eq!(enter(&place(1, 0)), Entry::Refused);
}

#[test]
fn what_could_not_be_done_may_be_tried_again() {
    let senders = Senders::new();
    let enter = |seq| senders.enter(&place(1, seq), NOW, Verb::Register, NOW);
    for seq in [7, 5] {
        assert_eq!(enter(seq), Entry::Accepted);
        senders.forget(&place(1, seq));
        assert_eq!(enter(seq), Entry::Accepted, "{seq}");
        senders.settle(&place(1, seq), &Reply::Unknown);
        senders.forget(&place(1, seq));
        assert_eq!(enter(seq), Entry::Repeated(Reply::Unknown), "settled is settled");
    }
    // The one that is forgotten belongs to a boot that is over.
    assert_eq!(enter(8), Entry::Accepted);
    assert_eq!(senders.enter(&place(2, 8), NOW + 1, Verb::Renew, NOW), Entry::Accepted);
    senders.forget(&place(1, 8));
    senders.settle(&place(1, 8), &Reply::Unknown);
    assert_eq!(senders.enter(&place(2, 8), NOW + 1, Verb::Renew, NOW), Entry::Pending);
}

#[test]
fn a_new_boot_id_comes_with_a_later_time() {
    let senders = Senders::new();
    let enter = |boot, seq, time| senders.enter(&place(boot, seq), time, Verb::Renew, NOW);
    assert_eq!(enter(1, 900, NOW), Entry::Accepted);
    assert_eq!(enter(1, 901, NOW - 5), Entry::Accepted);
    assert_eq!(enter(2, 1, NOW - 1), Entry::Overtaken);
    assert_eq!(enter(2, 1, NOW), Entry::Overtaken);
    assert_eq!(enter(2, 1, NOW + 1), Entry::Accepted);
    assert_eq!(enter(2, 2, NOW - 9), Entry::Accepted);
    // What the first boot sent does not come back, and a boot that comes back starts afresh.
    assert_eq!(enter(1, 902, NOW + 1), Entry::Overtaken);
    assert_eq!(enter(1, 900, NOW + 2), Entry::Accepted);
}

#[test]
fn what_was_ended_is_not_registered_by_an_older_datagram() {
    let senders = Senders::new();
    let enter = |seq, verb| senders.enter(&place(1, seq), NOW, verb, NOW);
    assert_eq!(enter(10, Verb::Deregister), Entry::Accepted);
    assert_eq!(enter(9, Verb::Register), Entry::Refused);
    assert_eq!(enter(8, Verb::Renew), Entry::Accepted);
    assert_eq!(enter(7, Verb::Drain), Entry::Accepted);
    assert_eq!(enter(6, Verb::Register), Entry::Refused);
    assert_eq!(enter(11, Verb::Register), Entry::Accepted);
    assert_eq!(senders.enter(&place(2, 1), NOW + 1, Verb::Register, NOW), Entry::Accepted);
}

#[test]
fn entries_live_a_minute_and_are_bounded() {
    let senders = Senders::new();
    let instance = |n: u32| Place { slot: SEEDS.slot("k", "web", &n.to_string()), ..place(1, 1) };
    let mut full = 0;
    let bound = MAX_SENDERS / SHARDS;
    for n in 0..8192 {
        // All in one of the shards.
        let place = instance(n);
        let place = Place { slot: Slot([9, place.slot.0[1]]), ..place };
        full += usize::from(senders.enter(&place, NOW, Verb::Renew, NOW) == Entry::Full);
    }
    assert_eq!((senders.len(), full), (bound, 8192 - bound));
    let other = Place { slot: Slot([9; 2]), ..place(1, 1) };
    let before = NOW + KEEP_MS - 1;
    assert_eq!(senders.enter(&other, before, Verb::Renew, before), Entry::Full);
    // A sweep has just been made; the next one finds them all over.
    let later = before + SWEEP_MS;
    assert_eq!(senders.enter(&other, later, Verb::Renew, later), Entry::Accepted);
    assert_eq!(senders.len(), 1);
    // A clock that was set back does not keep a shard from being swept.
    let back = NOW - 86_400_000;
    assert_eq!(senders.enter(&instance(1), back, Verb::Renew, back), Entry::Accepted);
}

#[test]
fn an_entry_lives_as_long_as_its_datagram_passes_for_timely() {
    // Stamped as far ahead as it may be, and repeated at the last moment at which the time check lets it through.
    let senders = Senders::new();
    let enter = |now| senders.enter(&place(1, 1), NOW + TIME_WINDOW_MS, Verb::Renew, now);
    assert_eq!(enter(NOW), Entry::Accepted);
    assert_eq!(enter(NOW + 2 * TIME_WINDOW_MS), Entry::Pending);
}

#[test]
fn an_entry_is_as_small_as_the_bound_says() {
    assert!(size_of::<(Slot, Sender)>() <= 352, "{}", size_of::<(Slot, Sender)>());
}

proptest! {
    /// Against a list of everything accepted: nothing twice, and everything new within the window.
    #[test]
    fn the_bitmap_is_a_set(steps in prop::collection::vec(0_u64..90, 1..200)) {
        let (mut base, mut seen) = (0, std::collections::HashSet::new());
        let mut sequences = Vec::new();
        for step in steps {
            base += step / 30;
            sequences.push(base + step);
        }
        let mut highest = 0;
        for (seq, accepted) in sequences.iter().zip(accepted(&sequences)) {
            highest = highest.max(*seq);
            let expected = highest - seq < 64 && !seen.contains(seq);
            prop_assert_eq!(accepted, expected, "{} below {}", seq, highest);
            if accepted { seen.insert(*seq); }
        }
    }
}
