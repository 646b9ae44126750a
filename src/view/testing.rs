//! For tests of readers: puts things into the view that the roster would put there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::draft::{Draft, Move, Part};
use super::key::Key;
use super::made::Made;
use super::roster::AnswerSettings;
use super::{Cell, Labelled, LeaseTime, Node, Pointers, View};
use crate::registry::{
    Addresses, Body, Declared, Instance, InstanceId, Label, LeaseTerm, ServiceName, State,
};

impl View {
    /// Puts a node at a name relative to the zone.
    pub(crate) fn put_node(&self, labels: &[&str], node: Node) {
        self.maps.names.pin().insert(Key::of(labels), node);
    }

    /// Puts the instances of an address.
    pub(crate) fn put_pointers(&self, address: IpAddr, pointers: Pointers) {
        self.maps.addresses.pin().insert(address, pointers);
    }

    /// Sets the serial, and whether the registry is loaded.
    pub(crate) fn put_state(&self, serial: u32, loaded: bool) {
        self.serial.store(serial, Ordering::Relaxed);
        self.loaded.store(loaded, Ordering::Release);
    }

    /// Publishes a service of these cells at all its names, reverse ones included.
    pub(crate) fn put_service(&self, service: &str, cells: &[Arc<Cell>], answers: Answers) {
        let all: Vec<_> = cells.iter().map(|cell| (cell, cell.instance.body.port)).collect();
        self.put_node(&[service], node(&all, answers, true));
        self.put_node(&["_tcp"], Node::default());
        self.put_node(&[&format!("_{service}"), "_tcp"], node(&all, answers, false));
        for (cell, _) in &all {
            let label = cell.instance.label.as_str();
            let labelled = Labelled {
                cell: (*cell).clone(),
                settings: answers.settings(),
                held: answers.held,
                has_id: cell.instance.has_id_as_label(),
            };
            self.maps.labels.pin().insert(Key::of(&[label, service]), labelled);
            for (name, port) in &cell.instance.body.ports {
                self.put_node(&["_tcp", service], Node::default());
                let name = format!("_{name}");
                self.put_node(&[&name, "_tcp", service], node(&[(cell, *port)], answers, false));
            }
            for address in cell.instance.body.addresses.iter() {
                let pointers = Pointers::new(answers.ttl_secs, [(*cell).clone()].into(), 0);
                self.put_pointers(*address, pointers);
            }
        }
    }
}

/// How a service answers.
#[derive(Clone, Copy)]
pub(crate) struct Answers {
    pub(crate) ttl_secs: u32,
    pub(crate) max_answers: u32,
    pub(crate) held: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self { ttl_secs: 5, max_answers: 0, held: false }
    }
}

impl Answers {
    fn settings(self) -> AnswerSettings {
        AnswerSettings { ttl_secs: self.ttl_secs, max_answers: self.max_answers }
    }
}

/// A node of these cells and ports.
pub(crate) fn node(cells: &[(&Arc<Cell>, u16)], answers: Answers, addresses: bool) -> Node {
    let mut draft = Draft::of(None, HashMap::new());
    draft.want(Move::In);
    for (cell, port) in cells {
        draft.answer(Part { cell, port: *port, addresses }, Move::In);
        if answers.held {
            draft.hold(Move::In);
        }
    }
    draft.close(answers.settings(), None, &mut Made::default()).0.unwrap()
}

/// A cell of an instance whose id and label are `label`, and whose lease ends at `deadline_ms`.
pub(crate) fn cell(
    service: &str,
    label: &str,
    addresses: &[&str],
    deadline_ms: Option<u64>,
    change: impl FnOnce(&mut Body),
) -> Arc<Cell> {
    let addresses: Addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let mut body = Body::new(addresses[0], 8080, LeaseTerm::Secs(30));
    body.addresses = addresses;
    change(&mut body);
    let id = InstanceId::parse(label).unwrap();
    let instance = Instance {
        service: ServiceName::parse(service).unwrap(),
        id: id.clone(),
        label: Label::stored(&id, label).unwrap(),
        body,
        declared: Declared { state: State::Up, reason: "".into() },
        override_: None,
        owner: crate::registry::Owner::NOBODY,
        registered_unix_ms: 0,
        changed_unix_ms: 0,
        revision: 1,
    };
    Arc::new(Cell::new(Arc::new(instance), deadline_ms.map(LeaseTime::from_millis)))
}
