//! One service's instances, with the names that they take in it.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::command::Refusal;
use super::instance::{Body, Instance};
use super::names::{InstanceId, Label, Tag, tag_label};
use super::{Hashing, MAX_INSTANCES_A_SERVICE, Owner};

/// The instances of one service. Their labels and the labels of their tags share one level of names, so no
/// label may be both.
#[derive(Debug, Default)]
pub(super) struct Service {
    /// Whose its name is.
    pub(super) owner: Owner,
    instances: BTreeSet<ById>,
    /// Who has which label, where that is not the id.
    labels: BTreeMap<Label, InstanceId>,
    /// How many instances have a tag or version of this label.
    tag_labels: HashMap<Box<str>, u32, Hashing>,
}

/// An instance in the order of ids.
#[derive(Debug)]
struct ById(Arc<Instance>);

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        self.0.id.as_str()
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl PartialOrd for ById {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ById {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.id.cmp(&other.0.id)
    }
}

impl Service {
    pub(super) fn get(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.instances.get(id.as_str()).map(|listed| &listed.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.iter().map(|listed| &listed.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The label with which `id` and `body` can be listed, beside all the others.
    pub(super) fn label_for(&self, id: &InstanceId, body: &Body) -> Result<Label, Refusal> {
        let before = self.get(id);
        if before.is_none() && self.instances.len() >= MAX_INSTANCES_A_SERVICE {
            return Err(Refusal::Full {
                what: "instances in the service",
                most: MAX_INSTANCES_A_SERVICE,
            });
        }
        let label = match before {
            Some(before) => before.label.clone(),
            None => self.free_label(id)?,
        };
        for tag in body.tags_and_version() {
            let Some(tag_label) = tag_label(tag) else { continue };
            let holder =
                if tag_label == label.as_str() { Some(id) } else { self.holder(&tag_label) };
            if let Some(holder) = holder {
                return Err(Refusal::TagIsLabel { tag: Tag::of(tag), holder: holder.clone() });
            }
        }
        Ok(label)
    }

    /// The instance that has a label.
    fn holder(&self, label: &str) -> Option<&InstanceId> {
        let of_that_id = self.instances.get(label).map(|listed| &*listed.0);
        match of_that_id.filter(|instance| instance.label.as_str() == label) {
            Some(instance) => Some(&instance.id),
            None => self.labels.get(label),
        }
    }

    fn free_label(&self, id: &InstanceId) -> Result<Label, Refusal> {
        for label in Label::candidates(id) {
            if self.tag_labels.contains_key(label.as_str()) {
                return Err(Refusal::LabelIsTag { label });
            }
            if self.holder(label.as_str()).is_none() {
                return Ok(label);
            }
        }
        // Eight hashes of 32 bits taken by others: nobody gets here who does not search for it.
        Err(Refusal::Full { what: "labels like it", most: 8 })
    }

    pub(super) fn insert(&mut self, instance: Arc<Instance>) {
        for label in instance.body.tag_labels() {
            match self.tag_labels.get_mut(&*label) {
                Some(count) => *count += 1,
                None => drop(self.tag_labels.insert(label.into(), 1)),
            }
        }
        if !instance.has_id_as_label() {
            self.labels.insert(instance.label.clone(), instance.id.clone());
        }
        self.instances.replace(ById(instance));
    }

    pub(super) fn remove(&mut self, instance: &Instance) {
        self.instances.remove(instance.id.as_str());
        if !instance.has_id_as_label() {
            self.labels.remove(&instance.label);
        }
        for label in instance.body.tag_labels() {
            if let Some(count) = self.tag_labels.get_mut(&*label) {
                *count -= 1;
                if *count == 0 {
                    self.tag_labels.remove(&*label);
                }
            }
        }
    }
}
