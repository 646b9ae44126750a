//! What can be asked of the registry, and what comes of it.

use std::fmt;
use std::sync::Arc;

use super::Owner;
use super::claims::ClaimChange;
use super::instance::{Body, Declared, Instance, Override, State};
use super::names::{InstanceId, Label, ServiceName, Tag};

/// A change that a door asks for; valid by construction.
#[derive(Debug, Clone)]
pub enum Command {
    /// List an instance, or change what is listed of it; an identical registration is a renewal.
    Register {
        /// The service.
        service: ServiceName,
        /// The instance.
        id: InstanceId,
        /// What is registered.
        body: Box<Body>,
        /// The owner's state; `None` leaves it as it was (`up` for a new one), and the same state without a reason leaves
        /// the reason.
        declared: Option<Declared>,
        /// What it rests on.
        basis: Basis,
    },
    /// The owner declares a state.
    Declare {
        /// The service.
        service: ServiceName,
        /// The instance.
        id: InstanceId,
        /// The state and why.
        declared: Declared,
    },
    /// An operator sets a state above the owner's, or (`None`) ends that.
    Override {
        /// The service.
        service: ServiceName,
        /// The instance.
        id: InstanceId,
        /// The state, why, and for how long.
        override_: Option<Override>,
    },
    /// Take an instance off the list.
    Deregister {
        /// The service.
        service: ServiceName,
        /// The instance.
        id: InstanceId,
    },
    /// Take all instances of a service off the list.
    DeregisterService {
        /// The service.
        service: ServiceName,
    },
}

/// What a registration rests on: one that was made of what is listed must not undo what has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// On nothing: it says everything.
    Nothing,
    /// On the instance as it was listed with this revision; `None`: on its not being listed.
    Listed(Option<u64>),
}

impl Command {
    /// A registration that says everything.
    pub fn register(
        service: ServiceName,
        id: InstanceId,
        body: Body,
        state: Option<State>,
    ) -> Self {
        let declared = state.map(Declared::from);
        Self::Register { service, id, body: Box::new(body), declared, basis: Basis::Nothing }
    }

    /// The service that it is about.
    pub fn service(&self) -> &ServiceName {
        match self {
            Self::Register { service, .. }
            | Self::Declare { service, .. }
            | Self::Override { service, .. }
            | Self::Deregister { service, .. }
            | Self::DeregisterService { service } => service,
        }
    }

    /// The instance that it is about; `None`: all of the service.
    pub fn id(&self) -> Option<&InstanceId> {
        match self {
            Self::Register { id, .. }
            | Self::Declare { id, .. }
            | Self::Override { id, .. }
            | Self::Deregister { id, .. } => Some(id),
            Self::DeregisterService { .. } => None,
        }
    }

    /// What it is called where people read it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Declare { .. } => "declare",
            Self::Override { override_: Some(_), .. } => "override",
            Self::Override { override_: None, .. } => "end-override",
            Self::Deregister { .. } => "deregister",
            Self::DeregisterService { .. } => "deregister-service",
        }
    }
}

/// One instance before and after a change: what undo, the store, the view and watchers are told.
#[derive(Debug, Clone)]
pub struct Change {
    /// The instance as it was; `None` if it was not listed.
    pub before: Option<Arc<Instance>>,
    /// The instance as it is; `None` if it is no longer listed.
    pub after: Option<Arc<Instance>>,
    /// The registry's revision with this change.
    pub revision: u64,
    /// What becomes of the claim to the service's name, if anything does.
    pub claim: Option<Box<ClaimChange>>,
}

impl Change {
    /// The instance that the change is about, as it is or, if it is gone, was.
    pub fn instance(&self) -> &Arc<Instance> {
        match (&self.after, &self.before) {
            (Some(instance), _) | (None, Some(instance)) => instance,
            (None, None) => unreachable!("a change has a before or an after"),
        }
    }
}

/// What a command did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The instance that the command named, as it is now; `None` after a deregistration.
    pub instance: Option<Arc<Instance>>,
    /// Whether the instance was not listed before.
    pub created: bool,
    /// The changes; empty if all was so already.
    pub changes: Vec<Change>,
}

/// Why a command was not carried out. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The instance, or the service, is not listed.
    NotListed,
    /// The instance has changed since the registration was made of it: make it anew.
    Outdated,
    /// One of its tags, or its version, is another instance's label.
    TagIsLabel {
        /// The tag or version.
        tag: Tag,
        /// The instance whose label it is.
        holder: InstanceId,
    },
    /// The label of its id is a tag or version of another instance of the service.
    LabelIsTag {
        /// The label.
        label: Label,
    },
    /// A zone file already says what the name is.
    InZoneFile {
        /// What of the registration makes the name: `service`, `id`, `version`, `tags` or `ports`.
        field: &'static str,
        /// The name.
        name: String,
        /// The file.
        file: String,
        /// The line; 0 if it is about the file as a whole.
        line: usize,
    },
    /// The instance, or one of a service's, is another principal's.
    NotYours {
        /// The instance.
        id: InstanceId,
    },
    /// The service's name is another principal's.
    Claimed {
        /// The service.
        service: ServiceName,
        /// It has no instances now, and is kept for its owner for so many seconds more.
        reserved_secs: Option<u64>,
    },
    /// A principal may have so many instances, and has them.
    Quota {
        /// The principal.
        owner: Owner,
        /// How many it may have.
        most: u32,
    },
    /// A bound of the registry is reached.
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// The server cannot make changes now, for this reason; the same command may work later.
    Unavailable(String),
}

impl Refusal {
    /// Whether it is for want of a right, or of room for one's own.
    pub fn is_denial(&self) -> bool {
        match self {
            Self::NotYours { .. }
            | Self::Claimed { .. }
            | Self::Quota { .. }
            | Self::Full { .. } => true,
            Self::NotListed
            | Self::Outdated
            | Self::TagIsLabel { .. }
            | Self::LabelIsTag { .. }
            | Self::InZoneFile { .. }
            | Self::Unavailable(_) => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotListed => f.write_str("not listed: register it first"),
            Refusal::Outdated => f.write_str("the instance has changed meanwhile: ask again"),
            Refusal::TagIsLabel { tag, holder } => {
                write!(
                    f,
                    "the tag or version `{tag}` is the label of the instance `{holder}` of this service"
                )
            }
            Refusal::LabelIsTag { label } => {
                write!(f, "the label `{label}` is a tag or version of an instance of this service")
            }
            Refusal::InZoneFile { name, file, line: 0, .. } => {
                write!(f, "`{name}` is a zone of its own, by {file}")
            }
            Refusal::InZoneFile { name, file, line, .. } => {
                write!(f, "`{name}` is in {file}, line {line}")
            }
            Refusal::NotYours { id } => {
                write!(
                    f,
                    "the instance `{id}` is another principal's: its owner and administrators may"
                )
            }
            Refusal::Claimed { service, reserved_secs: None } => write!(
                f,
                "the service `{service}` is another principal's: a scope must name it to register there"
            ),
            Refusal::Claimed { service, reserved_secs: Some(secs) } => write!(
                f,
                "the service `{service}` was another principal's, and is kept for it for {secs} s more"
            ),
            Refusal::Quota { owner, most } => {
                write!(f, "`{}` has {most} instances already, the most it may have", owner.name())
            }
            Refusal::Full { what, most } => {
                write!(f, "there are {most} {what} already, the most there may be")
            }
            Refusal::Unavailable(reason) => write!(f, "no changes can be made now: {reason}"),
        }
    }
}

impl std::error::Error for Refusal {}
