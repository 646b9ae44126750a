//! For tests of readers: puts things into the view that the roster would put there.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Address, Cell, LeaseTime, Node, Pointers, RRset, Srv, View, wire};
use crate::registry::{Body, Declared, Instance, InstanceId, Label, LeaseTerm, ServiceName, State};

impl View {
    /// Puts a node at a name relative to the zone.
    pub(crate) fn put_node(&self, labels: &[&str], node: Node) {
        self.maps.names.pin().insert(wire::relative(labels), node);
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
        for (cell, port) in &all {
            let label = cell.instance.label.as_str();
            self.put_node(&[label, service], node(&[(cell, *port)], answers, true));
            for (name, port) in &cell.instance.body.ports {
                self.put_node(&["_tcp", service], Node::default());
                let name = format!("_{name}");
                self.put_node(&[&name, "_tcp", service], node(&[(cell, *port)], answers, false));
            }
            for address in &cell.instance.body.addresses {
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
    pub(crate) max_answers: usize,
    pub(crate) held: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Self { ttl_secs: 5, max_answers: 0, held: false }
    }
}

/// A node of these cells and ports.
pub(crate) fn node(cells: &[(&Arc<Cell>, u16)], answers: Answers, addresses: bool) -> Node {
    let Answers { ttl_secs, max_answers, held } = answers;
    let mut v4: Vec<Address<_>> = Vec::new();
    let mut v6: Vec<Address<_>> = Vec::new();
    for (cell, _) in cells {
        let weight = cell.instance.body.weight.into();
        let cells = || [(*cell).clone()].into();
        v4.extend(cell.v4.iter().map(|v4| Address { address: *v4, weight, cells: cells() }));
        v6.extend(cell.v6.iter().map(|v6| Address { address: *v6, weight, cells: cells() }));
    }
    let srv = cells.iter().map(|(cell, port)| Srv { port: *port, cell: (*cell).clone() });
    Node {
        ttl_secs,
        max_answers,
        a: RRset::new(v4, 0, held).filter(|_| addresses),
        aaaa: RRset::new(v6, 0, held).filter(|_| addresses),
        srv: RRset::new(srv.collect(), 0, held),
    }
}

/// A cell of an instance whose id and label are `label`, and whose lease ends at `deadline_ms`.
pub(crate) fn cell(
    service: &str,
    label: &str,
    addresses: &[&str],
    deadline_ms: Option<u64>,
    change: impl FnOnce(&mut Body),
) -> Arc<Cell> {
    let addresses: Box<[IpAddr]> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let mut body = Body::new(addresses[0], 8080, LeaseTerm::Secs(30));
    body.addresses = addresses;
    change(&mut body);
    let instance = Instance {
        service: ServiceName::parse(service).unwrap(),
        id: InstanceId::parse(label).unwrap(),
        label: Label::stored(label).unwrap(),
        body,
        declared: Declared { state: State::Up, reason: Box::default() },
        override_: None,
        registered_unix_ms: 0,
        changed_unix_ms: 0,
        revision: 1,
    };
    Arc::new(Cell::new(Arc::new(instance), deadline_ms.map(LeaseTime::from_millis)))
}
