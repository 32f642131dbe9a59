//! The reconcile, in five stages: [`dereference`] reads what the spec names, [`validate`] makes a plan that cannot be
//! wrong, [`build`] makes the children from it, [`apply`] writes them, [`status`] says what came of it.
//!
//! Only dereference, apply and status hold a client. One object that is wrong stops nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Error as ControllerError, applier};
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use thiserror::Error;
use tokio::sync::watch as watch_channel;
use tokio_util::sync::CancellationToken;

pub mod apply;
pub mod build;
pub mod dereference;
pub mod events;
pub mod observe;
pub mod settings;
pub mod status;
pub mod telemetry;
pub mod validate;
pub mod watch;

use crate::crd::{EditorCluster, Reason};
use crate::metrics_api::MetricsAvailability;
use crate::scaling::{self, Decision};
use crate::scrape::Figures;
use apply::{Applied, Applier};
use build::{Component, TEMPLATE_HASH, child_name};
use observe::{Before, Gateways};
use settings::Images;
use status::FiguresWritten;
use telemetry::Telemetry;
use watch::{Guarded, Stores, Watch, find};

/// Reconciles at the same time, for each watched namespace.
const CONCURRENCY: u16 = 10;
/// What no watch tells (connections, users' Secrets) is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// The longest wait after failures.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What every reconcile needs.
pub struct Shared {
    pub client: Client,
    pub images: Images,
    pub figures: Arc<dyn Figures>,
    pub recorder: Recorder,
    pub telemetry: Telemetry,
    /// How the metrics API stands.
    pub metrics: watch_channel::Receiver<MetricsAvailability>,
    /// What is remembered of each EditorCluster, by namespace and name.
    // A std Mutex and not a tokio one, because it is held for a look-up alone, never across an await.
    memories: Mutex<HashMap<(String, String), SharedMemory>>,
}

/// One reconcile of an EditorCluster at a time holds its memory, across awaits.
type SharedMemory = Arc<tokio::sync::Mutex<Memory>>;

/// What is remembered of one EditorCluster. Losing it costs an apply that changes nothing.
#[derive(Default)]
struct Memory {
    /// A new object of the same name starts anew.
    uid: Option<String>,
    applied: Applied,
    before: Before,
    scaling: scaling::Memory,
    figures: FiguresWritten,
    /// The generation whose warning has been said.
    warned: Option<i64>,
    failures: u32,
}

/// A reconcile that did not get to its end.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error(transparent)]
    Status(#[from] status::Error),
    #[error("the watches have ended")]
    WatchesEnded,
}

impl Error {
    /// The reason of the Event and the label of the metric.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Dereference(error) => error.reason(),
            Self::Apply(error) => error.reason(),
            Self::Status(error) => error.reason(),
            Self::WatchesEnded => Reason::ApiError,
        }
    }
}

impl Shared {
    /// `instance` is this process's name, for Events.
    pub fn new(
        client: Client,
        images: Images,
        figures: Arc<dyn Figures>,
        telemetry: Telemetry,
        metrics: watch_channel::Receiver<MetricsAvailability>,
        instance: String,
    ) -> Self {
        let reporter = Reporter { controller: build::MANAGED_BY.to_owned(), instance: Some(instance) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, images, figures, recorder, telemetry, metrics, memories: Mutex::default() }
    }

    fn memory(&self, namespace: &str, name: &str) -> Arc<tokio::sync::Mutex<Memory>> {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(memories.entry((namespace.to_owned(), name.to_owned())).or_default())
    }

