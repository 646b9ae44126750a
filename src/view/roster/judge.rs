//! The judge: what becomes of leases as time passes. The lease thread calls it at every tick.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::Maps;
use super::super::cell::Cell;
use super::super::draft::Move;
use super::super::lease::LeaseTime;
use super::{HELD_BY_ALL, Place, Roster, Standing, Timed, Timer};
use crate::registry::ServiceName;
use crate::registry::brake::{GLOBAL_HOLD_MS, Lapses, Verdict};

/// A suspect stays listed for this part of its term: one renewal interval.
const RENEWALS_A_TERM: u64 = 3;

impl Roster {
    /// Judges at `now`: lapses, suspects and held instances whose time is up, labels that answered long
    /// enough, the brakes. Gives those whose leases are over: they are off the list, their rows are not gone.
    pub(in crate::view) fn tick(&mut self, maps: &Maps, now: LeaseTime) -> Vec<Arc<Cell>> {
        let mut expired = Vec::new();
        // New lapses first: they may be what braking those whose time is up now depends on.
        self.suspect_lapsed(maps, now);
        self.run_timers(maps, now, &mut expired);
        self.judge_all(maps, now, &mut expired);
        expired
    }

    fn run_timers(&mut self, maps: &Maps, now: LeaseTime, expired: &mut Vec<Arc<Cell>>) {
        while self.timers.peek().is_some_and(|Reverse(Timed(at, ..))| *at <= now) {
            let Some(Reverse(Timed(at, _, timer))) = self.timers.pop() else { return };
            match timer {
                Timer::Standing(place) => self.end_standing(maps, &place, at, now, expired),
                Timer::Linger(cell) => self.end_linger(maps, &cell),
                Timer::Lapse => self.gone_lapses -= 1,
            }
        }
    }

    fn end_standing(
        &mut self,
        maps: &Maps,
        (service, id): &Place,
        at: LeaseTime,
        now: LeaseTime,
        expired: &mut Vec<Arc<Cell>>,
    ) {
        // The timer is an old one if the instance was revived, or its time was moved.
        let Some(member) = self.member(service, id) else { return };
        let Some(lapsed) = member.lapse().filter(|lapsed| lapsed.until == at) else { return };
        let cell = member.cell.clone();
        let held_ms = now.since(lapsed.held_since);
        match lapsed.standing {
            Standing::Live => {}
            Standing::Held if self.brake.holds() && held_ms < GLOBAL_HOLD_MS => {
                self.set_standing(maps, &cell, Standing::Held, HELD_BY_ALL, now);
            }
            Standing::Held => self.expire(maps, &cell, now, expired),
            Standing::Suspect => {
                let term = term_ms(&cell);
                self.expire(maps, &cell, now, expired);
                self.gone_lapses += 1;
                self.set_timer(now.plus(term - term / RENEWALS_A_TERM), Timer::Lapse);
            }
        }
    }

    fn expire(
        &mut self,
        maps: &Maps,
        cell: &Arc<Cell>,
        now: LeaseTime,
        expired: &mut Vec<Arc<Cell>>,
    ) {
        if cell.lease.bury() {
            self.retire(maps, cell, now);
            expired.push(cell.clone());
        }
    }

    fn suspect_lapsed(&mut self, maps: &Maps, now: LeaseTime) {
        let mut services = BTreeSet::new();
        for cell in self.wheel.advance(now) {
            if self.member_of(&cell).is_some() {
                let until = now.plus(term_ms(&cell) / RENEWALS_A_TERM);
                self.set_standing(maps, &cell, Standing::Suspect, until, now);
                services.insert(cell.instance.service.clone());
            }
        }
        for service in services {
            let braked =
                self.services.get(&service).is_some_and(|members| members.lapses.brake_service());
            if braked {
                self.hold_suspects(maps, &service, now, |cell| now.plus(term_ms(cell)));
            }
            if self.brake.holds() {
                self.hold_suspects(maps, &service, now, |_| HELD_BY_ALL);
            }
        }
    }

    fn hold_suspects(
        &mut self,
        maps: &Maps,
        service: &ServiceName,
        now: LeaseTime,
        until: impl Fn(&Cell) -> LeaseTime,
    ) {
        let Some(members) = self.services.get(service) else { return };
        let suspects = members.by_id.iter().filter(|member| member.standing() == Standing::Suspect);
        let suspects: Vec<_> = suspects.map(|member| member.cell.clone()).collect();
        for cell in suspects {
            let until = until(&cell);
            self.set_standing(maps, &cell, Standing::Held, until, now);
        }
    }

    /// The brake over all services.
    fn judge_all(&mut self, maps: &Maps, now: LeaseTime, expired: &mut Vec<Arc<Cell>>) {
        let Lapses { live, lapsed } = self.tally.lapses;
        let lapses = Lapses { live, lapsed: lapsed + self.gone_lapses };
        let held =
            self.tally.instances.iter().map(|standings| standings[Standing::Held as usize]).sum();
        match self.brake.tick(now.millis(), lapses, held) {
            Verdict::Keep => {}
            Verdict::Hold => {
                let services: Vec<_> = self.services.keys().cloned().collect();
                for service in services {
                    self.hold_suspects(maps, &service, now, |_| HELD_BY_ALL);
                }
            }
            Verdict::End => {
                for place in std::mem::take(&mut self.held_by_all) {
                    if let Some(cell) = self.held_by_all(&place) {
                        self.set_standing(
                            maps,
                            &cell,
                            Standing::Held,
                            now.plus(term_ms(&cell)),
                            now,
                        );
                    }
                }
            }
            Verdict::LetGo(count) => {
                let mut left = count;
                while left > 0
                    && let Some(place) = self.held_by_all.pop_front()
                {
                    if let Some(cell) = self.held_by_all(&place) {
                        self.expire(maps, &cell, now, expired);
                        left -= 1;
                    }
                }
            }
        }
    }

    /// The cell of an instance that the global brake holds.
    fn held_by_all(&self, (service, id): &Place) -> Option<Arc<Cell>> {
        let member = self.member(service, id)?;
        let lapsed = member.lapse()?;
        let held = lapsed.standing == Standing::Held && lapsed.until == HELD_BY_ALL;
        held.then(|| member.cell.clone())
    }

    fn end_linger(&mut self, maps: &Maps, cell: &Arc<Cell>) {
        let instance = &cell.instance;
        let Some(members) = self.services.get_mut(&instance.service) else { return };
        if members
            .lingering
            .get(&instance.label)
            .is_some_and(|lingering| Arc::ptr_eq(lingering, cell))
        {
            members.lingering.remove(&instance.label);
            if members.by_id.is_empty() && members.lingering.is_empty() {
                self.services.remove(&instance.service);
            }
            self.withdraw_label(maps, cell);
            self.leave_addresses(cell);
            self.want_service(maps, &instance.service, Move::Out);
        }
    }
}

fn term_ms(cell: &Cell) -> u64 {
    cell.instance.body.lease.millis().unwrap_or(0)
}
