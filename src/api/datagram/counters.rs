//! What the door counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::net::udp;

macro_rules! counters {
    ($($name:ident: $help:literal),+ $(,)?) => {
        /// How many datagrams came, and what became of them: all but the first add up to it, but for those that wait
        /// for the registrar, or that were lost to a defect.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: Counter,)+
        }

        impl Counters {
            /// Each counter's name, what it counts, and its value.
            pub(super) fn figures(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((concat!("datagrams_", stringify!($name)), $help, self.$name.get()),)+]
            }
        }
    };
}

counters! {
    received: "Registration datagrams received",
    too_long: "Datagrams dropped: longer than 1,200 octets",
    not_a_line: "Datagrams dropped: not a line of printable ASCII that begins with RC1",
    unsigned_refused: "Datagrams dropped: unsigned, and not from loopback or while tokens or certificates are known",
    replies_received: "Datagrams dropped: replies, not requests",
    unknown_key: "Datagrams dropped: no key, or one that is not known or has ended",
    bad_mac: "Datagrams dropped: no mac, or a wrong one",
    bad_time: "Datagrams told BADTIME: more than 30 s off, or from before the start",
    repeated: "Datagrams that were told again what they were told before",
    pending: "Datagrams dropped: repeated while the first was being carried out",
    out_of_sequence: "Datagrams dropped: sequence used or too old, or overtaken",
    no_room: "Datagrams dropped: too many instances that datagrams speak of",
    not_now: "Datagrams dropped: the store refused, or the registry was still being loaded",
    invalid: "Datagrams told INVALID",
    denied: "Datagrams told DENIED",
    unknown: "Datagrams told UNKNOWN",
    renewed: "Renewals by datagram",
    registered: "Registrations by datagram",
    drained: "Drains by datagram",
    deregistered: "Deregistrations by datagram",
}

/// What the threads count: replies, and what went wrong around the datagrams counted above.
pub(super) fn traffic(counters: &udp::Counters) -> [(&'static str, &'static str, u64); 5] {
    let udp::Counters { sent, unsent, receive_errors, panics, lost, .. } = counters;
    [
        ("datagrams_answered", "Replies of the datagram door sent", sent),
        ("datagrams_unsent", "Replies of the datagram door that the kernel did not take", unsent),
        (
            "datagrams_receive_errors",
            "Receive calls of the datagram door that failed",
            receive_errors,
        ),
        ("datagrams_panics", "Batches of datagrams lost to a defect", panics),
        ("datagrams_lost", "Datagrams in batches lost to a defect", lost),
    ]
    .map(|(name, help, count)| (name, help, count.load(Ordering::Relaxed)))
}

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
