//! Model checks of the lease word: the file of the server itself, on loom's atomics, in every order that the
//! memory model allows. `cargo test -p rollcall-loom --release`

#[path = "../../../src/view/lease.rs"]
pub mod lease;

/// What `lease.rs` takes its atomics from.
pub mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

#[cfg(test)]
mod tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use crate::lease::{Judgement, Lease, LeaseTime, Renewal, renew_listed};

    /// With more than three switches of threads at unfortunate moments the orders are too many to try; nearly
    /// every such fault shows with two.
    fn model(check: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(check);
    }

    fn at(ms: u64) -> LeaseTime {
        LeaseTime::from_millis(ms)
    }

    /// What is listed under one name, and the lock that the roster is behind.
    struct Listing {
        listed: Mutex<Option<Arc<Lease>>>,
        roster: Mutex<()>,
    }

    impl Listing {
        fn new(deadline: u64) -> Arc<Self> {
            let lease = Arc::new(Lease::new(Some(at(deadline))));
            Arc::new(Self { listed: Mutex::new(Some(lease)), roster: Mutex::new(()) })
        }

        fn find(&self) -> Option<Arc<Lease>> {
            self.listed.lock().unwrap().clone()
        }

        fn renew(&self, to: u64) -> bool {
            let revive = |lease: &Arc<Lease>| {
                let _roster = self.roster.lock().unwrap();
                lease.revive(at(to))
            };
            renew_listed(|| self.find(), |l| l, Arc::ptr_eq, |_| at(to), revive).is_some()
        }

        /// As the roster does it: successor first, then the end of the old one, then its last deadline.
        fn register_again(&self, deadline: u64) {
            let _roster = self.roster.lock().unwrap();
            let new = Arc::new(Lease::new(Some(at(deadline))));
            let old = self.listed.lock().unwrap().replace(new.clone());
            if let Some(renewed) = old.and_then(|old| old.kill()) {
                new.renew(renewed);
            }
        }

        fn deregister(&self) {
            let _roster = self.roster.lock().unwrap();
            if let Some(lease) = self.find() {
                lease.kill();
            }
            *self.listed.lock().unwrap() = None;
        }

        /// The judge at `now`, and again when a suspect's time is up: true if the lease ended.
        fn lapse_and_bury(&self, now: u64) -> bool {
            let Some(lease) = self.find() else { return false };
            {
                let _roster = self.roster.lock().unwrap();
                if lease.lapse(at(now)) != Judgement::Lapsed {
                    return false;
                }
            }
            let _roster = self.roster.lock().unwrap();
            lease.bury()
        }
    }

    #[test]
    fn a_renewal_and_a_lapse_never_both_happen() {
        model(|| {
            let lease = Arc::new(Lease::new(Some(at(10))));
            let renewing = {
                let lease = lease.clone();
                thread::spawn(move || lease.renew(at(20)))
            };
            let judged = lease.lapse(at(10));
            match renewing.join().unwrap() {
                Renewal::Renewed(until) => {
                    assert_eq!(until, Some(at(20)));
                    assert_eq!(judged, Judgement::LiveUntil(at(20)));
                }
                Renewal::Lapsed => assert_eq!(judged, Judgement::Lapsed),
                Renewal::Dead => panic!("nobody killed it"),
            }
        });
    }

    #[test]
    fn of_two_renewals_the_later_deadline_stays() {
        model(|| {
            let lease = Arc::new(Lease::new(Some(at(10))));
            let renewing = {
                let lease = lease.clone();
                thread::spawn(move || lease.renew(at(30)))
            };
            lease.renew(at(20));
            renewing.join().unwrap();
            assert_eq!(lease.deadline(), Some(at(30)));
        });
    }

    #[test]
    fn an_acknowledged_renewal_is_not_followed_by_the_end_at_the_old_deadline() {
        model(|| {
            let listing = Listing::new(10);
            let renewing = {
                let listing = listing.clone();
                thread::spawn(move || listing.renew(20))
            };
            let ended = listing.lapse_and_bury(10);
            let renewed = renewing.join().unwrap();
            assert_ne!(renewed, ended, "renewed or ended, one of them");
            let lease = listing.find().unwrap();
            assert_eq!(lease.is_dead(), ended);
            if renewed {
                assert_eq!(lease.lapse(at(19)), Judgement::LiveUntil(at(20)));
            }
        });
    }

    #[test]
    fn two_renewals_of_a_suspect_are_both_acknowledged() {
        model(|| {
            let listing = Listing::new(10);
            assert_eq!(listing.find().unwrap().lapse(at(10)), Judgement::Lapsed);
            let renewing = {
                let listing = listing.clone();
                thread::spawn(move || listing.renew(20))
            };
            assert!(listing.renew(20));
            assert!(renewing.join().unwrap());
        });
    }

    #[test]
    fn a_renewal_survives_a_registration_in_its_place() {
        model(|| {
            let listing = Listing::new(10);
            let renewing = {
                let listing = listing.clone();
                thread::spawn(move || listing.renew(30))
            };
            listing.register_again(25);
            assert!(renewing.join().unwrap(), "it was listed all the time");
            assert_eq!(listing.find().unwrap().deadline(), Some(at(30)));
        });
    }

    #[test]
    fn a_renewal_an_end_and_a_new_registration() {
        model(|| {
            let listing = Listing::new(10);
            let renewing = {
                let listing = listing.clone();
                thread::spawn(move || listing.renew(30))
            };
            let judging = {
                let listing = listing.clone();
                thread::spawn(move || listing.lapse_and_bury(10))
            };
            listing.register_again(25);
            let renewed = renewing.join().unwrap();
            judging.join().unwrap();
            let lease = listing.find().unwrap();
            let deadline = lease.deadline().unwrap();
            assert!(!lease.is_dead() && deadline >= at(25), "the new registration stands");
            assert!(!renewed || deadline == at(30) || deadline == at(25));
        });
    }

    #[test]
    fn nothing_deregistered_comes_back() {
        model(|| {
            let listing = Listing::new(10);
            let lease = listing.find().unwrap();
            let renewing = {
                let listing = listing.clone();
                thread::spawn(move || listing.renew(30))
            };
            let judging = {
                let listing = listing.clone();
                thread::spawn(move || listing.lapse_and_bury(10))
            };
            listing.deregister();
            renewing.join().unwrap();
            judging.join().unwrap();
            assert!(lease.is_dead());
            assert!(listing.find().is_none());
            assert!(!listing.renew(40));
        });
    }
}
