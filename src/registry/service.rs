//! One service's instances, with the names that they take in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::MAX_INSTANCES_A_SERVICE;
use super::command::Refusal;
use super::instance::{Body, Instance};
use super::names::{InstanceId, Label};

/// The instances of one service. Their labels and the labels of their tags share one level of names, so no
/// label may be both.
#[derive(Debug, Default)]
pub(super) struct Service {
    instances: BTreeMap<InstanceId, Arc<Instance>>,
    labels: HashMap<Label, InstanceId>,
    /// How many instances have a tag or version of this label.
    tag_labels: HashMap<Box<str>, usize>,
}

impl Service {
    pub(super) fn get(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.instances.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.instances.values()
    }

    pub(super) fn last(&self) -> Option<&Instance> {
        self.instances.last_key_value().map(|(_, instance)| &**instance)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// The label with which `id` and `body` can be listed, beside all the others.
    pub(super) fn label_for(&self, id: &InstanceId, body: &Body) -> Result<Label, Refusal> {
        let before = self.instances.get(id);
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
        for tag in body.version.iter().chain(&*body.tags) {
            let Some(tag_label) = tag.label() else { continue };
            if *tag_label == *label.as_str() {
                return Err(Refusal::TagIsLabel { tag: tag.clone(), holder: id.clone() });
            }
            if let Some(holder) = self.labels.get(&*tag_label) {
                return Err(Refusal::TagIsLabel { tag: tag.clone(), holder: holder.clone() });
            }
        }
        Ok(label)
    }

    fn free_label(&self, id: &InstanceId) -> Result<Label, Refusal> {
        for label in Label::candidates(id) {
            if self.tag_labels.contains_key(label.as_str()) {
                return Err(Refusal::LabelIsTag { label });
            }
            if !self.labels.contains_key(&label) {
                return Ok(label);
            }
        }
        // Eight hashes of 32 bits taken by others: nobody gets here who does not search for it.
        Err(Refusal::Full { what: "labels like it", most: 8 })
    }

    pub(super) fn insert(&mut self, instance: Arc<Instance>) {
        for label in instance.body.tag_labels() {
            *self.tag_labels.entry(label).or_default() += 1;
        }
        self.labels.insert(instance.label.clone(), instance.id.clone());
        self.instances.insert(instance.id.clone(), instance);
    }

    pub(super) fn remove(&mut self, instance: &Instance) {
        self.instances.remove(&instance.id);
        self.labels.remove(&instance.label);
        for label in instance.body.tag_labels() {
            if let Some(count) = self.tag_labels.get_mut(&label) {
                *count -= 1;
                if *count == 0 {
                    self.tag_labels.remove(&label);
                }
            }
        }
    }
}
