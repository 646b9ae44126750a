//! Which group of upstreams a name belongs to: the longest zone that has a rule wins, by whole labels, so that
//! `evilcorp.example.` is never taken for a name in `corp.example.`.

use std::collections::HashMap;

use crate::view::wire::Name;

/// Zones and their groups.
#[derive(Debug, Clone)]
pub struct Rules<G> {
    by_zone: HashMap<Box<[u8]>, G>,
}

impl<G> Default for Rules<G> {
    fn default() -> Self {
        Self { by_zone: HashMap::new() }
    }
}

impl<G> Rules<G> {
    /// Has the names in `zone`, its own included, belong to `group`; `.` is the default. Gives back the group that had
    /// the zone before.
    pub fn set(&mut self, zone: &Name, group: G) -> Option<G> {
        self.by_zone.insert(zone.wire().into(), group)
    }

    /// The group that `name` belongs to. It looks once for each label of the name, however many rules there are.
    pub fn find(&self, name: &Name) -> Option<&G> {
        (0..=name.labels()).rev().find_map(|labels| self.by_zone.get(name.suffix(labels)))
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = &G> {
        self.by_zone.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::wire;

    fn name(text: &str) -> Name {
        Name::read(&wire::parse(text, b"\0").unwrap()).unwrap()
    }

    #[test]
    fn the_longest_zone_wins_by_whole_labels() {
        let mut rules = Rules::default();
        for (zone, group) in [("Corp.example.", "corp"), ("a.corp.example.", "a"), (".", "all")] {
            assert_eq!(rules.set(&name(zone), group), None);
        }
        for (asked, group) in [
            ("corp.example.", "corp"),
            ("www.CORP.example.", "corp"),
            ("x.y.a.corp.example.", "a"),
            ("ba.corp.example.", "corp"),
            ("evilcorp.example.", "all"),
            (r"x\.corp.example.", "all"),
            ("example.", "all"),
            (".", "all"),
        ] {
            assert_eq!(rules.find(&name(asked)), Some(&group), "{asked}");
        }
        assert_eq!(rules.set(&name("."), "others"), Some("all"));
        assert_eq!(rules.groups().count(), 3);
    }

    #[test]
    fn without_a_default_a_name_may_belong_to_none() {
        let mut rules = Rules::default();
        rules.set(&name("corp.example."), ());
        assert_eq!(rules.find(&name("example.")), None);
        assert_eq!(rules.find(&name("corp.")), None);
    }
}