    fn forget(&self, namespace: &str, name: &str) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Reconciles what is in `namespaces` (none: in all) until `shutdown`. Only the leader may.
pub async fn run(shared: Arc<Shared>, namespaces: &[String], shutdown: CancellationToken) {
    let scopes: Vec<Option<&str>> = match namespaces {
        [] => vec![None],
        some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    let scopes = scopes.into_iter().map(|scope| run_scope(Arc::clone(&shared), scope, shutdown.clone()));
    futures::future::join_all(scopes).await;
}

/// A scope is a set of watches: one namespace, or all.
async fn run_scope(shared: Arc<Shared>, namespace: Option<&str>, shutdown: CancellationToken) {
    let Watch { clusters, stores, wakes } = watch::watch(&shared.client, namespace);
    let scope = Arc::new(Scope { shared: Arc::clone(&shared), stores });
    let wakes = wakes.take_until(shutdown.cancelled_owned());
    let reconciles = applier(
        |object, scope| Box::pin(reconcile(object, scope)),
        back_off,
        scope,
        clusters,
        wakes,
        Config::default().concurrency(CONCURRENCY),
    );
    reconciles
        .for_each(|result| {
            match result {
                Err(ControllerError::ObjectNotFound(object)) => {
                    shared.forget(object.namespace.as_deref().unwrap_or_default(), &object.name);
                }
                Err(ControllerError::QueueError(error)) => tracing::warn!(%error, "a watch failed, and is made again"),
                // Told where it happened.
                Ok(_) | Err(ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => tracing::error!(%error, "the controller failed"),
            }
            futures::future::ready(())
        })
        .await;
}

/// What a reconcile has: what is shared by all, and what its watches saw.
struct Scope {
    shared: Arc<Shared>,
    stores: Stores,
}

async fn reconcile(object: Arc<Guarded>, scope: Arc<Scope>) -> Result<Action, Error> {
    let shared = &scope.shared;
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            unreadable(shared, invalid).await;
            return Ok(Action::await_change());
        }
    };
    // Its children go with it; what we would apply now would only be in the way.
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    scope.stores.wait_until_ready().await.map_err(|_| Error::WatchesEnded)?;
    let memory = shared.memory(&object.namespace().unwrap_or_default(), &object.name_any());
    let mut memory = memory.lock().await;
    if memory.uid != object.metadata.uid {
        *memory = Memory { uid: object.metadata.uid.clone(), ..Memory::default() };
    }
    let result = stages(object, &scope, &mut memory).await;
    match &result {
        Ok(_) => memory.failures = 0,
        Err(error) => {
            memory.failures = memory.failures.saturating_add(1);
            shared.telemetry.count(Some(error.reason()));
            // A conflict is somebody else's good work: the next try sees it.
            if error.reason() == Reason::Conflict {
                tracing::debug!(namespace = object.namespace(), name = object.name_any(), %error, "to be tried again");
            } else {
                tracing::warn!(namespace = object.namespace(), name = object.name_any(), %error, "reconcile failed");
                events::say(&shared.recorder, object, EventType::Warning, error.reason(), error.to_string()).await;
            }
        }
    }
    result
}

async fn stages(object: &EditorCluster, scope: &Scope, memory: &mut Memory) -> Result<Action, Error> {
    let Scope { shared, stores } = scope;
    let found = dereference::dereference(&shared.client, object).await?;
    let plan = match validate::validate(object, &found, &shared.images) {
        Ok(plan) => plan,
        Err(invalid) => {
            shared.telemetry.count(Some(invalid.reason()));
            let status = status::of_invalid(object, &invalid);
            if status::write(&shared.client, object, &status).await? {
                events::say(&shared.recorder, object, EventType::Warning, invalid.reason(), invalid.to_string()).await;
            }
            return Ok(Action::requeue(LOOK_AGAIN));
        }
    };
    warn_of_trial(shared, object, &plan, memory).await;
    let gateways = Gateways {
        deployment: find(&stores.deployments, &plan.namespace, &child_name(&plan.name, Component::Gateway)),
        pods: stores.gateways(&plan.namespace, &plan.name),
    };
    let load = load(shared, &plan.namespace, &plan.name, &gateways).await;
    let decision = decide(object, &plan, &gateways, load.as_ref(), memory);
    if let Some(replicas) = decision.write_spec {
        apply::write_replicas(&shared.client, object, replicas).await?;
    }
    let children = build::build(&plan, decision.replicas);
    let mut applier = Applier { client: &shared.client, stores, plan: &plan, applied: &mut memory.applied };
    applier.costs(&decision.mark, &decision.unmark).await?;
    let pending = applier.children(children).await?;
    applier.leftover_secrets(found.redis.is_some(), found.postgres.is_some()).await?;
    memory.before = Before { target: Some(decision.target), replicas: Some(decision.replicas) };
    let metrics = shared.metrics.borrow().clone();
    let status = status::look(stores, &plan, &gateways, load.as_ref(), &metrics, |seen| {
        status::of_applied(object, &plan, decision.target, seen, &mut memory.figures)
    });
    status::write(&shared.client, object, &status).await?;
    let mut applier = Applier { client: &shared.client, stores, plan: &plan, applied: &mut memory.applied };
    applier.autoscaler(pending).await?;
    events::decided(&shared.recorder, object, &decision.notes).await;
    shared.telemetry.count(None);
    Ok(Action::requeue(decision.look_again.map_or(LOOK_AGAIN, |soon| soon.min(LOOK_AGAIN))))
}

fn decide(
    object: &EditorCluster,
    plan: &validate::Validated,
    gateways: &Gateways,
    load: Option<&crate::scrape::Totals>,
    memory: &mut Memory,
) -> Decision {
    // Built once to know its template; the number in it is not looked at.
    let wanted = build::build(plan, 0).gateway;
    let template_hash = wanted.annotations().get(TEMPLATE_HASH);
    let seen = gateways.observation(object, plan, memory.before, template_hash, load);
    scaling::decide(&mut memory.scaling, &seen)
}

/// The gateways' load, or nothing when there are none or too few of them answer.
async fn load(shared: &Shared, namespace: &str, name: &str, gateways: &Gateways) -> Option<crate::scrape::Totals> {
    if gateways.pods.is_empty() {
        return None;
    }
    match shared.figures.figures(namespace, name).await {
        Ok(totals) => Some(totals),
        Err(error) => {
            tracing::debug!(namespace, name, %error, "the gateways' load is not known");
            None
        }
    }
}

/// Once for each spec: that it is for trying.
async fn warn_of_trial(shared: &Shared, object: &EditorCluster, plan: &validate::Validated, memory: &mut Memory) {
    let managed = matches!(plan.postgres, validate::PostgresPlan::Managed { .. });
    let before = object.status.as_ref().and_then(|status| status.observed_generation);
    if !managed || memory.warned == object.metadata.generation || before == object.metadata.generation {
        return;
    }
    memory.warned = object.metadata.generation;
    let note = "Postgres is a single instance that the operator runs, and everybody may edit every document: for trying. \
                For people's documents, name a database in spec.storage.postgres.external.";
    events::say(&shared.recorder, object, EventType::Warning, Reason::ForTrying, note.to_owned()).await;
}

/// An object that does not decode: its own fault is all that is known of it.
async fn unreadable(shared: &Shared, invalid: &kube::core::error_boundary::InvalidObject) {
    shared.telemetry.count(Some(Reason::SpecUnreadable));
    let metadata = &invalid.metadata;
    tracing::warn!(namespace = metadata.namespace, name = metadata.name, error = invalid.error, "does not decode");
    let reference = ObjectReference {
        api_version: Some(EditorCluster::api_version(&()).into_owned()),
        kind: Some(EditorCluster::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    };
    let event = kube::runtime::events::Event {
        type_: EventType::Warning,
        reason: Reason::SpecUnreadable.name(),
        note: Some(format!("this operator cannot read it, so what runs is left as it is: {}", invalid.error)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = shared.recorder.publish(&event, &reference).await {
        tracing::warn!(%error, "an Event could not be written");
    }
}

/// After a failure: 1 s, 2 s, 4 s and so on, but after a conflict at once.
fn back_off(object: Arc<DeserializeGuard<EditorCluster>>, error: &Error, scope: Arc<Scope>) -> Action {
    if error.reason() == Reason::Conflict {
        return Action::requeue(Duration::from_millis(200));
    }
    let meta = object.meta();
    let memory =
        scope.shared.memory(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    let failures = memory.try_lock().map_or(1, |memory| memory.failures);
    let wait = Duration::from_secs(1 << failures.saturating_sub(1).min(6));
    Action::requeue(wait.min(LONGEST_BACKOFF))
}
